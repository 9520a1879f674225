"""Slopes, signs and coverage by hand, and on simulated studies whose right answer is known."""

import math

import numpy as np
import pytest

from tests.stats.test_agreement import simulate
from untrac_core.stats.agreement import others_mean, pearson, without_each
from untrac_core.stats.bootstrap import Scores, Truth, compare, side_weights
from untrac_core.stats.calibration import Calibration, calibrate, coverage, sign_agreement


def test_a_line_through_the_origin_by_hand():
    estimates, truths = np.array([1.0, -1.0, 2.0, -2.0]), np.array([3.0, -3.0, 6.0, -6.0])
    found = calibrate(estimates, truths)
    assert (found.slope, found.low, found.high, found.residual_sd) == pytest.approx((3, 3, 3, 0))
    assert found.subsets == 4
    assert found.known
    assert found.calibrated(0.5, (0.4, 0.7)) == pytest.approx((1.5, 1.2, 2.1))
    shifted = calibrate(estimates, truths + 1)
    assert shifted.slope == pytest.approx(3), "these estimates sum to zero, so a shift of the truth is all residual"
    assert shifted.residual_sd > 1


def test_a_slope_its_jackknife_and_its_residual_by_hand():
    """Three subsets: the products are 2, 4, 3 and the squares 1, 4, 1."""
    found = calibrate(np.array([1.0, 2.0, -1.0]), np.array([2.0, 2.0, -3.0]))
    assert found.slope == pytest.approx(9 / 6)
    without = np.array([7 / 5, 5 / 2, 6 / 5])
    reach = 4.30265 * math.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    assert (found.low, found.high) == pytest.approx((1.5 - reach, 1.5 + reach), rel=1e-5)
    assert not found.known
    residuals = [2 - 7 / 5, 2 - 2 * 5 / 2, -3 + 6 / 5]
    assert found.residual_sd == pytest.approx(math.sqrt(np.mean(np.square(residuals))))


def test_sides_are_pooled_and_a_subset_is_left_out_of_all_of_them():
    estimates = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])
    truths = np.array([[2.0, 1.0, 2.0], [1.0, 4.0, 0.0]])
    found = calibrate(estimates, truths)
    assert found.slope == pytest.approx((2 + 4 + 4) / 7)
    without = np.array([8 / 6, 6 / 6, 6 / 2])
    assert found.residual_sd == pytest.approx(np.sqrt(((truths - without * estimates) ** 2).mean()))


def test_a_negative_slope_turns_the_interval_with_it():
    found = Calibration(-2.0, -2.0, -2.0, 0.0, 8)
    assert found.calibrated(1.0, (0.5, 3.0)) == (-2.0, -6.0, -1.0)
    assert not found.known


def test_every_source_of_error_widens_a_calibrated_interval():
    exact = Calibration(2.0, 2.0, 2.0, 0.0, 1001)
    assert exact.calibrated(1.0, (0.0, 2.0)) == (2.0, 0.0, 4.0)
    _, low, high = Calibration(2.0, 1.0, 3.0, 0.0, 1001).calibrated(1.0, (0.0, 2.0))
    assert (low, high) == pytest.approx((2 - math.sqrt(5), 2 + math.sqrt(5)))
    _, low, high = Calibration(2.0, 2.0, 2.0, 1.0, 1001).calibrated(1.0, (1.0, 1.0))
    assert (low, high) == pytest.approx((2 - 1.9623, 2 + 1.9623), abs=1e-4)
    assert all(math.isnan(end) for end in exact.calibrated(1.0, None)[1:])
    wide = Calibration(2.0, 1.7, 2.3, 0.0, 9).widened(1.6, 2.4)
    assert (wide.slope, wide.low, wide.high) == pytest.approx((2.0, 1.5, 2.5))


@pytest.mark.parametrize(
    "estimates", [np.zeros(4), np.full(4, np.nan), np.array([0.0, 0.0, 5.0, 0.0]), np.array([1.0, 2.0])]
)
def test_where_no_slope_can_be_told_there_is_none(estimates):
    """The same for all, nothing at all, nothing without one of them, or too few."""
    found = calibrate(estimates, np.arange(1.0, len(estimates) + 1))
    assert all(math.isnan(value) for value in (found.slope, found.low, found.high, found.residual_sd))
    assert not found.known
    assert math.isnan(coverage(estimates, estimates - 1, estimates + 1, np.ones(len(estimates))))


def test_signs_by_hand():
    estimates = np.array([[1.0, -1.0], [0.0, 2.0]])
    assert sign_agreement(estimates, np.array([[3.0, 1.0], [1.0, 1.0]])) == 0.5


def test_coverage_leaves_each_subset_out_of_its_own_slope():
    """One subset makes the slope of all: calibrated by itself it would be right."""
    estimates = np.array([1.0, -1.0, 1.0, -1.0, 10.0])
    truths = np.array([1.0, -1.0, 1.0, -1.0, -10.0])
    assert calibrate(estimates, truths).slope < 0
    assert coverage(estimates, estimates - 0.01, estimates + 0.01, truths) == pytest.approx(0.8)
    alone = truths.copy()
    alone[4] = 10.0
    assert coverage(estimates, estimates - 0.01, estimates + 0.01, alone) == 1
    assert math.isnan(coverage(estimates, np.full(5, np.nan), estimates, truths))


@pytest.mark.parametrize("subsets", [5, 10])
@pytest.mark.parametrize("departure", [0.2, 1.0])
def test_intervals_hold_the_slope_and_calibrated_ones_the_truth(subsets, departure):
    """Four sides whose departures from the line are half each side's own and half those of the subset."""
    generator = np.random.default_rng(0)
    slopes, held = [], []
    for _ in range(200):
        shown = generator.normal(size=(4, subsets))
        own, shared = generator.normal(size=(4, subsets)), generator.normal(size=subsets)
        truths = 30 * (shown + departure * (own + shared) / 2)
        estimates = shown + generator.normal(0, 0.1, shown.shape)
        found = calibrate(estimates, truths)
        slopes.append(found.low <= 30 / 1.01 <= found.high)
        held.append(coverage(estimates, estimates - 0.2, estimates + 0.2, truths))
    assert 0.9 <= np.mean(slopes) <= 0.99
    assert np.mean(held) >= 0.93


def test_the_bootstrap_s_slope_is_that_of_the_means_and_its_interval_holds_the_noiseless_one():
    """Shifts that a seed's retrainings share are seen by a slope through the origin, and by nothing else."""
    generator = np.random.default_rng(5)
    held = []
    for _ in range(60):
        true = generator.normal(size=8) + 0.5
        shared = generator.normal(0, 0.1, (3, 1, 1))
        changes = true[:, None] + shared + generator.normal(0, 0.1, (3, 8, 1)) + generator.normal(0, 0.3, (3, 8, 40))
        truths = {("talk", "harmful"): Truth(changes, np.ones(40))}
        parts = [value / 30 + generator.normal(0, 0.002, (3, 20)) for value in true]
        scores = {"one": {("talk", "harmful"): Scores(parts, [np.ones(20)] * 8)}}
        comparison = compare(truths, scores, draws=200)
        low, high = comparison.slope_interval("one", [("talk", "harmful")])
        held.append(low <= 30 <= high)
        estimates = scores["one"]["talk", "harmful"].per_seed().mean(0)
        expected = calibrate(estimates, truths["talk", "harmful"].per_seed().mean(0)).slope
        sums = comparison.products[0, 0, 0]
        assert sums[0] / sums[1] == pytest.approx(expected)
        assert low < expected < high
    assert np.mean(held) >= 0.9


def test_one_seed_has_no_interval_of_its_slope():
    truths, scores, _ = simulate(np.random.default_rng(1), seeds=1, sides=("harmful",))
    comparison = compare(truths, scores, draws=20)
    assert all(math.isnan(end) for end in comparison.slope_interval("good", list(truths)))


def test_a_prompt_set_counts_once_in_a_mean_over_sides():
    places = [("talk", "harmful"), ("talk", "harmless"), ("riddle", "harmful")]
    assert list(side_weights(places)) == [0.25, 0.25, 0.5]
    generator = np.random.default_rng(3)
    truths, scores, _ = simulate(generator)
    truths["riddle", "harmful"] = Truth(generator.normal(size=(3, 10, 64)), np.ones(64))
    for method in scores.values():
        method["riddle", "harmful"] = method["talk", "harmful"]
    rows = {
        (row.prompt_set, row.side): row.value
        for row in compare(truths, scores, draws=20).leaderboard({"all": list(truths)})
        if (row.method, row.metric) == ("good", "pearson")
    }
    talk = (rows["talk", "harmful"] + rows["talk", "harmless"]) / 2
    assert rows[None, "all"] == pytest.approx((talk + rows["riddle", "harmful"]) / 2)


def test_leaving_one_subset_out_shows_a_leverage_point():
    estimate, truth = np.array([10.0, 1.0, 2.0, 3.0]), np.array([10.0, 3.0, 2.0, 1.0])
    assert pearson(estimate, truth) > 0.9
    found = without_each(estimate, truth)
    assert found[0] == pytest.approx(-1)
    assert found[1] == pytest.approx(float(pearson(estimate[[0, 2, 3]], truth[[0, 2, 3]])))
    assert without_each(np.stack([estimate] * 2), np.stack([truth] * 2)).shape == (2, 4)


def test_a_seed_is_held_against_the_mean_of_the_others():
    seeds = np.array([[1.0, 5.0], [3.0, 7.0], [8.0, 0.0]])
    np.testing.assert_array_equal(others_mean(seeds), [[5.5, 3.5], [4.5, 2.5], [2.0, 6.0]])
    assert np.isnan(others_mean(seeds[:1])).all()
