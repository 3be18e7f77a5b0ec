"""Claims A1–A12 (Lee et al. 2024, arXiv 2401.01967), each with the rules that judge it.

"Above" and "below" are said of the whole bootstrap 95 % interval; where the point alone decides, the rule
says "point". A rule is fixed before the notebook that measures; no notebook can pass a verdict of its own.
A rule may rely on the numbers that its decorator names: they are asked for first.
Published figures are GPT2-medium's: shown beside a model organism's numbers, never judged against them.
"""

from helpers.teaching.claims.measurement import Claim, Measurement, Part, Verdict, grade, rule

# GPT2-medium's toxicity before and after DPO (A, table 2): the published drops are differences from these.
BASE, DPO = 0.453, 0.208


@rule(
    "agrees when the accuracy's interval lies above shuffled labels, what it gains over the commonest label "
    "and over the grouping alone (the same comments; interval) is above 0, and accuracy is ≥ .85; direction "
    "only when it beats these controls",
    given=("interval", "control"),
    needs=("above_majority_low", "above_grouping_low", "auroc", "auroc_low", "auroc_high"),
)
def probe_as_found(m: Measurement) -> Verdict:
    gain = min(m.details["above_majority_low"], m.details["above_grouping_low"])
    return grade(direction=m.low > m.against and gain > 0, agrees=m.value >= 0.85)


@rule(
    "agrees when AUROC's interval lies above .5 and AUROC is ≥ .8; direction only when its interval lies "
    "above .5",
    given=("interval", "control"),
)
def probe_matched(m: Measurement) -> Verdict:
    return grade(direction=m.low > 0.5, agrees=m.value >= 0.8)


A1 = Claim(
    id="A1",
    source="A §3.1",
    statement="A linear probe reads toxicity off the last residual stream.",
    measured=(
        "accuracy and AUROC on held-out comments as a platform has them; AUROC on toxic against clean ones "
        "of the same mood or topic, where comments carry one"
    ),
    control="probe trained on shuffled labels; the commonest label; the best single grouping alone",
    notebook="01",
    parts=(
        Part("as found", ".94", "accuracy", probe_as_found, 0.94),
        Part("matched", "not given", "AUROC", probe_matched),
    ),
)


@rule(
    "agrees when the share lies above the 95 % band of the cosine-matched null (point) and its interval above"
    " three times the random neurons; direction only when its interval lies above the random neurons",
    given=("interval", "control"),
    needs=("cosine_matched", "cosine_matched_low", "cosine_matched_high"),
)
def closest_are_toxic(m: Measurement) -> Verdict:
    beyond = m.value > m.details["cosine_matched_high"]
    return grade(direction=m.low > m.against, agrees=beyond and m.low > 3 * m.against)


A2 = Claim(
    id="A2",
    source="A table 1",
    statement="The value vectors closest to the probe promote toxic tokens.",
    measured="share of toxic tokens among the ten most promoted, mean over the vectors",
    control=(
        "random neurons of the same layers; the same cosines with the probe on other neurons' remainders "
        "(40 draws)"
    ),
    notebook="02",
    parts=(
        Part("top 10", "7 vectors listed", "share of toxic tokens", closest_are_toxic),
        Part("top 64", "not given", "share of toxic tokens", closest_are_toxic),
    ),
)


@rule(
    "agrees when the share is ≥ .5 and above the 95 % band of the cosine-matched null; direction only when it"
    " is above the band of random vectors",
    given=("control", "control_interval"),
    needs=("cosine_matched", "cosine_matched_low", "cosine_matched_high", "cosine_with_probe"),
)
def shared_direction_is_toxic(m: Measurement) -> Verdict:
    beyond = m.value > m.details["cosine_matched_high"]
    return grade(direction=m.value > m.band[1], agrees=m.value >= 0.5 and beyond)


A3 = Claim(
    id="A3",
    source="A table 1",
    statement="The SVD of the closest value vectors gives readable toxic directions.",
    measured="share of toxic tokens among the ten most promoted by U0, U1, U2; families per direction",
    control="SVD of as many random value vectors, and of as many cosine-matched ones (40 draws each)",
    notebook="02",
    parts=(
        Part("U0", "listed: insults", "share of toxic tokens", shared_direction_is_toxic),
        Part("U1", "listed: sexual words", "share of toxic tokens", shared_direction_is_toxic),
        Part(
            "U2",
            "listed: sexual and gendered words",
            "share of toxic tokens",
            shared_direction_is_toxic,
        ),
    ),
)


@rule(
    "at a strength chosen for perplexity ≤ base × 1.075 on development text: agrees when the interval of the"
    " drop lies above 0 and above the bands of random directions of equal norm and at equal perplexity, and "
    "F1 falls by ≤ 10 % of base (point); direction only when the interval lies above 0",
    given=("interval", "control", "control_interval"),
    needs=(
        "dev_perplexity_ratio", "perplexity_ratio", "f1_fall", "f1_fall_low", "f1_fall_high",
        "equal_perplexity", "equal_perplexity_low", "equal_perplexity_high",
    ),
)  # fmt: skip
def steering_drop(m: Measurement) -> Verdict:
    in_budget = m.details["dev_perplexity_ratio"] <= 1.075
    beyond = m.low > max(m.band[1], m.details["equal_perplexity_high"])
    return grade(direction=in_budget and m.low > 0, agrees=beyond and m.details["f1_fall"] <= 0.1)


A4 = Claim(
    id="A4",
    source="A table 2",
    statement=(
        "Subtracting W, the best value vector or U0 at the last layer lowers "
        "toxicity at nearly equal perplexity and F1."
    ),
    measured=(
        "paired drop in toxicity at the largest strength with perplexity ≤ base × 1.075, on prompts, text "
        "and passages that it was not chosen on"
    ),
    control="random directions of equal norm, and at equal perplexity",
    notebook="03",
    parts=(
        Part("W", ".453 → .245", "paired drop of toxicity", steering_drop, BASE - 0.245),
        Part(
            "best value vector",
            ".453 → .305",
            "paired drop of toxicity",
            steering_drop,
            BASE - 0.305,
        ),
        Part("U0", ".453 → .268", "paired drop of toxicity", steering_drop, BASE - 0.268),
    ),
)


@rule(
    "agrees when the interval of the difference lies above 0 and above the control; direction only when"
    " above 0",
    given=("interval", "control"),
    needs=("share_kept", "fluency_chosen", "fluency_rejected"),
)
def pairs_differ(m: Measurement) -> Verdict:
    return grade(direction=m.low > 0, agrees=m.low > m.against)


A5 = Claim(
    id="A5",
    source="A table 9",
    statement="PPLM with the probe as attribute model crafts pairs whose rejected side is more toxic.",
    measured="toxicity of rejected minus chosen; share of attempts kept; fluency of both",
    control="the same steering along a random direction",
    notebook="04",
    parts=(Part("", "24,576 pairs", "difference in toxicity", pairs_differ),),
)


@rule(
    "agrees when the drop's interval, and the paired interval of what it exceeds either control's by, lie "
    "above 0 by each scorer that beats chance there (the second does if the interval of its AUROC lies above "
    ".5), perplexity is ≤ base × 1.08 and F1 falls by ≤ 10 % of base (points); direction only when the "
    "drop's interval lies above 0",
    given=("interval", "control"),
    needs=(
        "beyond_fine_tuned_low", "beyond_random_low", "second_auroc_low", "second_drop_low",
        "second_beyond_fine_tuned_low", "second_beyond_random_low", "perplexity_ratio", "f1_fall",
        "f1_fall_low", "f1_fall_high",
    ),
)  # fmt: skip
def dpo_drop(m: Measurement) -> Verdict:
    found = m.details
    lows = [found["beyond_fine_tuned_low"], found["beyond_random_low"]]
    if found["second_auroc_low"] > 0.5:
        names = ("drop", "beyond_fine_tuned", "beyond_random")
        lows += [found[f"second_{name}_low"] for name in names]
    unharmed = found["perplexity_ratio"] <= 1.08 and found["f1_fall"] <= 0.1
    return grade(direction=m.low > 0, agrees=min(lows) > 0 and unharmed)


A6 = Claim(
    id="A6",
    source="A table 2",
    statement="DPO on these pairs lowers toxicity, perplexity and F1 nearly unchanged.",
    measured=(
        "paired drop in toxicity, perplexity ratio and F1 on prompts, text and passages that nothing was "
        "chosen on, three seeds; the same drop on prompts of frames or topics that no training text has"
    ),
    control=(
        "fine-tuning on the chosen texts, and DPO on pairs along a random direction, equal steps; shown, not "
        "judged: DPO on rejection-sampled pairs"
    ),
    notebook="05",
    policies="both",
    parts=(
        Part(
            "fresh",
            ".453 → .208; perplexity 21.7 → 23.34",
            "paired drop of toxicity",
            dpo_drop,
            BASE - DPO,
        ),
        Part("unseen", "not given", "paired drop of toxicity", dpo_drop),
    ),
)


@rule(
    "agrees when the minimum cosine over tensors is > .99; direction only when the median is. The controls "
    "decide nothing: they say what such a cosine is worth",
    given=("control",),
    needs=(
        "median_cosine", "minimum_value_row", "minimum_key_row", "relative_change",
        "fine_tuned_relative_change", "toxicity", "nudged_toxicity",
    ),
)  # fmt: skip
def weights_barely_move(m: Measurement) -> Verdict:
    return grade(direction=m.details["median_cosine"] > 0.99, agrees=m.value > 0.99)


A7 = Claim(
    id="A7",
    source="A §5.1",
    statement="Parameters barely move.",
    measured=(
        "minimum cosine with the original over tensors (those that are not zero to begin with), over value "
        "rows, over key rows; ‖Δ‖/‖W‖"
    ),
    control=(
        "the fine-tuning of A6; shown beside: toxicity after a random step of the same length in every tensor"
    ),
    notebook="06",
    policies="both",
    parts=(Part("", "cosine > .99, all", "cosine", weights_barely_move),),
)


@rule(
    "agrees when the interval (over neurons) lies above both controls (points) and the share is ≥ .8; "
    "direction only when it lies above both controls",
    given=("interval", "control"),
    needs=(
        "activation_matched", "beyond_noise", "fine_tuned", "activation_before", "activation_after",
        "minimum_cosine",
    ),
)  # fmt: skip
def activations_fall(m: Measurement) -> Verdict:
    controls = max(m.against, m.details["activation_matched"])
    return grade(direction=m.low > controls, agrees=m.value >= 0.8)


A8 = Claim(
    id="A8",
    source="A figure 2",
    statement="Toxic vectors stay, their activations fall.",
    measured=(
        "share of toxic neurons whose mean activation falls; summed positive mean activation before and "
        "after; minimum cosine of a toxic value vector with its original"
    ),
    control=(
        "random neurons matched by layer and norm, and by layer and mean activation in base; shown beside: "
        "the same neurons in the fine-tuned model"
    ),
    notebook="06",
    policies="both",
    parts=(
        Part("own continuations", "plotted for 5", "share of neurons", activations_fall),
        Part("shared continuations", "not given", "share of neurons", activations_fall),
    ),
)


@rule(
    "agrees when the interval of the final drop lies above 0 and above the control's interval, and at "
    "least half of the drop is written in the last half of the layers (points); direction only when it lies "
    "above 0",
    given=("interval", "control", "control_interval"),
    needs=("base_probability", "aligned_probability", "late_share", "layer_of_largest_gap", "prompts"),
)
def averted_late(m: Measurement) -> Verdict:
    clear = m.low > m.band[1]
    return grade(direction=m.low > 0, agrees=clear and m.details["late_share"] >= 0.5)


A9 = Claim(
    id="A9",
    source="A figure 1",
    statement="Toxic tokens are averted inside the network, in its later layers.",
    measured=(
        "fall in probability of the first toxic token of base's greedy text, at every residual point, on text"
        " cut just before it"
    ),
    control=(
        "places of base's greedy text whose next token is not toxic, matched in base's probability of it "
        "(any change of a model lowers what was picked for being likeliest)"
    ),
    notebook="06",
    parts=(Part("", ".38 → .10, from layer 18 on", "drop in probability", averted_late, 0.38 - 0.10),),
)


@rule(
    "agrees when the input shift is ≥ .8 of the change (point) and the share of toxic neurons that are pushed"
    " down (interval over neurons) lies above the control's (point); direction only when the shift is ≥ .5 "
    "and that share lies above the control's",
    given=("interval", "control"),
    needs=(
        "norm_share", "key_share", "bias_share", "share_of_sum", "falling", "falling_low", "falling_control",
        "cosine_to_mean", "cosine_to_minus_W",
    ),
)  # fmt: skip
def input_shift(m: Measurement) -> Verdict:
    # Keys hardly move, so the shift explains nearly all of the change in any neuron.
    down = m.details["falling_low"] > m.details["falling_control"]
    return grade(direction=m.value >= 0.5 and down, agrees=m.value >= 0.8)


A10 = Claim(
    id="A10",
    source="A figure 4",
    statement="A residual offset carries the stream out of the regions in which toxic neurons fire.",
    measured=(
        "share of toxic neurons' mean change before the GELU, on shared text, that the shift of the stream "
        "explains (Σ part × change / Σ change², so that parts add up to 1); shares of LayerNorm, keys and "
        "biases; cosine of texts' shifts with the mean shift, of the mean with −W"
    ),
    control="random neurons matched by layer and norm",
    notebook="06",
    policies="both",
    parts=(Part("", "plotted", "share of the change", input_shift),),
)


@rule(
    "agrees when the part written by base activations × value-vector shifts is positive along the offset "
    "and the largest of the sources (points), most mean activations are negative, and the shifts' mean "
    "cosine with the offset is negative and grows in size with depth; direction only when that part is "
    "positive",
    given=("interval", "control", "control_interval"),
    needs=(
        "shift_cosine", "depth_trend", "negative_share", "activation_part", "interaction_part",
        "attention_part", "embedding_part", "bias_part", "residue", "neurons_for_half", "fine_tuned",
    ),
)  # fmt: skip
def offset_from_value_shifts(m: Measurement) -> Verdict:
    others = ("activation_part", "interaction_part", "attention_part", "embedding_part", "bias_part")
    largest = m.value > max(m.details[name] for name in others)
    against, deeper = m.details["shift_cosine"] < 0, m.details["depth_trend"] > 0
    mostly = m.details["negative_share"] > 0.5
    return grade(direction=m.value > 0, agrees=largest and mostly and against and deeper)


A11 = Claim(
    id="A11",
    source="A figure 5",
    statement=(
        "The offset is written by many small value-vector shifts against mostly negative activations."
    ),
    measured=(
        "part of the mean offset before the last MLP, along itself, written by base activation × value-vector"
        " shift (interval over neurons), beside the other sources; the shifts' cosine with the offset by "
        "layer; signs of mean activations"
    ),
    control=(
        "shifts and activations paired anew within each layer (40 draws): what the two means alone give; "
        "shown beside: the fine-tuned model's own offset"
    ),
    notebook="06",
    policies="both",
    parts=(Part("", "plotted", "part of the offset", offset_from_value_shifts),),
)


@rule(
    "at perplexity ≤ aligned × 1.08 and fluency ≤ base samples × 1.5 (points, on prompts and text that the "
    "setting was not chosen on), interval above the band of matched random neurons: agrees when ≥ .5 is "
    "recovered (point) with ≤ 1 % of the neurons; direction only otherwise",
    given=("interval", "control", "control_interval"),
    needs=("neuron_share", "perplexity_ratio", "fluency_ratio", "same_edit_on_base"),
)
def keys_unalign(m: Measurement) -> Verdict:
    in_budget = m.details["perplexity_ratio"] <= 1.08 and m.details["fluency_ratio"] <= 1.5
    few = m.details["neuron_share"] <= 0.01
    return grade(direction=in_budget and m.low > m.band[1], agrees=m.value >= 0.5 and few)


A12 = Claim(
    id="A12",
    source="A table 4",
    statement="Scaling the keys of a few toxic neurons un-aligns the model.",
    measured=(
        "share of the gap between base and aligned recovered, perplexity and fluency held, at the number of "
        "keys and the factor that recover most on development prompts; smallest number that recovers half"
    ),
    control=(
        "random neurons matched by layer and norm, equal number and factor; shown, not judged: the same edit "
        "on base"
    ),
    notebook="09",
    policies="both",
    parts=(
        Part(
            "",
            "7 keys × 10: .208 → .458",
            "share recovered",
            keys_unalign,
            (0.458 - DPO) / (BASE - DPO),
        ),
    ),
)

LEE = (A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12)
