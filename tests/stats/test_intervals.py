import math

import numpy as np
import pytest

from untrac_core.attribution.settings import draw
from untrac_core.stats.intervals import (
    Estimate,
    around,
    change_interval,
    cluster_margin,
    estimate,
    excludes_zero,
    pearson,
    student_interval,
    student_margin,
)


def simulate(generator, seeds, examples, shift=0.0):
    """Changes whose true influence is ``shift``: noise of seeds, of examples and of both together."""
    noise = generator.normal(0, 0.5, (seeds, 1)) + generator.normal(0, 2.0, (1, examples))
    return shift + noise + generator.normal(0, 0.5, (seeds, examples))


@pytest.mark.parametrize(("seeds", "examples"), [(2, 100), (3, 50), (8, 400)])
def test_intervals_cover_the_truth(seeds, examples):
    generator = np.random.default_rng(seeds)
    covered = 0
    for _ in range(400):
        found = estimate(simulate(generator, seeds, examples), np.ones(examples), "all")
        low, high = found.interval()
        covered += low <= 0 <= high
    assert covered >= 0.93 * 400  # nominal .95, less the noise of 400 trials; may be conservative


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_intervals_cover_the_sampling_error_of_the_unlearned_set(seeds):
    """Each seed draws half of one set of 100; more draws of it must not shrink the set's own sampling error away."""
    generator = np.random.default_rng(seeds)
    covered = 0
    for trial in range(400):
        items = generator.normal(0, 1, 100)
        halves = np.array([[items[draw(100, 0.5, 1000 * trial + seed)].mean()] for seed in range(seeds)])
        low, high = Estimate(halves[:, 0], {}, subsample=0.5).interval()
        covered += low <= 0 <= high
    assert covered >= 0.92 * 400


def test_intervals_narrow_and_find_a_real_influence():
    generator = np.random.default_rng(0)
    wide = estimate(simulate(generator, 3, 50, 5.0), np.ones(50), "all").interval()
    narrow = estimate(simulate(generator, 20, 2000, 5.0), np.ones(2000), "all").interval()
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
    assert excludes_zero(narrow)


def test_pairing_takes_the_common_noise_out():
    generator = np.random.default_rng(1)
    common = generator.normal(0, 3, (3, 200))
    first = estimate(common + 0.3 + generator.normal(0, 0.1, (3, 200)), np.ones(200), "same prompts")
    second = estimate(common + generator.normal(0, 0.1, (3, 200)), np.ones(200), "same prompts")
    assert excludes_zero((first - second).interval())
    unpaired = Estimate(first.per_seed, {"other prompts": first.residuals["same prompts"]})
    assert not excludes_zero((unpaired - second).interval())


def test_one_seed_has_no_interval():
    found = estimate(np.ones((1, 10)), np.ones(10), "all")
    assert found.interval() is None
    assert not excludes_zero(found.interval())


def test_the_influence_is_a_ratio_of_sums():
    changes, tokens = np.array([[1.0, 9.0], [3.0, 9.0]]), np.array([1.0, 9.0])
    found = estimate(changes, tokens, "all")
    np.testing.assert_allclose(found.per_seed, [1.0, 1.2])
    assert found.value == pytest.approx(1.1)
    assert found.residuals["all"].sum() == pytest.approx(0)


def test_pearson():
    assert pearson(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == pytest.approx(1)
    assert np.isnan(pearson(np.ones(3), np.arange(3.0)))


def test_a_changes_interval_has_the_variance_of_the_items_and_of_the_seeds():
    tokens = np.array([10.0, 20, 30, 40])
    one = tokens * 0.5 + np.array([1.0, -1, 2, -2])
    value, low, high = change_interval(one[None], tokens)
    assert value == pytest.approx(0.5)
    spread = np.array([1.0, -1, 2, -2]) / 25
    assert high - value == pytest.approx(1.96 * math.sqrt(spread.var(ddof=1) / 4))
    assert value - low == pytest.approx(high - value)
    two = np.stack([one, one + 0.2 * tokens])
    value, low, high = change_interval(two, tokens)
    assert value == pytest.approx(0.6)
    seeds = np.array([0.5, 0.7]).var(ddof=1) / 2
    assert high - value == pytest.approx(1.96 * math.sqrt(spread.var(ddof=1) / 4 + seeds))
    assert math.isnan(change_interval(np.ones((1, 1)), np.ones(1))[1])  # a single text shows no spread


def test_a_changes_interval_holds_the_truth_about_as_often_as_it_says():
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        tokens = draw.integers(5, 40, 60).astype(float)
        changes = tokens * (0.3 + draw.normal(0, 0.05, (6, 1)) + draw.normal(0, 0.2, 60))
        _, low, high = change_interval(changes, tokens)
        held += low <= 0.3 <= high
    assert 0.88 < held / 400 < 0.99


def test_two_seeds_widen_a_mean_over_seeds_more_than_a_change():
    """Student's t for means over seeds, z for what an unlearning changes: the module says where which, and why."""
    low, high = student_interval(np.array([0.5, 0.7]))
    assert (high - low) / 2 == pytest.approx(12.706 * 0.1, rel=1e-4)
    assert student_margin(np.array([0.5, 0.7])) == pytest.approx(12.706 * 0.1, rel=1e-4)
    assert math.isnan(student_margin(np.ones(1)))
    tokens = np.ones(1000)
    _, low, high = change_interval(np.array([[0.5], [0.7]]) * tokens, tokens)
    assert (high - low) / 2 == pytest.approx(1.96 * 0.1)


def test_independent_margins_add_in_squares():
    assert around(1.0, [3.0, 4.0]) == (-4.0, 6.0)
    assert math.isnan(around(1.0, [3.0, math.nan])[0])


def test_a_margin_over_clusters_has_a_least_spread_and_needs_two():
    drawn = np.random.default_rng(0).normal(0, 1, (4000, 1)) * [2.0, 0.0]
    many, none = cluster_margin(drawn, 100)
    assert many == pytest.approx(1.984 * 2.0 * (100 / 99) ** 0.5, rel=0.03)
    assert none == pytest.approx(1.984 * 0.1, rel=1e-3)
    assert np.isnan(cluster_margin(drawn, 1)).all()
