"""Bootstrap intervals: they cover, they shrink with pairing, and they refuse what they cannot judge."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.intervals import (
    Interval,
    bootstrap,
    bootstrap_groups,
    bootstrap_statistic,
    paired_bootstrap,
    percentile_interval,
    resampling_weights,
    wilson,
)

METHODS = ["percentile", "basic", "BCa"]


def normal(size, seed=0, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 1.0, size)


@pytest.mark.parametrize("method", METHODS)
def test_interval_of_a_mean_agrees_with_the_normal_one(method):
    sample = normal(400)
    found = bootstrap(sample, n=4000, seed=1, method=method)
    error = sample.std() / np.sqrt(len(sample))
    assert found.value == pytest.approx(sample.mean())
    assert found.low == pytest.approx(sample.mean() - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(sample.mean() + 1.96 * error, abs=0.2 * error)


def test_nineteen_of_twenty_intervals_cover_the_truth():
    covered = sum(not bootstrap(normal(60, seed), n=400, seed=seed).excludes(0.0) for seed in range(200))
    # Binomial(200, .95), a little less for the percentile method at n = 60; 176 is 4.5 standard errors low.
    assert 176 <= covered <= 199


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_interval_of_a_mean_lies_within_the_sample(values, seed):
    found = bootstrap(values, n=50, seed=seed)
    slack = 1e-9 * (1 + max(abs(value) for value in values))
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack


def test_same_seed_same_interval_and_another_seed_another():
    sample = normal(50)
    assert bootstrap(sample, seed=3) == bootstrap(sample, seed=3)
    assert bootstrap(sample, seed=3) != bootstrap(sample, seed=4)


def test_batches_of_resamples_do_not_change_the_interval(monkeypatch):
    sample = normal(50)
    whole = bootstrap(sample, n=300, seed=0)
    monkeypatch.setattr("helpers.intervals.NUMBERS_AT_ONCE", 70)
    assert bootstrap(sample, n=300, seed=0) == whole


def test_tensors_lists_and_truth_values_are_read_alike():
    right = [True, False, True, True]
    from_list = bootstrap([1.0, 0.0, 1.0, 1.0], seed=0)
    assert bootstrap(torch.tensor(right), seed=0) == from_list
    assert bootstrap(np.array(right), seed=0) == from_list
    assert from_list.value == 0.75


def test_none_of_n_leaves_room_above_and_all_of_n_below():
    none, every = bootstrap(torch.zeros(20, dtype=torch.bool), seed=0), bootstrap(np.full(20, True), seed=0)
    z = 1.959964
    assert none.bounds == pytest.approx((0.0, z**2 / (20 + z**2)))
    assert every.bounds == pytest.approx((20 / (20 + z**2), 1.0))
    assert paired_bootstrap(np.zeros(20), np.zeros(20), seed=0).width == 0  # a difference is no share


@given(st.integers(1, 400), st.data())
@settings(max_examples=40, deadline=None)
def test_wilson_is_where_a_share_is_one_score_error_from_the_count(n, data):
    found = wilson(data.draw(st.integers(0, n)), n)
    for end in found.bounds:
        assert abs(found.value - end) == pytest.approx(1.959964 * (end * (1 - end) / n) ** 0.5, abs=1e-6)
    assert 0 <= found.low <= found.value <= found.high <= 1 and found.width > 0


def test_a_share_of_nothing_is_refused():
    for part, whole in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="share"):
            wilson(part, whole)


def test_other_statistics_reduce_along_the_sample():
    sample = normal(101)
    assert bootstrap(sample, np.median, seed=0).value == pytest.approx(np.median(sample))


def test_pairing_removes_what_both_conditions_share():
    prompts = normal(100) * 10
    before, after = prompts + 1.0, prompts + 0.1 * normal(100, seed=5)
    paired = paired_bootstrap(after, before, seed=0)
    apart = bootstrap_groups([after, before], lambda a, b, axis: a.mean(axis) - b.mean(axis), seed=0)
    assert paired.value == pytest.approx(apart.value)
    assert paired.width < apart.width / 10
    assert paired.excludes(0.0) and not apart.excludes(0.0)


def test_paired_bootstrap_refuses_unequal_samples():
    with pytest.raises(ValueError, match="a has 3 and b has 4"):
        paired_bootstrap([1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], seed=0)


def test_any_statistic_agrees_with_the_vectorised_bootstrap():
    sample = normal(80)
    one_by_one = bootstrap_statistic(lambda x: x.mean(), sample, n=2000, seed=0)
    at_once = bootstrap(sample, n=2000, seed=0)
    assert one_by_one.low == pytest.approx(at_once.low, abs=1e-12)
    assert one_by_one.high == pytest.approx(at_once.high, abs=1e-12)


def test_arrays_are_drawn_again_together():
    """Items are kept whole: a statistic that is 0 for every item is 0 in every resample."""
    a = normal(30)
    found = bootstrap_statistic(lambda x, y: np.abs(x - y[:, 0]).max(), a, np.stack([a, -a], axis=1), seed=0)
    assert found == Interval(0.0, 0.0, 0.0)


def test_resampling_weights_give_the_means_of_whole_resamples():
    values = torch.randn(40, 7, generator=torch.Generator().manual_seed(0))
    weights = resampling_weights(40, n=3000, seed=0)
    assert torch.allclose(weights.sum(dim=1), torch.ones(3000))
    assert torch.allclose(weights * 40, (weights * 40).round(), atol=1e-4)
    means = weights @ values
    for neuron in range(7):
        expected = bootstrap(values[:, neuron], n=3000, seed=1)
        found = percentile_interval(expected.value, means[:, neuron])
        assert found.low == pytest.approx(expected.low, abs=0.15 * expected.width)
        assert found.high == pytest.approx(expected.high, abs=0.15 * expected.width)


@pytest.mark.parametrize("method", METHODS)
def test_without_spread_the_interval_has_no_width(method):
    assert bootstrap([0.25] * 5, seed=0, method=method) == Interval(0.25, 0.25, 0.25)
    assert paired_bootstrap([1.0, 2.0], [0.5, 1.5], seed=0, method=method) == Interval(0.5, 0.5, 0.5)
    constant = bootstrap_statistic(lambda x: float(x.sum()), torch.ones(4), seed=0, method=method)
    assert constant == Interval(4.0, 4.0, 4.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "at least two values"),
        ([], "at least two values"),
        ([1.0, float("nan"), 2.0], "1 of 3 numbers are NaN"),
        ([1.0, float("inf")], "1 of 2 numbers are NaN or infinite"),
        (np.ones((2, 2)), r"shape \(2, 2\)"),
    ],
)
def test_samples_that_cannot_be_judged_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(values, seed=0)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="percentile, basic, BCa"):
        bootstrap([1.0, 2.0], seed=0, method="student")
    with pytest.raises(ValueError, match="at least one resample"):
        bootstrap([1.0, 2.0], seed=0, n=0)
    with pytest.raises(ValueError, match="at least two items"):
        bootstrap_statistic(np.mean, np.ones(1), seed=0)
    with pytest.raises(ValueError, match=r"\(3,\), \(4,\)"):
        bootstrap_statistic(lambda x, y: 0.0, np.ones(3), np.ones(4), seed=0)
    with pytest.raises(ValueError, match="two items"):
        resampling_weights(1, n=10, seed=0)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:The BCa confidence interval")
def test_a_statistic_undefined_on_some_resamples_is_an_error():
    labels = np.array([1.0, 0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="of 200 resamples"):
        bootstrap_statistic(lambda x: np.float64(x.sum()) / x.sum(), labels, n=200, seed=0)


def test_an_interval_must_be_in_order_and_finite():
    with pytest.raises(ValueError, match="above its high end"):
        Interval(0.5, 0.6, 0.4)
    with pytest.raises(ValueError, match="finite"):
        Interval(float("nan"), 0.0, 1.0)
    assert Interval(0.5, 0.4, 0.6).bounds == (0.4, 0.6)
    assert str(Interval(0.5, 0.4, 0.6)) == "0.5 [0.4, 0.6]"


def test_the_percentile_interval_leaves_out_one_in_forty_at_each_end():
    found = percentile_interval(0.4, np.linspace(0.0, 1.0, 1001))
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.025, 0.975))
