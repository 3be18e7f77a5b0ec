"""Every rule gives each verdict it can, refuses what it cannot judge, and rewards only stronger evidence."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.teaching.claims.ledger import CLAIMS, Measurement, Verdict, judge

AGREES, DIRECTION, NOT_REPRODUCED, NOT_RUN = Verdict


def m(value, low=None, high=None, control=None, band=None, **details):
    interval = None if low is None else (low, high)
    return Measurement(value, interval, "", control, band, details)


A1 = {"above_majority_low": 0.1, "above_grouping_low": 0.01}
A1 |= {"auroc": 0.9, "auroc_low": 0.88, "auroc_high": 0.92}
NULL = {"cosine_matched": 0.3, "cosine_matched_low": 0.2, "cosine_matched_high": 0.45}  # A2 and A3
NEAR = {"cosine_with_probe": 0.9}
A4 = {"dev_perplexity_ratio": 1.075, "perplexity_ratio": 1.09, "f1_fall": 0.1, "f1_fall_low": 0.0,
      "f1_fall_high": 0.2, "equal_perplexity": 0.0, "equal_perplexity_low": -0.08,
      "equal_perplexity_high": 0.08}  # fmt: skip
A5 = {"share_kept": 0.5, "fluency_chosen": 9.0, "fluency_rejected": 12.0}
A6 = {"beyond_fine_tuned_low": 0.01, "beyond_random_low": 0.01, "second_auroc_low": 0.51,
      "second_drop_low": 0.01, "second_beyond_fine_tuned_low": 0.01, "second_beyond_random_low": 0.01,
      "perplexity_ratio": 1.08, "f1_fall": 0.1, "f1_fall_low": 0.0, "f1_fall_high": 0.2}  # fmt: skip
# A second scorer that is at chance has no say.
SILENT = {"second_auroc_low": 0.5, "second_drop_low": -0.1, "second_beyond_fine_tuned_low": -0.1,
          "second_beyond_random_low": -0.1}  # fmt: skip
A7 = {"minimum_value_row": 0.98, "minimum_key_row": 0.98, "relative_change": 0.01,
      "fine_tuned_relative_change": 0.02, "toxicity": 0.2, "nudged_toxicity": 0.5}  # fmt: skip
A8 = {"activation_matched": 0.6, "beyond_noise": 0.7, "fine_tuned": 0.5, "activation_before": 3.0,
      "activation_after": 1.0, "minimum_cosine": 0.999}  # fmt: skip
A9 = {"base_probability": 0.4, "aligned_probability": 0.1, "late_share": 0.6, "layer_of_largest_gap": 4,
      "prompts": 100}  # fmt: skip
A10 = {"norm_share": 0.05, "key_share": 0.1, "bias_share": 0.0, "share_of_sum": 0.9, "falling": 0.9,
       "falling_low": 0.8, "falling_control": 0.5, "cosine_to_mean": 0.8,
       "cosine_to_minus_W": 0.3}  # fmt: skip
A11 = {"shift_cosine": -0.2, "depth_trend": 0.5, "negative_share": 0.8, "activation_part": 0.29,
       "interaction_part": 0.01, "attention_part": 0.2, "embedding_part": 0.1, "bias_part": 0.0,
       "residue": 1e-7, "neurons_for_half": 0.1, "fine_tuned": 0.3}  # fmt: skip
A12 = {"neuron_share": 0.01, "perplexity_ratio": 1.08, "fluency_ratio": 1.5, "same_edit_on_base": 0.2}
RANDOM_KEYS = (-0.05, 0.1)
B2 = {"perplexity_ratio": 1.0, "fluency_ratio": 1.2}
B4 = {"TP": 0.3, "TN": 0.2, "AP": 0.06, "AN": 0.4, "TP_null_high": 0.28, "AN_null_high": 0.3,
      "TP_near_offset_high": 0.29, "AN_near_offset_high": 0.3}  # fmt: skip
B7 = {"TP": 0.2, "TN": 0.1, "AP": 0.1, "AN": 0.2, "all_neurons": 0.9, "random_direction": 0.4,
      "perplexity_ratio": 1.08, "fluency_ratio": 1.5, "divergence_explained": 0.5}  # fmt: skip
B8 = {"perplexity_ratio": 1.0, "fluency_ratio": 1.5, "random_signs": 0.1}
B3 = {"final_share": 0.32, "top_128_share": 0.05, "effect_share": 0.2}
N2 = {"null_80_high": 0.3, "near_offset": 0.2, "near_offset_high": 0.15}
N3 = {"ways_compared": 2, "first_low": 0.6, "dev_perplexity_ratio": 1.08, "dev_fluency_ratio": 1.5,
      "perplexity_ratio": 1.1, "fluency_ratio": 1.4, "seeds": 3, "seeds_in_order": 3}  # fmt: skip
N4 = {"undefended": 0.6, "perplexity_ratio": 1.08, "toxicity_change": -0.01}
N6 = {"second_scorer_auroc_low": 0.7, "verdicts": 8}

CASES = [
    ("A1", "as found", m(0.85, 0.83, 0.92, 0.5, **A1), AGREES),
    ("A1", "as found", m(0.849, 0.83, 0.92, 0.5, **A1), DIRECTION),
    ("A1", "as found", m(0.9, 0.88, 0.92, 0.88, **A1), NOT_REPRODUCED),
    ("A1", "as found", m(0.9, 0.88, 0.92, 0.879, **A1), AGREES),
    ("A1", "as found", m(0.9, 0.88, 0.92, 0.5, **(A1 | {"above_majority_low": 0.0})), NOT_REPRODUCED),
    ("A1", "as found", m(0.9, 0.88, 0.92, 0.5, **(A1 | {"above_grouping_low": 0.0})), NOT_REPRODUCED),
    ("A1", "matched", m(0.8, 0.75, 0.85, 0.5), AGREES),
    ("A1", "matched", m(0.79, 0.75, 0.85, 0.5), DIRECTION),
    ("A1", "matched", m(0.9, 0.5, 0.95, 0.5), NOT_REPRODUCED),
    ("A2", "top 10", m(0.5, 0.4, 0.6, 0.1, **NULL), AGREES),
    ("A2", "top 10", m(0.4, 0.3, 0.5, 0.1, **NULL), DIRECTION),
    ("A2", "top 10", m(0.45, 0.4, 0.6, 0.1, **NULL), DIRECTION),
    ("A2", "top 10", m(0.451, 0.4, 0.6, 0.1, **NULL), AGREES),
    ("A2", "top 64", m(0.12, 0.1, 0.2, 0.1, **NULL), NOT_REPRODUCED),
    ("A2", "top 64", m(0.6, 0.1, 0.7, 0.1, **NULL), NOT_REPRODUCED),
    ("A3", "U0", m(0.5, control=0.05, band=(0.0, 0.2), **NULL, **NEAR), AGREES),
    ("A3", "U0", m(0.49, control=0.05, band=(0.0, 0.2), **NULL, **NEAR), DIRECTION),
    ("A3", "U0", m(0.9, control=0.05, band=(0.0, 0.2), **(NULL | {"cosine_matched_high": 0.9}), **NEAR),
     DIRECTION),
    ("A3", "U0", m(0.6, control=0.3, band=(0.1, 0.6), **NULL, **NEAR), NOT_REPRODUCED),
    ("A3", "U1", m(0.5, control=0.05, band=(0.0, 0.2), **NULL, **NEAR), AGREES),
    ("A3", "U1", m(0.3, control=0.05, band=(0.0, 0.2), **NULL, **NEAR), DIRECTION),
    ("A3", "U1", m(0.2, control=0.05, band=(0.0, 0.2), **NULL, **NEAR), NOT_REPRODUCED),
    ("A3", "U2", m(0.0, control=0.05, band=(0.0, 0.2), **NULL, **NEAR), NOT_REPRODUCED),
    ("A4", "W", m(0.2, 0.1, 0.3, 0.0, (-0.05, 0.05), **A4), AGREES),
    ("A4", "best value vector", m(0.2, 0.1, 0.3, 0.05, (0.0, 0.12), **A4), DIRECTION),
    ("A4", "U0", m(0.2, -0.01, 0.3, 0.0, (-0.05, 0.05), **A4), NOT_REPRODUCED),
    ("A4", "W", m(0.2, 0.08, 0.3, 0.0, (-0.05, 0.05), **A4), DIRECTION),
    ("A4", "W", m(0.2, 0.081, 0.3, 0.0, (-0.05, 0.05), **A4), AGREES),
    ("A4", "W", m(0.2, 0.1, 0.3, 0.0, (-0.05, 0.05), **(A4 | {"f1_fall": 0.101})), DIRECTION),
    ("A4", "W", m(0.2, 0.1, 0.3, 0.0, (-0.05, 0.05), **(A4 | {"dev_perplexity_ratio": 1.076})),
     NOT_REPRODUCED),
    ("A4", "W", m(-0.2, -0.3, -0.1, -0.5, (-0.6, -0.4), **A4), NOT_REPRODUCED),
    ("A5", "", m(0.3, 0.2, 0.4, 0.1, **A5), AGREES),
    ("A5", "", m(0.3, 0.2, 0.4, 0.25, **A5), DIRECTION),
    ("A5", "", m(0.1, -0.1, 0.3, -0.2, **A5), NOT_REPRODUCED),
    ("A6", "fresh", m(0.2, 0.01, 0.25, 0.1, **A6), AGREES),
    ("A6", "unseen", m(0.1, 0.0, 0.2, 0.05, **A6), NOT_REPRODUCED),
    *(
        ("A6", "fresh", m(0.2, 0.15, 0.25, 0.1, **(A6 | worse)), DIRECTION)
        for worse in (
            {"beyond_fine_tuned_low": 0.0}, {"beyond_random_low": 0.0}, {"second_drop_low": 0.0},
            {"second_beyond_fine_tuned_low": 0.0}, {"second_beyond_random_low": 0.0},
            {"perplexity_ratio": 1.081}, {"f1_fall": 0.101},
        )
    ),
    ("A6", "unseen", m(0.2, 0.15, 0.25, 0.1, **(A6 | SILENT)), AGREES),
    ("A6", "unseen", m(0.2, 0.15, 0.25, 0.1, **(A6 | SILENT | {"second_auroc_low": 0.501})), DIRECTION),
    ("A7", "", m(0.995, control=0.97, median_cosine=0.999, **A7), AGREES),
    ("A7", "", m(0.99, control=0.97, median_cosine=0.999, **A7), DIRECTION),
    ("A7", "", m(0.9, control=0.97, median_cosine=0.99, **A7), NOT_REPRODUCED),
    ("A8", "own continuations", m(0.9, 0.85, 0.95, 0.5, **A8), AGREES),
    ("A8", "shared continuations", m(0.75, 0.7, 0.8, 0.5, **A8), DIRECTION),
    ("A8", "own continuations", m(0.9, 0.85, 0.95, 0.88, **A8), NOT_REPRODUCED),
    ("A8", "own continuations", m(0.9, 0.85, 0.95, 0.5, **(A8 | {"activation_matched": 0.85})),
     NOT_REPRODUCED),
    ("A9", "", m(0.3, 0.2, 0.4, 0.0, (-0.1, 0.1), **A9), AGREES),
    ("A9", "", m(0.3, 0.2, 0.4, 0.1, (0.0, 0.2), **A9), DIRECTION),
    ("A9", "", m(0.3, 0.2, 0.4, 0.0, (-0.1, 0.1), **(A9 | {"late_share": 0.49})), DIRECTION),
    ("A9", "", m(0.3, -0.1, 0.4, -0.5, (-0.6, -0.4), **A9), NOT_REPRODUCED),
    ("A10", "", m(0.8, 0.7, 0.9, 0.5, **A10), AGREES),
    ("A10", "", m(0.5, 0.4, 0.6, 0.5, **A10), DIRECTION),
    ("A10", "", m(0.49, 0.4, 0.6, 0.5, **A10), NOT_REPRODUCED),
    ("A10", "", m(0.99, 0.98, 0.99, 0.99, **(A10 | {"falling_low": 0.5})), NOT_REPRODUCED),
    ("A11", "", m(0.3, 0.2, 0.4, 0.1, (0.0, 0.2), **A11), AGREES),
    *(
        ("A11", "", m(0.3, 0.2, 0.4, 0.1, (0.0, 0.2), **(A11 | other)), DIRECTION)
        for other in (
            {"shift_cosine": 0.2}, {"depth_trend": -0.5}, {"negative_share": 0.5}, {"attention_part": 0.3},
        )
    ),
    ("A11", "", m(-0.3, -0.4, -0.2, 0.1, (0.0, 0.2), **A11), NOT_REPRODUCED),
    ("A12", "", m(0.6, 0.4, 0.8, 0.05, RANDOM_KEYS, **A12), AGREES),
    ("A12", "", m(0.4, 0.2, 0.6, 0.05, RANDOM_KEYS, **A12), DIRECTION),
    ("A12", "", m(0.6, 0.4, 0.8, 0.05, RANDOM_KEYS, **(A12 | {"neuron_share": 0.02})), DIRECTION),
    ("A12", "", m(0.6, 0.4, 0.8, 0.05, (-0.1, 0.4), **A12), NOT_REPRODUCED),
    ("A12", "", m(0.6, 0.4, 0.8, 0.05, RANDOM_KEYS, **(A12 | {"perplexity_ratio": 1.09})), NOT_REPRODUCED),
    ("A12", "", m(0.6, 0.4, 0.8, 0.05, RANDOM_KEYS, **(A12 | {"fluency_ratio": 1.6})), NOT_REPRODUCED),
    ("B1", "", m(0.1, 0.05, 0.2, 0.2, perplexity_ratio=1.0), AGREES),
    ("B1", "", m(0.1, -0.05, 0.2, 0.2, perplexity_ratio=1.0), DIRECTION),
    ("B1", "", m(0.0, -0.05, 0.2, 0.2, perplexity_ratio=1.0), NOT_REPRODUCED),
    ("B1", "", m(0.1, 0.05, 0.2, 0.2, perplexity_ratio=1.3), NOT_REPRODUCED),
    ("B1", "", m(0.1, 0.05, 0.2, 0.1, perplexity_ratio=1.0), DIRECTION),
    ("B2", "constant", m(0.1, 0.05, 0.2, 0.2, **B2), AGREES),
    ("B2", "constant", m(0.1, 0.05, 0.2, 0.1, **B2), DIRECTION),
    ("B2", "per token", m(0.1, -0.05, 0.2, 0.2, **B2), DIRECTION),
    ("B2", "constant", m(-0.1, -0.2, 0.05, 0.2, **B2), NOT_REPRODUCED),
    ("B3", "whole Δ", m(0.3, control=0.25, **B3), AGREES),
    ("B3", "activation Δ", m(0.3, control=0.25, **(B3 | {"effect_share": 0.6})), DIRECTION),
    ("B3", "whole Δ", m(0.3, control=0.25, **(B3 | {"final_share": 0.5})), DIRECTION),
    ("B3", "whole Δ", m(0.5, control=0.25, **B3), NOT_REPRODUCED),
    ("B4", "v1 groups", m(0.06, control=0.1, **B4), AGREES),
    ("B4", "final groups", m(0.06, control=0.1, **(B4 | {"AN_null_high": 0.5})), DIRECTION),
    ("B4", "final groups", m(0.06, control=0.1, **(B4 | {"TP_near_offset_high": 0.3})), DIRECTION),
    ("B4", "v1 groups", m(0.04, control=0.1, **(B4 | {"AP": 0.04})), NOT_REPRODUCED),
    ("B5", "", m(0.3, 0.2, 0.4, 0.05, given_back=3.0), AGREES),
    ("B5", "", m(0.15, 0.1, 0.2, 0.05, given_back=3.0), DIRECTION),
    ("B5", "", m(0.4, 0.3, 0.5, 0.35, given_back=3.0), NOT_REPRODUCED),
    ("B6", "whole Δ", m(0.2, 0.1, 0.4, 0.0, beyond_noise=0.3), AGREES),
    ("B6", "whole Δ", m(0.2, 0.1, 0.4, 0.0, beyond_noise=-0.5), DIRECTION),
    ("B6", "activation Δ", m(0.4, 0.3, 0.6, 0.0, beyond_noise=0.3), DIRECTION),
    ("B6", "whole Δ", m(0.6, 0.55, 0.65, 0.0, beyond_noise=0.3), NOT_REPRODUCED),
    ("B6", "whole Δ", m(-0.9, -1.0, -0.8, 0.0, beyond_noise=0.3), NOT_REPRODUCED),
    ("B7", "constant", m(0.7, 0.5, 0.85, 0.3, **B7), AGREES),
    ("B7", "per token", m(0.6, 0.5, 0.7, 0.3, **B7), DIRECTION),
    ("B7", "constant", m(0.7, 0.5, 0.85, 0.7, **B7), DIRECTION),
    *(
        ("B7", "constant", m(0.7, 0.5, 0.85, 0.3, **(B7 | worse)), DIRECTION)
        for worse in (
            {"random_direction": 0.7}, {"perplexity_ratio": 1.081}, {"fluency_ratio": 1.51},
            {"divergence_explained": 0.49},
        )
    ),
    ("B7", "constant", m(0.4, 0.0, 0.9, 0.3, **B7), NOT_REPRODUCED),
    ("B8", "constant", m(-0.05, -0.1, 0.0, 0.1, **B8), AGREES),
    ("B8", "live scaling", m(0.05, -0.1, 0.12, 0.1, **B8), DIRECTION),
    ("B8", "constant", m(0.1, -0.1, 0.12, 0.2, **B8), NOT_REPRODUCED),
    ("B8", "constant", m(0.1, -0.1, 0.12, 0.05, **(B8 | {"random_signs": 0.2})), NOT_REPRODUCED),
    ("B8", "constant", m(-0.05, -0.1, 0.0, 0.1, **(B8 | {"perplexity_ratio": 1.01})), NOT_REPRODUCED),
    ("B8", "constant", m(-0.05, -0.1, 0.0, 0.1, **(B8 | {"fluency_ratio": 1.51})), NOT_REPRODUCED),
    ("N1", "", m(1e-6), AGREES),
    ("N1", "", m(-1e-3), NOT_REPRODUCED),
    ("N2", "", m(0.5, control=0.2, band=(0.05, 0.4), **N2), AGREES),
    ("N2", "", m(0.5, control=0.2, band=(0.05, 0.4), **(N2 | {"near_offset": 0.15})), DIRECTION),
    ("N2", "", m(0.35, control=0.2, band=(0.05, 0.4), **N2), DIRECTION),
    ("N2", "", m(0.2, control=0.2, band=(0.05, 0.4), **N2), NOT_REPRODUCED),
    ("N3", "", m(0.3, 0.1, 0.5, 0.2, (0.1, 0.3), **N3), AGREES),
    ("N3", "", m(0.3, 0.0, 0.5, 0.2, (0.1, 0.3), **N3), NOT_REPRODUCED),
    ("N3", "", m(0.3, 0.1, 0.5, 0.2, (0.1, 0.6), **N3), NOT_REPRODUCED),
    *(
        ("N3", "", m(0.3, 0.1, 0.5, 0.2, (0.1, 0.3), **(N3 | worse)), NOT_REPRODUCED)
        for worse in (
            {"ways_compared": 1}, {"dev_perplexity_ratio": 1.081}, {"dev_fluency_ratio": 1.501},
            {"seeds_in_order": 2},
        )
    ),
    ("N4", "zeroing", m(0.5, 0.4, 0.599, 0.6, **N4), AGREES),
    ("N4", "zeroing", m(0.5, 0.4, 0.6, 0.65, **N4), DIRECTION),
    ("N4", "zeroing", m(0.5, 0.4, 0.55, 0.55, **N4), DIRECTION),
    ("N4", "projection", m(0.6, 0.3, 0.7, 0.5, **N4), NOT_REPRODUCED),
    ("N4", "projection", m(0.2, 0.1, 0.3, 0.5, **(N4 | {"perplexity_ratio": 1.081})), NOT_REPRODUCED),
    ("N5", "", m(0, seeds=3, verdicts=20), AGREES),
    ("N5", "", m(2, seeds=3, verdicts=20), DIRECTION),
    ("N5", "", m(3, seeds=3, verdicts=20), NOT_REPRODUCED),
    ("N5", "", m(0, seeds=2, verdicts=20), NOT_RUN),
    ("N6", "", m(0, **N6), AGREES),
    ("N6", "", m(1, **N6), NOT_REPRODUCED),
    ("N7", "", m(0, seeds=3, verdicts=30), AGREES),
    ("N7", "", m(3, seeds=3, verdicts=30), DIRECTION),
    ("N7", "", m(4, seeds=3, verdicts=30), NOT_REPRODUCED),
    ("N7", "", m(0, seeds=2, verdicts=30), NOT_RUN),
    ("N6", "", m(0, **(N6 | {"second_scorer_auroc_low": 0.5})), NOT_RUN),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "part", "measurement", "verdict"), CASES)
def test_each_verdict(claim, part, measurement, verdict):
    assert judge(claim, measurement, part=part) is verdict


# Measurements of natural data, each of which an earlier rule was too kind to.
TOO_KIND = {
    "84 % of the comments are toxic, and so many are read rightly: to call every one toxic does as much": (
        "A1", "as found", m(0.84, 0.81, 0.87, 0.16, **(A1 | {"above_majority_low": -0.03})), NOT_REPRODUCED
    ),
    "85 % are toxic, and 86.3 % are read rightly, at an AUROC of .85": (
        "A1", "as found", m(0.863, 0.83, 0.897, 0.848, (0.848, 0.848), above_majority_low=-0.005,
                            above_grouping_low=-0.005, auroc=0.85, auroc_low=0.79, auroc_high=0.9),
        NOT_REPRODUCED,
    ),
    "50 of 64 vectors have no toxic word, and vectors of the same cosines do as well": (
        "A2", "top 64", m(0.05, 0.03, 0.08, 0.002, cosine_matched=0.04, cosine_matched_low=0.02,
                          cosine_matched_high=0.06), DIRECTION
    ),
    "one token in ten is toxic": (
        "A3", "U1", m(0.1, control=0.008, band=(0.0, 0.0025), cosine_matched=0.0, cosine_matched_low=0.0,
                      cosine_matched_high=0.0, cosine_with_probe=0.03), DIRECTION
    ),
    "one token in ten is toxic, as in some draw of random neurons": (
        "A3", "U1", m(0.1, control=0.008, band=(0.0, 0.1), cosine_matched=0.0, cosine_matched_low=0.0,
                      cosine_matched_high=0.0, cosine_with_probe=0.03), NOT_REPRODUCED
    ),
    "6 % of base (.51) beyond every random direction, but F1 falls by a fifth": (
        "A4", "U0", m(0.03, 0.02, 0.04, -0.001, (-0.01, 0.01), **(A4 | {
            "f1_fall": 0.2, "equal_perplexity_low": -0.01, "equal_perplexity_high": 0.01})), DIRECTION
    ),
    "rejected sides are more toxic, but a random push makes them more so": (
        "A5", "", m(0.389, 0.352, 0.422, 0.424, **A5), DIRECTION
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TOO_KIND.values(), ids=TOO_KIND)
def test_a_verdict_says_no_more_than_its_numbers(case):
    claim, part, measurement, verdict = case
    assert judge(claim, measurement, part=part) is verdict


def test_the_cases_cover_every_rule_and_every_verdict_it_names():
    given_verdicts: dict[str, set[Verdict]] = {}
    judged_parts = set()
    for claim, part, _, verdict in CASES:
        given_verdicts.setdefault(CLAIMS[claim].part(part).rule.text, set()).add(verdict)
        judged_parts.add((claim, part))
    assert judged_parts == {(claim.id, part.name) for claim in CLAIMS.values() for part in claim.parts}
    for text, verdicts in given_verdicts.items():
        named = {AGREES, NOT_REPRODUCED}
        named |= {DIRECTION} if "direction only" in text else set()
        named |= {NOT_RUN} if "not run" in text else set()
        assert verdicts == named, text


STRENGTH = {NOT_RUN: -1, NOT_REPRODUCED: 0, DIRECTION: 1, AGREES: 2}
# Claims whose evidence grows as the value rises (+1) or falls (-1), all else equal; and those whose rule
# judges the details alone (B4), wants the value between two others (B1, B2), or asks how near to nothing or
# how far from the usual it is.
GROWS = {"A1": 1, "A2": 1, "A3": 1, "A4": 1, "A5": 1, "A6": 1, "A7": 1, "A8": 1, "A9": 1, "A10": 1, "A11": 1,
         "A12": 1, "B3": -1, "B5": 1, "B7": 1, "B8": -1, "N3": 1, "N4": -1}  # fmt: skip
NO_DIRECTION = {"B1", "B2", "B4", "B6", "N1", "N2", "N5", "N6", "N7"}


def test_every_claim_says_which_way_its_evidence_grows():
    assert sorted([*GROWS, *NO_DIRECTION]) == sorted(CLAIMS), "Put the claim into GROWS or NO_DIRECTION."


@pytest.mark.parametrize("case", [case for case in CASES if case[0] in GROWS])
@settings(max_examples=20, deadline=None)
@given(shift=st.floats(0.0, 2.0))
def test_more_evidence_never_lowers_a_verdict(case, shift):
    claim, part, old, verdict = case
    step = shift * GROWS[claim]
    interval = None if old.interval is None else (old.interval[0] + step, old.interval[1] + step)
    moved = Measurement(old.value + step, interval, "", old.control, old.control_interval, old.details)
    assert STRENGTH[judge(claim, moved, part=part)] >= STRENGTH[verdict]


@pytest.mark.parametrize("case", [case for case in CASES if case[2].interval is not None and case[0] != "B7"])
@settings(max_examples=20, deadline=None)
@given(wider=st.floats(0.0, 2.0))
def test_less_certainty_never_raises_a_verdict(case, wider):
    claim, part, old, verdict = case
    interval = (old.interval[0] - wider, old.interval[1] + wider)
    blurred = Measurement(old.value, interval, "", old.control, old.control_interval, old.details)
    assert STRENGTH[judge(claim, blurred, part=part)] <= STRENGTH[verdict]


@pytest.mark.parametrize("case", CASES)
def test_what_a_rule_needs_is_asked_for_by_name(case):
    claim, part, full, _ = case
    rule = CLAIMS[claim].part(part).rule
    for name in rule.given:
        fields = {
            f: getattr(full, f) for f in ("value", "interval", "control", "control_interval", "details")
        }
        with pytest.raises(ValueError, match=name):
            judge(claim, Measurement(**(fields | {name: None})), part=part)
    for key in rule.needs:
        details = {k: v for k, v in full.details.items() if k != key}
        with pytest.raises(ValueError, match=key):
            judge(
                claim,
                Measurement(full.value, full.interval, "", full.control, full.control_interval, details),
                part=part,
            )


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_measurement_is_finite(number):
    with pytest.raises(ValueError, match="value is"):
        Measurement(number)
    with pytest.raises(ValueError, match="details"):
        Measurement(1.0, details={"loss": number})


def test_swapped_interval_is_refused():
    with pytest.raises(ValueError, match="swap the ends"):
        Measurement(1.0, (2.0, 0.0))


def test_numbers_become_plain_floats():
    import numpy as np

    measured = Measurement(np.float64(0.5), (np.float64(0.4), np.float64(0.6)), details={"n": np.float64(3)})
    assert {type(measured.value), type(measured.interval[0]), type(measured.details["n"])} == {float}
