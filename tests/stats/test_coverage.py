"""Simulations: 95% intervals hold the truth in about 95 of 100 cases, whatever counts as one observation."""

from dataclasses import replace

import numpy as np
import pytest

from untrac_core.stats import bootstrap
from untrac_core.stats.agreement import pearson
from untrac_core.stats.bootstrap import Scores, Truth, compare
from untrac_core.stats.clusters import clusters_by_side, clusters_of
from untrac_core.stats.intervals import Estimate, estimate, excludes_zero, joint_level

TRIALS = 800


def covered(intervals, truth=0.0):
    """The share of intervals that hold the truth."""
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def grouped(generator, clusters, size, icc):
    """Standard normal effects of examples, cluster by cluster."""
    shared = generator.normal(0, icc**0.5, (clusters, 1))
    return (shared + generator.normal(0, (1 - icc) ** 0.5, (clusters, size))).ravel()


@pytest.mark.parametrize(
    ("clusters", "size", "icc", "without"),
    [(32, 8, 0.5, 0.75), (24, 8, 0.3, 0.85), (40, 4, 0.6, 0.85), (20, 2, 0.9, 0.93)],
    ids=["questions", "documents", "many", "few"],
)
def test_clusters(clusters, size, icc, without):
    """Questions with 8 answers, documents of 8 blocks; counted one by one, examples held the truth far too seldom."""
    generator = np.random.default_rng(clusters)
    names = np.repeat([f"cluster {i}" for i in range(clusters)], size).tolist()
    kinds = {"clusters": clusters_of(names), "alone": None}
    found = {name: [] for name in kinds}
    for _ in range(TRIALS):
        tokens = generator.integers(5, 30, clusters * size).astype(float)
        changes = (grouped(generator, clusters, size, icc) * tokens)[None]
        for name, kind in kinds.items():
            found[name].append(replace(estimate(changes, tokens, "all", clusters=kind), exact=True).interval())
    assert 0.92 <= covered(found["clusters"]) <= 0.985
    assert covered(found["alone"]) < without


def test_clusters_of_very_different_sizes():
    generator = np.random.default_rng(5)
    found = []
    for _ in range(TRIALS):
        sizes = generator.integers(1, 9, 40)
        names = np.repeat([f"{i}" for i in range(40)], sizes).tolist()
        values = np.repeat(generator.normal(0, 0.7, 40), sizes) + generator.normal(0, 0.7, sizes.sum())
        one = estimate(values[None], np.ones(len(values)), "all", clusters=clusters_of(names))
        found.append(replace(one, exact=True).interval())
    assert 0.92 <= covered(found) <= 0.985


def contrast(changes, tokens, clusters):
    """Harmful less harmless, each side in the population that its clusters belong to."""
    sides = []
    for side, of_side in clusters.items():
        population = "prompts" if of_side.paired else f"prompts {side}"
        sides.append(replace(estimate(changes[side][None], tokens[side], population, clusters=of_side), exact=True))
    return sides[0] - sides[1]


def test_contrasts_over_minimal_pairs():
    """The two texts of a pair move alike; one side lacks a few, and has them in another order."""
    generator = np.random.default_rng(1)
    pairs = [f"pair {i}" for i in range(60)]
    order = generator.permutation(60)[:55]
    names = {"harmful": pairs, "harmless": [pairs[i] for i in order]}
    paired = clusters_by_side(names)
    unpaired = clusters_by_side({side: [""] * len(of_side) for side, of_side in names.items()})
    assert len(contrast_residuals(paired)) == 1
    found = {"paired": [], "unpaired": []}
    for _ in range(TRIALS):
        shared = generator.normal(0, 1, 60)
        effects = {"harmful": shared, "harmless": shared[order]}
        tokens = {side: generator.integers(9, 12, len(of)).astype(float) for side, of in effects.items()}
        changes = {side: (of + generator.normal(0, 0.2, len(of))) * tokens[side] for side, of in effects.items()}
        for name, clusters in (("paired", paired), ("unpaired", unpaired)):
            found[name].append(contrast(changes, tokens, clusters).interval())
    assert 0.92 <= covered(found["paired"]) <= 0.985
    assert covered(found["unpaired"]) > 0.995
    widths = {name: np.mean([high - low for low, high in ends]) for name, ends in found.items()}
    assert widths["unpaired"] > 2.5 * widths["paired"]


def contrast_residuals(clusters):
    ones = {side: np.ones(len(of_side.numbers)) for side, of_side in clusters.items()}
    return contrast(ones, ones, clusters).residuals


def test_questions_with_several_answers_on_both_sides():
    """As TruthfulQA: two false and three true answers to each question."""
    generator = np.random.default_rng(2)
    names = {side: np.repeat([f"q{i}" for i in range(40)], size).tolist() for side, size in (("a", 2), ("b", 3))}
    clusters, found = clusters_by_side(names), []
    for _ in range(TRIALS):
        shared = generator.normal(0, 1, 40)
        changes = {
            side: np.repeat(shared, len(of) // 40) + generator.normal(0, 0.6, len(of)) for side, of in names.items()
        }
        tokens = {side: np.ones(len(of)) for side, of in names.items()}
        found.append(contrast(changes, tokens, clusters).interval())
    assert 0.92 <= covered(found) <= 0.985


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_that_draw_half_of_the_documents(seeds):
    """The spread of few half samples tells the sampling error of a set whose documents are its observations."""
    generator = np.random.default_rng(seeds)
    names = np.repeat([f"document {i}" for i in range(40)], 8).tolist()
    clusters, found = clusters_of(names), []
    for trial in range(TRIALS):
        effects = grouped(generator, 40, 8, 0.3)
        halves = np.array([effects[clusters.draw(0.5, 1000 * trial + seed)].mean() for seed in range(seeds)])
        found.append(Estimate(halves, {}, subsample=0.5).interval())
    assert 0.92 <= covered(found) <= 0.995


def test_two_seeds_over_blocks_and_questions():
    """Noise of two seeds, of documents with 8 blocks, and of questions with 8 answers, in squares."""
    generator = np.random.default_rng(4)
    names = np.repeat([f"{i}" for i in range(30)], 8).tolist()
    clusters, found = clusters_of(names), []
    for _ in range(TRIALS):
        seeds = generator.normal(0, 0.1, (2, 1))
        changes = seeds + grouped(generator, 30, 8, 0.5) + generator.normal(0, 0.3, (2, 240))
        found.append(estimate(changes, np.ones(240), "all", clusters=clusters).interval())
    assert 0.93 <= covered(found) <= 0.995


@pytest.mark.parametrize(("clusters", "size"), [(1, 1), (1, 50), (7, 20)])
def test_fewer_than_eight_clusters_have_no_interval(clusters, size):
    names = np.repeat([f"document {i}" for i in range(clusters)], size).tolist()
    values = np.random.default_rng(0).normal(0, 1, (3, clusters * size))
    found = estimate(values, np.ones(clusters * size), "all", clusters=clusters_of(names))
    assert found.interval() is None
    assert np.isnan(found.p_value())


def test_a_side_with_few_of_many_pairs_has_no_interval():
    sides = clusters_by_side({"harmful": [f"{i}" for i in range(40)], "harmless": [f"{i}" for i in range(5)]})
    values = {side: np.arange(1.0, len(of_side.numbers) + 1) for side, of_side in sides.items()}
    tokens = {side: np.ones(len(of)) for side, of in values.items()}
    assert contrast(values, tokens, sides).interval() is None


def test_clusters_of_one_change_nothing():
    generator = np.random.default_rng(6)
    tokens = generator.integers(1, 40, 57).astype(float)
    changes = generator.normal(0, 3, (3, 57)) * tokens
    plain = estimate(changes, tokens, "all", 0.5)
    alone = estimate(changes, tokens, "all", 0.5, clusters_of([""] * 57))
    np.testing.assert_array_equal(plain.residuals["all"], alone.residuals["all"])
    assert (plain.interval(), plain.independent) == (alone.interval(), alone.independent)


def test_a_p_value_is_where_the_interval_ends_at_zero():
    generator = np.random.default_rng(7)
    found = estimate(0.4 + generator.normal(0, 1, (3, 60)), np.ones(60), "all")
    p = found.p_value()
    assert 0 < p < 1
    assert found.interval(1 - p)[0] == pytest.approx(0, abs=1e-3)
    assert excludes_zero(found.interval(1 - 1.01 * p))
    assert not excludes_zero(found.interval(1 - 0.99 * p))


def test_the_joint_level_is_that_of_benjamini_and_hochberg():
    p = np.array([0.001, 0.012, 0.02, 0.2, 0.9, np.nan])
    assert joint_level(p) == pytest.approx(1 - 0.05 * 3 / 5)  # .02 < .03, and .2 > .04
    assert joint_level(np.full(4, 0.5)) == pytest.approx(1 - 0.05 / 4)
    assert joint_level(np.full(4, 1e-6)) == pytest.approx(0.95)
    assert joint_level(np.full(2, np.nan)) == joint_level(np.zeros(0)) == 0.95


def test_of_a_list_without_any_effect_hardly_ever_one_excludes_zero():
    generator, some, each = np.random.default_rng(8), [], []
    for _ in range(200):
        cells = [estimate(generator.normal(0, 1, (1, 30)), np.ones(30), "all") for _ in range(40)]
        cells = [replace(cell, exact=True) for cell in cells]
        level = joint_level(np.array([cell.p_value() for cell in cells]))
        some.append(any(excludes_zero(cell.interval(level)) for cell in cells))
        each.append(any(excludes_zero(cell.interval()) for cell in cells))
    assert np.mean(each) > 0.7
    assert np.mean(some) <= 0.1


def test_the_bootstrap_draws_clusters_and_pairs():
    """The variance of the resampled mean is that over clusters, and of the contrast that over pairs."""
    generator = np.random.default_rng(9)
    names = {side: np.repeat([f"{i}" for i in range(25)], 4).tolist() for side in ("harmful", "harmless")}
    shared = generator.normal(0, 1, 25)
    truths = {}
    for side, clusters in clusters_by_side(names).items():
        changes = np.repeat(shared, 4) + generator.normal(0, 0.1, 100)
        truths["talk", side] = Truth(np.stack([changes, -changes])[None], np.ones(100), clusters)
    resamples = bootstrap.Resamples()
    resamples.begin(20_000)
    study = bootstrap._Study(truths, {})
    one, other = (study._truth(resamples, place)[:, 0] for place in truths)
    means = [truth.changes[0, 0].reshape(25, 4).mean(1) for truth in truths.values()]
    assert one.var() == pytest.approx(means[0].var(ddof=1) / 25, rel=0.05)
    assert (one - other).var() == pytest.approx((means[0] - means[1]).var(ddof=1) / 25, rel=0.05)
    assert np.corrcoef(one, other)[0, 1] > 0.98


@pytest.mark.parametrize("of_items", [False, True], ids=["documents", "questions"])
def test_agreement_over_clusters(of_items):
    """Truth over questions with 4 answers; a method that watches them, or documents of 4 blocks."""
    generator, held = np.random.default_rng(10), {"clusters": [], "alone": []}
    clusters = clusters_of(np.repeat([f"{i}" for i in range(16)], 4).tolist())
    for _ in range(80):
        true = generator.normal(size=10)
        limit = 0.9 * true + np.sqrt(1 - 0.81) * generator.normal(size=10)
        items = np.stack([grouped(generator, 16, 4, 0.6) for _ in range(10)]) * 1.5
        retrained = true[:, None] + generator.normal(0, 0.1, (3, 10, 1)) + items
        watched = items if of_items else np.stack([grouped(generator, 16, 4, 0.6) for _ in range(10)]) * 1.5
        says = [np.tile(limit[z] + watched[z], (3, 1)) for z in range(10)]
        tokens = np.ones(64)
        for name, kind in (("clusters", clusters), ("alone", None)):
            scores = Scores(says, [tokens] * 10, of_items=of_items, clusters=[kind] * 10)
            place = ("talk", "harmful")
            rows = compare({place: Truth(retrained, tokens, kind)}, {"it": {place: scores}}, 300).leaderboard({})
            (row,) = [row for row in rows if row.metric == "pearson"]
            held[name].append(row.low <= float(pearson(limit, true)) <= row.high)
    assert np.mean(held["clusters"]) >= 0.9
    assert np.mean(held["clusters"]) >= np.mean(held["alone"])
