import math

import numpy as np
import pytest

from untrac_core.stats.clusters import clusters_of
from untrac_core.stats.intervals import (
    Estimate,
    around,
    as_of_whole,
    change_interval,
    cluster_margin,
    estimate,
    excludes_zero,
    pearson,
    student_interval,
    student_margin,
)

ALONE = clusters_of([""] * 100)


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
        halves = np.array([[items[ALONE.draw(0.5, 1000 * trial + seed)].mean()] for seed in range(seeds)])
        low, high = Estimate(halves[:, 0], {}, subsample=0.5).interval()
        covered += low <= 0 <= high
    assert covered >= 0.92 * 400


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.625, 0.1)])
def test_seeds_set_apart_as_of_whole_sets_give_the_same_interval_and_can_be_subtracted(shares):
    """Where seeds draw five eighths of one set and a tenth of another, no one share says how far a difference goes."""
    generator, covered = np.random.default_rng(5), 0
    for trial in range(400):
        each = []
        for place, share in enumerate(shares):
            items = generator.normal(0, 1, 100)
            drawn = [[items[ALONE.draw(share, 9000 * trial + 31 * place + seed)].mean()] for seed in range(4)]
            before = Estimate(np.array(drawn)[:, 0], {}, subsample=share)
            each.append(Estimate(as_of_whole(np.array(drawn), share)[:, 0], {}))
            assert each[-1].interval() == pytest.approx(before.interval())
        low, high = (each[0] - each[1]).interval()
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


@pytest.mark.parametrize("examples", [1, 2, 7])
def test_few_examples_have_no_interval(examples):
    """An interval of one block took no account of its sampling, and covered the truth in .47 of the cases."""
    assert estimate(np.ones((5, examples)), np.ones(examples), "all").interval() is None


def test_eight_examples_have_an_interval_that_covers():
    generator = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        low, high = estimate(simulate(generator, 5, 8), np.ones(8), "all").interval()
        covered += low <= 0 <= high
    assert covered >= 0.92 * 400


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


def test_a_changes_interval_is_that_of_its_items_and_seeds():
    draw = np.random.default_rng(3)
    tokens = draw.integers(5, 40, 60).astype(float)
    changes = tokens * (0.3 + draw.normal(0, 0.05, (3, 1)) + draw.normal(0, 0.2, 60))
    value, low, high = change_interval(changes, tokens)
    assert (low, high) == estimate(changes, tokens, "items").interval()
    assert value == pytest.approx(changes.mean(0).sum() / tokens.sum())
    assert math.isnan(change_interval(changes[:1], tokens)[1]), "one seed says nothing of its own noise"
    assert math.isnan(change_interval(changes[:, :7], tokens[:7])[1])


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 3.0])
def test_a_changes_interval_covers_with_few_seeds(seeds, ratio):
    """``ratio``: of the seeds' deviation to the items' standard error. By z, two seeds at 3 had .83."""
    draw, tokens, held = np.random.default_rng(3), np.ones(60), 0
    for _ in range(600):
        items, noise = draw.normal(0, 1, 60), draw.normal(0, ratio / 60**0.5, (seeds, 1))
        _, low, high = change_interval(items + noise, tokens)
        held += low <= 0 <= high
    assert 0.93 <= held / 600 <= 0.998


def test_a_mean_over_two_seeds_takes_students_t():
    low, high = student_interval(np.array([0.5, 0.7]))
    assert (high - low) / 2 == pytest.approx(12.706 * 0.1, rel=1e-4)
    assert student_margin(np.array([0.5, 0.7])) == pytest.approx(12.706 * 0.1, rel=1e-4)
    assert math.isnan(student_margin(np.ones(1)))


def test_independent_margins_add_in_squares():
    assert around(1.0, [3.0, 4.0]) == (-4.0, 6.0)
    assert math.isnan(around(1.0, [3.0, math.nan])[0])


def test_a_margin_over_clusters_has_a_least_spread_and_needs_two():
    drawn = np.random.default_rng(0).normal(0, 1, (4000, 1)) * [2.0, 0.0]
    many, none = cluster_margin(drawn, 100)
    assert many == pytest.approx(1.984 * 2.0 * (100 / 99) ** 0.5, rel=0.03)
    assert none == pytest.approx(1.984 * 0.1, rel=1e-3)
    assert np.isnan(cluster_margin(drawn, 1)).all()
