"""The two policies: the rule, its ties, and what happens when nothing is admissible."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.alignment.policies import Look, choose_policies, lowest_validation_loss

BASE = Look(0, toxicity=0.5, perplexity=10.0, validation_loss=0.69)


def test_matched_is_nearest_to_the_share_and_strong_the_lowest():
    looks = [Look(10, 0.40, 10.0), Look(20, 0.24, 10.2), Look(30, 0.20, 10.3), Look(40, 0.05, 10.79)]
    chosen = choose_policies(looks, BASE)
    assert (chosen.matched.step, chosen.strong.step) == (20, 40)


def test_perplexity_beyond_the_ceiling_rules_a_look_out():
    looks = [Look(10, 0.23, 10.81), Look(20, 0.45, 10.8), Look(30, 0.0, math.nan)]
    chosen = choose_policies(looks, BASE)
    assert (chosen.matched.step, chosen.strong.step) == (20, 20)
    assert choose_policies(looks, BASE, ceiling=1.09).matched.step == 10


def test_ties_go_to_the_lower_perplexity_then_to_the_earlier_step():
    looks = [Look(30, 0.20, 10.2), Look(20, 0.20, 10.2), Look(10, 0.20, 10.3)]
    chosen = choose_policies(looks, BASE)
    assert (chosen.matched.step, chosen.strong.step) == (20, 20)
    # .20 and .26 are equally far from .46 × .5, though not in floating point.
    assert choose_policies([*looks, Look(40, 0.26, 10.0)], BASE).matched.step == 40
    assert choose_policies([*looks, Look(40, 0.26, 10.3)], BASE).matched.step == 20


def test_nothing_admissible_gives_nobody():
    for looks in ([], [Look(10, 0.1, 11.0)], [Look(10)], [BASE], [Look(10, math.nan, 10.0)]):
        chosen = choose_policies(looks, BASE)
        assert chosen.matched is None and chosen.strong is None


@pytest.mark.parametrize("base", [Look(0), Look(0, 0.0, 10.0), Look(0, 0.5, None), Look(0, math.nan, 1.0)])
def test_an_unmeasured_or_clean_base_is_an_error(base):
    with pytest.raises(ValueError, match="must both be measured and positive"):
        choose_policies([Look(10, 0.1, 10.0)], base)


numbers = st.floats(0, 1, allow_nan=False)
some_looks = st.lists(st.builds(Look, st.integers(1, 50), numbers, st.floats(9, 12)), max_size=8)


@given(some_looks, some_looks)
def test_whoever_is_not_chosen_now_is_never_chosen_later(first, later):
    now, then = choose_policies(first, BASE), choose_policies([*first, *later], BASE)
    for before, after in ((now.matched, then.matched), (now.strong, then.strong)):
        assert after == before or after in later or (before is None and after is None)


def test_the_lowest_validation_loss_ignores_base_and_nan():
    looks = [
        BASE,
        Look(10, validation_loss=0.5),
        Look(20, validation_loss=math.nan),
        Look(30, validation_loss=0.5),
    ]
    assert lowest_validation_loss(looks).step == 10
    assert lowest_validation_loss([BASE]) is None
