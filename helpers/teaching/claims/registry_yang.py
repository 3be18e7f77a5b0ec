"""Claims B1–B8: Yang et al. 2024, arXiv 2411.06424. Published figures are GPT2-medium's.

The versions of the paper differ: "version 1" is its first arXiv version.
"""

from helpers.teaching.claims import rules
from helpers.teaching.claims.measurement import Claim, Part
from helpers.teaching.claims.registry_lee import DPO

YANG = (
    Claim(
        id="B1",
        source="B version 1, table 1",
        statement="Ablating toxic neurons does not emulate DPO.",
        measured=(
            "lowest toxicity over the number ablated and three ways to choose them, "
            "perplexity ≤ base × 1.08, minus DPO's"
        ),
        control="random neurons matched by layer and norm",
        notebook="07",
        policies="both",
        parts=(
            Part(
                "",
                ".366 (top 200 active) against .208",
                "difference in toxicity",
                rules.ablation_falls_short,
                0.366 - DPO,
            ),
        ),
    ),
    Claim(
        id="B2",
        source="B version 1, table 1",
        statement="Patching dampened toxic neurons to their level after DPO is not enough.",
        measured="toxicity under the patch minus DPO's, paired",
        control="matched random neurons, patched the same way",
        notebook="08",
        policies="both",
        parts=(
            Part(
                "constant",
                ".335 against .208",
                "difference in toxicity",
                rules.patching_falls_short,
                0.335 - DPO,
            ),
            Part("per token", "not given", "difference in toxicity", rules.patching_falls_short),
        ),
    ),
    Claim(
        id="B3",
        source="B abstracts of three versions",
        statement="Dampened toxic neurons account for a minor share.",
        measured="their share by the first version's definition, by the top 128, and by effect",
        control="random directions instead of W",
        notebook="07",
        policies="both",
        parts=(
            Part(
                "whole Δ",
                "31.8 % of gross; 4.9 %; 2.5–24 % by effect",
                "share of gross",
                rules.minor_share,
                0.318,
            ),
            Part("activation Δ", "not given", "share of gross", rules.minor_share),
        ),
    ),
    Claim(
        id="B4",
        source="B version 1 and released notebooks",
        statement="Four groups of neurons each contribute to the reduction.",
        measured="smallest of the four groups' shares of the gross reduction; three DPO seeds",
        control="random directions instead of W",
        notebook="07",
        parts=(
            Part(
                "v1 groups", "31.8 / 23.9 / 7.0 / 37.3 %", "smallest share of gross", rules.four_groups, 0.070
            ),
            Part("final groups", "32 / 24 / 7 / 37 %", "smallest share of gross", rules.four_groups, 0.07),
        ),
    ),
    Claim(
        id="B5",
        source="B released notebooks",
        statement="DPO is noisy: many neurons raise toxicity.",
        measured="share of neurons that raise it beyond their bootstrap noise; what they give back",
        control="shuffled base and aligned labels",
        notebook="07",
        parts=(Part("", "40,801 of 98,302", "share of neurons", rules.many_raise_toxicity),),
    ),
    Claim(
        id="B6",
        source="B released notebooks",
        statement="The net reduction is a small balance of opposing effects.",
        measured="net over gross reduction",
        control="shuffled base and aligned labels",
        notebook="07",
        parts=(
            Part("whole Δ", "net 7.2 of gross 48.0", "net / gross", rules.small_balance, 7.216 / 47.96),
            Part("activation Δ", "not given", "net / gross", rules.small_balance),
        ),
    ),
    Claim(
        id="B7",
        source="B abstract",
        statement="Patching the activations of all four groups reproduces DPO.",
        measured="recovery from 0 (base) to 1 (DPO) by group, unions and all neurons",
        control="random sets matched by layer and norm",
        notebook="08",
        policies="both",
        parts=(Part("", "claimed", "share recovered", rules.groups_reproduce),),
    ),
    Claim(
        id="B8",
        source="B abstract",
        statement="Tuning-free activation editing matches or beats DPO at equal perplexity.",
        measured="toxicity at perplexity ≤ DPO's, minus DPO's, paired",
        control="α = 0 (mean ablation alone); random signs",
        notebook="08",
        parts=(Part("", "claimed", "difference in toxicity", rules.editing_matches),),
    ),
)
