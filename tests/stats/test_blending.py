"""Blends of an estimate with a closer one: weights, what is not known, and that the intervals hold the truth."""

import numpy as np
import pytest

from untrac_core.stats.blending import Estimates, blend

SIDES, SUBSETS = 6, 8
OFF = np.where(np.arange(SUBSETS) < 2, 0.6, 0.1)
"""How far the estimate is off: the first two subsets are the large ones."""


def told(value, margin):
    return Estimates(value, value - margin, value + margin)


def world(rng, seeds=3, spread=0.3):
    """The truth, an estimate of a third of its size, and retrainings with their noise."""
    truth = rng.normal(size=(SIDES, SUBSETS))
    estimate = (truth + OFF * rng.normal(size=truth.shape)) / 3
    per_seed = truth[:, None] + spread * rng.normal(size=(SIDES, seeds, SUBSETS))
    closer = Estimates(per_seed.mean(1), *np.full((2, *truth.shape), np.nan))
    return truth, told(estimate, 0.02), closer, per_seed.var(1, ddof=1) / seeds if seeds > 1 else None


def test_what_the_estimate_has_wrong_is_taken_from_the_closer_one():
    weights = [blend(*world(np.random.default_rng(i))[1:]).weights for i in range(40)]
    large, small = np.mean(weights, 0)[:2], np.mean(weights, 0)[2:]
    assert large.min() > 0.7  # .36 of .39
    assert small.max() < large.min() - 0.1


def test_of_one_retraining_both_count_the_same():
    _, estimate, closer, noise = world(np.random.default_rng(0), seeds=1)
    assert blend(estimate, closer, noise).weights == pytest.approx(0.5)


def test_a_blend_is_nearer_the_truth_than_either_alone():
    errors = np.zeros(3)
    for i in range(60):
        truth, estimate, closer, noise = world(np.random.default_rng(i))
        found = blend(estimate, closer, noise)
        slope = (estimate.value * closer.value).sum() / (estimate.value**2).sum()
        for place, values in enumerate((found.told.value, closer.value, slope * estimate.value)):
            errors[place] += ((values - truth) ** 2).mean()
    assert errors[0] < 0.9 * errors[1]
    assert errors[0] < 0.7 * errors[2]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("spread", [0.03, 0.3, 1.0])
def test_intervals_hold_the_truth(seeds, spread):
    held = []
    for i in range(60):
        truth, estimate, closer, noise = world(np.random.default_rng(i), seeds, spread)
        found = blend(estimate, closer, noise)
        if found is not None:
            held.append((found.told.low <= truth) & (truth <= found.told.high))
    assert np.mean(held) >= 0.93, np.mean(held)
    assert np.mean(held, axis=(0, 1)).min() >= 0.85


def test_a_subset_that_was_not_asked_of_the_closer_one_is_the_calibrated_estimate():
    truth, estimate, closer, noise = world(np.random.default_rng(0))
    closer.value[:, 5:] = np.nan
    found = blend(estimate, closer, noise)
    assert (found.weights[5:] == 0).all()
    assert (found.weights[:5] > 0).all()
    assert np.corrcoef(found.told.value[:, 5:].ravel(), estimate.value[:, 5:].ravel())[0, 1] == pytest.approx(1)
    assert np.mean((found.told.low <= truth) & (truth <= found.told.high)) > 0.9


def test_no_blend_of_two_subsets_or_of_what_has_nothing_in_common():
    rng = np.random.default_rng(0)
    _, estimate, closer, noise = world(rng)
    few = closer.value.copy()
    few[:, 2:] = np.nan
    assert blend(estimate, Estimates(few, few, few), noise) is None
    chance = -estimate.value
    assert blend(estimate, told(chance, 0.1), noise) is None
