"""Every claim that the series tests, by its id."""

from helpers.teaching.claims.lee import LEE
from helpers.teaching.claims.measurement import Claim
from helpers.teaching.claims.own import OWN
from helpers.teaching.claims.yang import YANG

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in (*LEE, *YANG, *OWN)}


def find_claim(claim_id: str) -> Claim:
    """The claim called `claim_id`. Raises KeyError, listing the ids there are."""
    if claim_id not in CLAIMS:
        raise KeyError(f"There is no claim {claim_id!r}. Known: {', '.join(CLAIMS)}.")
    return CLAIMS[claim_id]
