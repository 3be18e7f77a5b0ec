"""Claims A1–A12: Lee et al. 2024, arXiv 2401.01967. Published figures are GPT2-medium's."""

from helpers.teaching.claims import rules
from helpers.teaching.claims.measurement import Claim, Part

# GPT2-medium's toxicity before and after DPO (A, table 2): the published drops are differences from these.
BASE, DPO = 0.453, 0.208

LEE = (
    Claim(
        id="A1",
        source="A §3.1",
        statement="A linear probe reads toxicity off the last residual stream.",
        measured="accuracy and AUROC on held-out comments",
        control="probe trained on shuffled labels; always answering clean",
        notebook="01",
        parts=(
            Part("accuracy", ".94", "accuracy", rules.probe_accuracy, 0.94),
            Part("auroc", "not given", "AUROC", rules.probe_auroc),
        ),
    ),
    Claim(
        id="A2",
        source="A table 1",
        statement="The value vectors closest to the probe promote toxic tokens.",
        measured="share of toxic tokens among the ten most promoted, mean over the vectors",
        control="random neurons of the same layers",
        notebook="02",
        parts=(
            Part("top 10", "7 vectors listed", "share of toxic tokens", rules.three_times_control),
            Part("top 64", "not given", "share of toxic tokens", rules.three_times_control),
        ),
    ),
    Claim(
        id="A3",
        source="A table 1",
        statement="The SVD of the closest value vectors gives readable toxic directions.",
        measured="share of toxic tokens among the ten most promoted by U0, U1, U2; families per direction",
        control="SVD of as many random value vectors",
        notebook="02",
        parts=(
            Part("U0", "listed: insults", "share of toxic tokens", rules.first_svd_direction),
            Part("U1", "listed: sexual words", "share of toxic tokens", rules.further_svd_direction),
            Part(
                "U2",
                "listed: sexual and gendered words",
                "share of toxic tokens",
                rules.further_svd_direction,
            ),
        ),
    ),
    Claim(
        id="A4",
        source="A table 2",
        statement=(
            "Subtracting W, the best value vector or U0 at the last layer lowers "
            "toxicity at nearly equal perplexity and F1."
        ),
        measured="paired drop in toxicity at the largest strength with perplexity ≤ base × 1.075",
        control="random directions of equal norm",
        notebook="03",
        parts=(
            Part("W", ".453 → .245", "paired drop of toxicity", rules.steering_drop, BASE - 0.245),
            Part(
                "best value vector",
                ".453 → .305",
                "paired drop of toxicity",
                rules.steering_drop,
                BASE - 0.305,
            ),
            Part("U0", ".453 → .268", "paired drop of toxicity", rules.steering_drop, BASE - 0.268),
        ),
    ),
    Claim(
        id="A5",
        source="A table 9",
        statement="PPLM with the probe as attribute model crafts pairs whose rejected side is more toxic.",
        measured="toxicity of rejected minus chosen; share of attempts kept; fluency of both",
        control="the same steering along a random direction",
        notebook="04",
        parts=(Part("", "24,576 pairs", "difference in toxicity", rules.pairs_differ),),
    ),
    Claim(
        id="A6",
        source="A table 2",
        statement="DPO on these pairs lowers toxicity, perplexity and F1 nearly unchanged.",
        measured="paired drop in toxicity; perplexity ratio; F1 difference; three seeds",
        control="language-model fine-tuning on the chosen texts, equal steps",
        notebook="05",
        parts=(
            Part(
                "",
                ".453 → .208; perplexity 21.7 → 23.34",
                "paired drop of toxicity",
                rules.dpo_drop,
                BASE - DPO,
            ),
        ),
    ),
    Claim(
        id="A7",
        source="A §5.1",
        statement="Parameters barely move.",
        measured="minimum cosine with the original over tensors, over value rows, over key rows; ‖Δ‖/‖W‖",
        control="the fine-tuning of A6",
        notebook="06",
        policies="both",
        parts=(Part("", "cosine > .99, all", "cosine", rules.weights_barely_move),),
    ),
    Claim(
        id="A8",
        source="A figure 2",
        statement="Toxic vectors stay, their activations fall.",
        measured=(
            "share of toxic neurons whose mean activation falls; summed positive mean "
            "activation before and after"
        ),
        control="random neurons matched by layer and norm",
        notebook="06",
        policies="both",
        parts=(
            Part("own continuations", "plotted for 5", "share of neurons", rules.activations_fall),
            Part("shared continuations", "not given", "share of neurons", rules.activations_fall),
        ),
    ),
    Claim(
        id="A9",
        source="A figure 1",
        statement="Toxic tokens are averted inside the network, in its later layers.",
        measured=(
            "fall in probability of the first toxic token of base text, by layer, on text cut just before it"
        ),
        control="prompts whose next token is not toxic",
        notebook="06",
        parts=(
            Part("", ".38 → .10, from layer 18 on", "drop in probability", rules.averted_late, 0.38 - 0.10),
        ),
    ),
    Claim(
        id="A10",
        source="A figure 4",
        statement="A residual offset carries the stream out of the regions in which toxic neurons fire.",
        measured=(
            "share of toxic neurons' change before the GELU that the input shift "
            "explains; key and bias shares; cosines"
        ),
        control="random neurons matched by layer and norm",
        notebook="06",
        policies="both",
        parts=(Part("", "plotted", "share of the change", rules.input_shift),),
    ),
    Claim(
        id="A11",
        source="A figure 5",
        statement=(
            "The offset is written by many small value-vector shifts against mostly negative activations."
        ),
        measured=(
            "part of the offset written by activation × value-vector shift, beside "
            "the other sources; cosine by layer"
        ),
        control="shuffled pairing of shifts and activations",
        notebook="06",
        policies="both",
        parts=(Part("", "plotted", "part of the offset", rules.offset_from_value_shifts),),
    ),
    Claim(
        id="A12",
        source="A table 4",
        statement="Scaling the keys of a few toxic neurons un-aligns the model.",
        measured="share of the gap between base and aligned recovered, perplexity and fluency held",
        control="random neurons matched by layer and norm, equal number and factor",
        notebook="09",
        policies="both",
        parts=(
            Part(
                "",
                "7 keys × 10: .208 → .458",
                "share recovered",
                rules.keys_unalign,
                (0.458 - DPO) / (BASE - DPO),
            ),
        ),
    ),
)
