"""How a measurement becomes a verdict: one pure rule for each claim, free of the scale of the model.

"Above" and "below" are said of the whole bootstrap 95 % interval; where the point alone decides, the rule
says "point". A rule is fixed before the notebook that measures; no notebook can pass a verdict of its own.
"""

from helpers.teaching.claims.measurement import Measurement, Verdict, grade, rule

# `Rule.missing` is asked first, so a rule may rely on the numbers its decorator names.


@rule(
    "agrees when the interval lies above both controls (shuffled labels, always clean) and accuracy ≥ "
    ".85; direction only when it lies above both controls",
    given=("interval", "control"),
    needs=("always_clean",),
)
def probe_accuracy(m: Measurement) -> Verdict:
    return grade(direction=m.low > max(m.against, m.details["always_clean"]), agrees=m.value >= 0.85)


@rule(
    "reported beside accuracy: agrees when the interval lies above .5 and above shuffled labels; "
    "direction only when the point does",
    given=("interval", "control"),
)
def probe_auroc(m: Measurement) -> Verdict:
    bar = max(m.against, 0.5)
    return grade(direction=m.value > bar, agrees=m.low > bar)


@rule(
    "agrees when the interval lies above three times the control; direction only when it lies above the"
    " control",
    given=("interval", "control"),
)
def three_times_control(m: Measurement) -> Verdict:
    return grade(direction=m.low > m.against, agrees=m.low > 3 * m.against)


@rule(
    "agrees when the share is ≥ .5 and above the control's band; direction only when it is above the band",
    given=("control", "control_interval"),
)
def first_svd_direction(m: Measurement) -> Verdict:
    return grade(direction=m.value > m.band[1], agrees=m.value >= 0.5)


@rule(
    "reported beside U0: agrees when the share is above the control's band; direction only when above "
    "the control",
    given=("control", "control_interval"),
)
def further_svd_direction(m: Measurement) -> Verdict:
    return grade(direction=m.value > m.against, agrees=m.value > m.band[1])


@rule(
    "at perplexity ≤ base × 1.075: agrees when the interval of the drop lies above 0 and above the band"
    " of random directions; direction only when it lies above 0",
    given=("interval", "control", "control_interval"),
    needs=("perplexity_ratio", "f1_difference"),
)
def steering_drop(m: Measurement) -> Verdict:
    in_budget = m.details["perplexity_ratio"] <= 1.075
    return grade(direction=in_budget and m.low > 0, agrees=m.low > m.band[1])


@rule(
    "agrees when the interval of the difference lies above 0 and above the control; direction only when"
    " above 0",
    given=("interval", "control"),
    needs=("share_kept", "fluency_chosen", "fluency_rejected"),
)
def pairs_differ(m: Measurement) -> Verdict:
    return grade(direction=m.low > 0, agrees=m.low > m.against)


@rule(
    "agrees when the drop is ≥ 40 % of base, its interval lies above the control and perplexity ≤ base "
    "× 1.08; direction only when the interval lies above 0",
    given=("interval", "control"),
    needs=("base_toxicity", "perplexity_ratio", "f1_difference"),
)
def dpo_drop(m: Measurement) -> Verdict:
    large = m.value >= 0.4 * m.details["base_toxicity"]
    return grade(
        direction=m.low > 0, agrees=large and m.low > m.against and m.details["perplexity_ratio"] <= 1.08
    )


@rule(
    "agrees when the minimum cosine over tensors is > .99; direction only when the median is",
    given=("control",),
    needs=("median_cosine", "minimum_value_row", "minimum_key_row", "relative_change"),
)
def weights_barely_move(m: Measurement) -> Verdict:
    return grade(direction=m.details["median_cosine"] > 0.99, agrees=m.value > 0.99)


@rule(
    "agrees when the interval lies above the control and the share is ≥ .8; direction only when it lies"
    " above the control",
    given=("interval", "control"),
    needs=("activation_before", "activation_after"),
)
def activations_fall(m: Measurement) -> Verdict:
    return grade(direction=m.low > m.against, agrees=m.value >= 0.8)


@rule(
    "agrees when the interval of the final drop lies above 0 and above the control's interval, and at "
    "least half of the drop is written in the last half of the layers; direction only when it lies "
    "above 0",
    given=("interval", "control", "control_interval"),
    needs=("base_probability", "aligned_probability", "late_share", "layer_of_largest_gap"),
)
def averted_late(m: Measurement) -> Verdict:
    clear = m.low > m.band[1]
    return grade(direction=m.low > 0, agrees=clear and m.details["late_share"] >= 0.5)


@rule(
    "agrees when the input shift is ≥ .8 of the change (point); direction only when it is ≥ .5",
    given=("control",),
    needs=("key_share", "bias_share", "cosine_to_mean", "cosine_to_minus_W"),
)
def input_shift(m: Measurement) -> Verdict:
    return grade(direction=m.value >= 0.5, agrees=m.value >= 0.8)


@rule(
    "agrees when the product is positive along the offset (point), the shifts' mean cosine with it is "
    "negative and grows in size with depth; direction only when the product is positive",
    given=("control",),
    needs=("shift_cosine", "depth_trend", "activation_part", "attention_part", "embedding_part", "residue"),
)
def offset_from_value_shifts(m: Measurement) -> Verdict:
    against, deeper = m.details["shift_cosine"] < 0, m.details["depth_trend"] > 0
    return grade(direction=m.value > 0, agrees=against and deeper)


@rule(
    "at perplexity ≤ aligned × 1.08 and fluency ≤ base samples × 1.5, interval above the control: "
    "agrees when ≥ .5 is recovered (point) with ≤ 1 % of the neurons; direction only otherwise",
    given=("interval", "control"),
    needs=("neuron_share", "perplexity_ratio", "fluency_ratio"),
)
def keys_unalign(m: Measurement) -> Verdict:
    in_budget = m.details["perplexity_ratio"] <= 1.08 and m.details["fluency_ratio"] <= 1.5
    return grade(
        direction=in_budget and m.low > m.against, agrees=m.value >= 0.5 and m.details["neuron_share"] <= 0.01
    )


@rule(
    "at perplexity ≤ base × 1.08: agrees when the interval of (ablated − DPO) lies above 0; direction "
    "only when the point does",
    given=("interval", "control"),
    needs=("perplexity_ratio",),
)
def ablation_falls_short(m: Measurement) -> Verdict:
    in_budget = m.details["perplexity_ratio"] <= 1.08
    return grade(direction=in_budget and m.value > 0, agrees=m.low > 0)


@rule(
    "agrees when the interval of (patched − DPO) lies above 0; direction only when the point does",
    given=("interval", "control"),
)
def patching_falls_short(m: Measurement) -> Verdict:
    return grade(direction=m.value > 0, agrees=m.low > 0)


@rule(
    "agrees when the share is < .5 under every published definition (points); direction only when under"
    " the first",
    given=("control",),
    needs=("top_128_share", "effect_share"),
)
def minor_share(m: Measurement) -> Verdict:
    others = max(m.details["top_128_share"], m.details["effect_share"])
    return grade(direction=m.value < 0.5, agrees=others < 0.5)


@rule(
    "agrees when each group's share is ≥ .05 (points) and those of TP and AN lie above the band of "
    "random directions; direction only when each is ≥ .05",
    given=("control",),
    needs=("TP", "TN", "AP", "AN", "TP_null_high", "AN_null_high"),
)
def four_groups(m: Measurement) -> Verdict:
    each = min(m.details[group] for group in ("TP", "TN", "AP", "AN")) >= 0.05
    clear = all(m.details[group] > m.details[f"{group}_null_high"] for group in ("TP", "AN"))
    return grade(direction=each, agrees=clear)


@rule(
    "agrees when the interval of the share lies at or above .2 and above the control; direction only "
    "when above the control",
    given=("interval", "control"),
    needs=("given_back",),
)
def many_raise_toxicity(m: Measurement) -> Verdict:
    return grade(direction=m.low > m.against, agrees=m.low >= 0.2)


@rule(
    "agrees when the interval of net / gross lies within ±.5; direction only when the point does",
    given=("interval", "control"),
)
def small_balance(m: Measurement) -> Verdict:
    return grade(direction=abs(m.value) < 0.5, agrees=max(-m.low, m.high) < 0.5)


@rule(
    "agrees when the interval of the four groups' recovery reaches .8 and its point is ≥ .5; direction "
    "only when the point is ≥ .5",
    given=("interval", "control"),
    needs=("TP", "TN", "AP", "AN", "all_neurons"),
)
def groups_reproduce(m: Measurement) -> Verdict:
    return grade(direction=m.value >= 0.5, agrees=m.high >= 0.8)


@rule(
    "at perplexity ≤ DPO's: agrees when the interval of (edited − DPO) lies at or below 0 and the point"
    " is below both controls (α = 0, random signs); direction only when the point is below both",
    given=("interval", "control"),
    needs=("perplexity_ratio", "random_signs"),
)
def editing_matches(m: Measurement) -> Verdict:
    in_budget = m.details["perplexity_ratio"] <= 1
    better = m.value < min(m.against, m.details["random_signs"])
    return grade(direction=in_budget and better, agrees=m.high <= 0)


@rule("agrees when the residue is < 1e-4 of the gross change")
def closes(m: Measurement) -> Verdict:
    return Verdict.AGREES if abs(m.value) < 1e-4 else Verdict.NOT_REPRODUCED


@rule(
    "agrees when the distance lies outside the null's 95 % band (point); direction only when outside "
    "its 80 % band",
    given=("control", "control_interval"),
    needs=("null_80_low", "null_80_high"),
)
def unlike_random_directions(m: Measurement) -> Verdict:
    outside_80 = not m.details["null_80_low"] <= m.value <= m.details["null_80_high"]
    return grade(direction=outside_80, agrees=not m.band[0] <= m.value <= m.band[1])


@rule(
    "agrees when the interval of (first − second in the ranking) lies above 0",
    given=("interval",),
    needs=("ways_compared",),
)
def price_list(m: Measurement) -> Verdict:
    ranked = m.details["ways_compared"] >= 2
    return Verdict.AGREES if ranked and m.low > 0 else Verdict.NOT_REPRODUCED


@rule(
    "agrees when the interval of the recovered share lies below the undefended one (A12); direction "
    "only when the point does",
    given=("interval", "control"),
    needs=("undefended",),
)
def defence_helps(m: Measurement) -> Verdict:
    return grade(direction=m.value < m.details["undefended"], agrees=m.high < m.details["undefended"])


@rule(
    "agrees when no verdict differs between three seeds; direction only when at most two do; not run "
    "with fewer than three seeds",
    needs=("seeds", "verdicts"),
)
def same_over_seeds(m: Measurement) -> Verdict:
    if m.details["seeds"] < 3:
        return Verdict.NOT_RUN
    return grade(direction=m.value <= 2, agrees=m.value == 0)


@rule(
    "agrees when no verdict differs between the two scorers; not run where the interval of the second "
    "scorer's AUROC on held-out families does not lie above .5",
    needs=("second_scorer_auroc_low", "verdicts"),
)
def same_over_scorers(m: Measurement) -> Verdict:
    if m.details["second_scorer_auroc_low"] <= 0.5:
        return Verdict.NOT_RUN
    return Verdict.AGREES if m.value == 0 else Verdict.NOT_REPRODUCED
