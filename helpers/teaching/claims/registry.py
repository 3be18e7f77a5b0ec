"""Every claim the series tests: what it says and what was published, what is measured and by which rule.

Published figures are GPT2-medium's: shown beside a model organism's numbers, never judged against them.
"""

from helpers.teaching.claims import rules
from helpers.teaching.claims.measurement import Claim, Part
from helpers.teaching.claims.registry_lee import LEE
from helpers.teaching.claims.registry_yang import YANG

OWN = (
    Claim(
        id="N1",
        source="this series",
        statement="The attribution closes.",
        measured="residue of the whole account over gross change",
        control="–",
        notebook="07",
        parts=(Part("", "–", "share of gross", rules.closes),),
    ),
    Claim(
        id="N2",
        source="this series",
        statement="Four groups of these sizes are not what any direction would give.",
        measured="distance of the group shares from those of random directions",
        control="the null itself",
        notebook="07",
        parts=(Part("", "–", "distance", rules.unlike_random_directions),),
    ),
    Claim(
        id="N3",
        source="this series",
        statement="Un-alignment has a price list.",
        measured=(
            "toxicity recovered by the first minus by the second way back, perplexity and fluency held"
        ),
        control="–",
        notebook="09",
        parts=(Part("", "–", "difference in share recovered", rules.price_list),),
    ),
    Claim(
        id="N4",
        source="this series",
        statement="A cheap defence makes un-alignment by keys harder.",
        measured="share recovered after the aligned model's most toxic value vectors were zeroed",
        control="zeroing random ones",
        notebook="09",
        parts=(Part("", "–", "share recovered", rules.defence_helps),),
    ),
    Claim(
        id="N5",
        source="this series",
        statement="The answers survive the DPO seed.",
        measured="verdicts of A6–B7 over three DPO seeds",
        control="–",
        notebook="09",
        parts=(Part("", "–", "verdicts that differ", rules.same_over_seeds),),
    ),
    Claim(
        id="N6",
        source="this series",
        statement="The answers survive the scorer.",
        measured="verdicts of A4, A6, A12 and B1 under the second scorer",
        control="–",
        notebook="09",
        parts=(Part("", "–", "verdicts that differ", rules.same_over_scorers),),
    ),
)

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in (*LEE, *YANG, *OWN)}


def find_claim(claim_id: str) -> Claim:
    """The claim called `claim_id`. Raises KeyError, listing the ids there are."""
    if claim_id not in CLAIMS:
        raise KeyError(f"There is no claim {claim_id!r}. Known: {', '.join(CLAIMS)}.")
    return CLAIMS[claim_id]
