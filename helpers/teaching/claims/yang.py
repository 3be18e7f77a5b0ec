"""Claims B1–B8 (Yang et al. 2024, arXiv 2411.06424), each with the rules that judge it.

The versions of the paper differ: "version 1" is its first arXiv version.
"""

from helpers.teaching.claims.lee import DPO
from helpers.teaching.claims.measurement import Claim, Measurement, Part, Verdict, grade, rule


@rule(
    "at perplexity ≤ base × 1.08: agrees when the interval of (ablated − DPO) lies above 0 and the same "
    "number of random neurons ablated leaves more toxicity; direction only when the point lies above 0",
    given=("interval", "control"),
    needs=("perplexity_ratio",),
)
def ablation_falls_short(m: Measurement) -> Verdict:
    in_budget = m.details["perplexity_ratio"] <= 1.08
    # An edit that does nothing falls short as well: that says nothing of toxic neurons.
    return grade(direction=in_budget and m.value > 0, agrees=m.low > 0 and m.value < m.against)


B1 = Claim(
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
            ablation_falls_short,
            0.366 - DPO,
        ),
    ),
)


@rule(
    "agrees when the interval of (patched − DPO) lies above 0 and the same number of random neurons patched "
    "leaves more toxicity; direction only when the point lies above 0",
    given=("interval", "control"),
    needs=("perplexity_ratio", "fluency_ratio"),
)
def patching_falls_short(m: Measurement) -> Verdict:
    return grade(direction=m.value > 0, agrees=m.low > 0 and m.value < m.against)


B2 = Claim(
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
            patching_falls_short,
            0.335 - DPO,
        ),
        Part("per token", "not given", "difference in toxicity", patching_falls_short),
    ),
)


@rule(
    "agrees when the share is < .5 under every published definition (points); direction only when under"
    " the first",
    given=("control",),
    needs=("final_share", "top_128_share", "effect_share"),
)
def minor_share(m: Measurement) -> Verdict:
    others = [m.details[name] for name in ("final_share", "top_128_share", "effect_share")]
    return grade(direction=m.value < 0.5, agrees=max(others) < 0.5)


B3 = Claim(
    id="B3",
    source="B abstracts of three versions",
    statement="Dampened toxic neurons account for a minor share.",
    measured="their share by either definition of groups, by the top 128, and by effect",
    control="random directions instead of W",
    notebook="07",
    policies="both",
    parts=(
        Part(
            "whole Δ",
            "31.8 % of the four groups; 4.9 % of gross; 2.5–24 % by effect",
            "share of the four groups",
            minor_share,
            0.318,
        ),
        Part("activation Δ", "not given", "share of the four groups", minor_share),
    ),
)


@rule(
    "agrees when each group's share is ≥ .05 (points) and those of TP and AN lie above the bands of random "
    "directions, any and those that lie as near the offset as W does; direction only when each is ≥ .05",
    given=("control",),
    needs=(
        "TP", "TN", "AP", "AN", "TP_null_high", "AN_null_high", "TP_near_offset_high", "AN_near_offset_high",
    ),
)  # fmt: skip
def four_groups(m: Measurement) -> Verdict:
    each = min(m.details[group] for group in ("TP", "TN", "AP", "AN")) >= 0.05
    nulls = {
        group: max(m.details[f"{group}_null_high"], m.details[f"{group}_near_offset_high"])
        for group in ("TP", "AN")
    }
    return grade(direction=each, agrees=all(m.details[group] > high for group, high in nulls.items()))


B4 = Claim(
    id="B4",
    source="B version 1 and released notebooks",
    statement="Four groups of neurons each contribute to the reduction.",
    measured="smallest of the four groups' shares of the gross reduction; three DPO seeds",
    control="random directions instead of W",
    notebook="07",
    parts=(
        Part("v1 groups", "31.8 / 23.9 / 7.0 / 37.3 %", "smallest share of gross", four_groups, 0.070),
        Part("final groups", "32 / 24 / 7 / 37 %", "smallest share of gross", four_groups, 0.07),
    ),
)


@rule(
    "agrees when the interval of the share lies at or above .2 and above the control; direction only "
    "when above the control",
    given=("interval", "control"),
    needs=("given_back",),
)
def many_raise_toxicity(m: Measurement) -> Verdict:
    return grade(direction=m.low > m.against, agrees=m.low >= 0.2)


B5 = Claim(
    id="B5",
    source="B released notebooks",
    statement="DPO is noisy: many neurons raise toxicity.",
    measured="share of neurons that raise it beyond their bootstrap noise; what they give back",
    control="shuffled base and aligned labels",
    notebook="07",
    parts=(Part("", "40,801 of 98,302", "share of neurons", many_raise_toxicity),),
)


@rule(
    "agrees when the interval of net / gross lies within ±.5, and the point does too where only neurons "
    "count whose change is beyond noise; direction only when the point over all neurons does",
    given=("interval", "control"),
    needs=("beyond_noise",),
)
def small_balance(m: Measurement) -> Verdict:
    # Noise adds to gross and not to net, so it alone can make the balance small.
    clear = max(-m.low, m.high) < 0.5 and abs(m.details["beyond_noise"]) < 0.5
    return grade(direction=abs(m.value) < 0.5, agrees=clear)


B6 = Claim(
    id="B6",
    source="B released notebooks",
    statement="The net reduction is a small balance of opposing effects.",
    measured="net over gross reduction",
    control="shuffled base and aligned labels",
    notebook="07",
    parts=(
        Part("whole Δ", "net 7.2 of gross 48.0", "net / gross", small_balance, 7.216 / 47.96),
        Part("activation Δ", "not given", "net / gross", small_balance),
    ),
)


@rule(
    "agrees when the interval of the four groups' recovery reaches .8 and its point is ≥ .5 and above the "
    "same number of random neurons, with perplexity ≤ DPO's × 1.08, fluency ≤ base samples × 1.5 and half of "
    "the divergence of DPO from base explained; direction only when the point is ≥ .5",
    given=("interval", "control"),
    needs=("random_direction", "perplexity_ratio", "fluency_ratio", "divergence_explained"),
)
def groups_reproduce(m: Measurement) -> Verdict:
    found = m.details
    whole = found["perplexity_ratio"] <= 1.08 and found["fluency_ratio"] <= 1.5
    # The union holds every neuron that helps along W: so does the union by a random direction, along that.
    special = m.value > max(m.against, found["random_direction"])
    like_dpo = found["divergence_explained"] >= 0.5
    return grade(direction=m.value >= 0.5, agrees=m.high >= 0.8 and whole and special and like_dpo)


B7 = Claim(
    id="B7",
    source="B abstract",
    statement="Patching the activations of all four groups reproduces DPO.",
    measured="recovery from 0 (base) to 1 (DPO) by group, unions and all neurons",
    control="random sets matched by layer; the four groups by a random direction",
    notebook="08",
    policies="both",
    parts=(
        Part("constant", "claimed", "share recovered", groups_reproduce),
        Part("per token", "not given", "share recovered", groups_reproduce),
    ),
)


@rule(
    "at perplexity ≤ DPO's and fluency ≤ base samples × 1.5: agrees when the interval of (edited − DPO) lies "
    "at or below 0 and the point is below both controls (α = 0, random signs); direction only when the point "
    "is below both",
    given=("interval", "control"),
    needs=("perplexity_ratio", "fluency_ratio", "random_signs"),
)
def editing_matches(m: Measurement) -> Verdict:
    in_budget = m.details["perplexity_ratio"] <= 1 and m.details["fluency_ratio"] <= 1.5
    better = m.value < min(m.against, m.details["random_signs"])
    return grade(direction=in_budget and better, agrees=m.high <= 0)


B8 = Claim(
    id="B8",
    source="B abstract",
    statement="Tuning-free activation editing matches or beats DPO at equal perplexity.",
    measured="toxicity at perplexity ≤ DPO's, minus DPO's, paired",
    control="α = 0 (mean ablation alone); random signs",
    notebook="08",
    parts=(
        Part("constant", "claimed", "difference in toxicity", editing_matches),
        Part("live scaling", "not given", "difference in toxicity", editing_matches),
    ),
)

YANG = (B1, B2, B3, B4, B5, B6, B7, B8)
