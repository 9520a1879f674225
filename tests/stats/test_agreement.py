"""Measures against scipy and by hand, critical values against tables and brute force, intervals against the truth."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from untrac_core.stats import agreement
from untrac_core.stats import bootstrap as resampling
from untrac_core.stats.agreement import MEASURED, METRICS, critical_value, noise, ties
from untrac_core.stats.bootstrap import Scores, Truth, compare, groups, interval, per_seed

SIDE = ("talk", "harmful")


def test_correlations_are_scipys():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 6, 9))
    first[0, :4] = first[0, 0]  # ties
    for name, theirs in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
        expected = [theirs(a, b)[0] for a, b in zip(first, second, strict=True)]
        np.testing.assert_allclose(MEASURED[name](first, second), expected, atol=1e-12)


def test_ndcg_by_hand():
    truth = np.array([3.0, 1.0, 2.0, -1.0])  # gains 4, 2, 3, 0
    estimate = np.array([0.1, 0.4, 0.3, 0.2])  # ranks b, c, d, a
    best = 4 + 3 / math.log2(3) + 2 / 2
    assert agreement.ndcg(estimate, truth) == pytest.approx((2 + 3 / math.log2(3) + 0 / 2) / best)
    assert agreement.ndcg(estimate, truth, k=1) == pytest.approx(2 / 4)
    assert agreement.ndcg(truth, truth, k=9) == pytest.approx(1)
    assert agreement.ndcg(estimate, truth - 100) == pytest.approx(agreement.ndcg(estimate, truth))


def test_top1_and_ties_earn_nothing():
    truth = np.array([1.0, 2.0, 3.0])
    assert agreement.top1(np.array([0.0, 1.0, 2.0]), truth) == 1
    assert agreement.top1(np.array([0.0, 3.0, 2.0]), truth) == 0
    assert agreement.top1(np.array([0.0, 2.0, 2.0]), truth) == 0
    assert agreement.top1(np.array([2.0, 2.0, 0.0]), truth[::-1]) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_what_does_not_vary_agrees_with_nothing(metric):
    moving, still = np.array([0.1, 0.2, 0.7]), np.full(3, 0.1 + 0.2)
    assert np.isnan(MEASURED[metric](still, moving))
    assert np.isnan(MEASURED[metric](moving, still))
    assert np.isnan(MEASURED[metric](np.array([0.1, np.nan, 0.7]), moving))


def test_critical_values_are_those_of_the_tables():
    """Two-sided 5%: Pearson and Spearman as printed in textbooks, Kendall from the exact null distribution."""
    pearson = {5: 0.878, 8: 0.707, 10: 0.632, 30: 0.361}
    spearman = {5: 1.0, 6: 0.886, 7: 0.786, 8: 0.738, 9: 0.700, 10: 0.648, 12: 0.587}
    for name, table in (("pearson", pearson), ("spearman", spearman)):
        for subsets, value in table.items():
            assert critical_value(name, subsets) == pytest.approx(value, abs=6e-4), (name, subsets)
    assert critical_value("kendall", 8) == pytest.approx(18 / 28)
    assert critical_value("spearman", 40) == critical_value("pearson", 40)
    assert critical_value("kendall", 200) == pytest.approx(0.0932, abs=1e-4), "counted, once: 0.09320"
    assert critical_value("kendall", 101) == pytest.approx(critical_value("kendall", 100), rel=0.01)
    assert critical_value("spearman", 4) == critical_value("kendall", 4) == math.inf
    with pytest.raises(ValueError, match="no critical value"):
        critical_value("top1", 8)


@pytest.mark.parametrize("name", ["spearman", "kendall"])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_critical_values_by_brute_force(name, level):
    ranks = np.array(list(itertools.permutations(range(7))), dtype=np.float64)
    found = np.abs(MEASURED[name](ranks, np.arange(7.0)[None].repeat(len(ranks), 0)))
    value = critical_value(name, 7, level)
    assert (found >= value - 1e-9).mean() <= 1 - level
    below = found[found < value - 1e-9].max()
    assert (found >= below - 1e-9).mean() > 1 - level


def test_noise_finds_reliability_and_its_ceiling():
    """Signal and noise of known size: agreement 1 / (1 + s2), and the correlation that a perfect estimate reaches."""
    generator = np.random.default_rng(0)
    within, reached, ceilings = {"agreement": 0, "ceiling": 0}, [], []
    single = 1 / (1 + 0.25)
    for _ in range(300):
        signal = generator.normal(size=10)
        seeds = signal + generator.normal(0, 0.5, (3, 10)) + generator.normal(0, 9, (3, 1))
        found = noise(seeds)
        within["agreement"] += found.agreement_interval[0] <= single <= found.agreement_interval[1]
        perfect = math.sqrt(3 * single / (1 + 2 * single))
        within["ceiling"] += found.ceiling_interval[0] <= perfect <= found.ceiling_interval[1]
        assert found.ceiling_interval[0] <= found.ceiling <= found.ceiling_interval[1]
        reached.append(np.corrcoef(signal, seeds.mean(0))[0, 1])
        ceilings.append(found.ceiling)
    assert all(0.92 * 300 <= count <= 0.98 * 300 for count in within.values()), within
    assert np.mean(reached) == pytest.approx(np.mean(ceilings), abs=0.02)


def test_noise_says_what_is_resolvable():
    signal = np.arange(8.0)
    assert noise(np.stack([signal, signal])).resolvable
    assert noise(np.stack([signal, signal])).ceiling == pytest.approx(1)
    opposed = noise(np.stack([signal, -signal]))
    assert not opposed.resolvable
    assert opposed.ceiling == 0
    for unknown in (noise(signal[None]), noise(np.stack([signal, np.ones(8)])), noise(np.ones((3, 2)))):
        assert math.isnan(unknown.agreement)
        assert math.isnan(unknown.ceiling_interval[1])
        assert not unknown.resolvable


def test_brackets_overlap_and_leave_out_who_stands_apart():
    place = {"a": 10.0, "b": 5.0, "c": 4.2, "d": 3.4, "e": 3.3, "f": 0.0}

    def apart(first, second):
        return abs(place[first] - place[second]) > 1

    assert ties(list(place), apart) == [["b", "c"], ["c", "d", "e"]]
    assert ties(list(place), lambda first, second: False) == [list("abcdef")]
    assert ties(list(place), lambda first, second: True) == []
    # The ends cannot be told apart, but the middle, with its narrow interval, can be told from one of them.
    assert ties(list("abc"), lambda first, second: (first, second) == ("a", "b")) == [["b", "c"]]


@pytest.mark.parametrize("shape", [(7,), (50, 6), (3, 4, 5), (2, 1)])
def test_ranks_are_those_of_scipy(shape):
    generator = np.random.default_rng(3)
    tied = generator.integers(0, 4, shape).astype(float)
    np.testing.assert_array_equal(agreement.mean_ranks(tied), stats.rankdata(tied, axis=-1))
    free = generator.normal(size=shape)
    np.testing.assert_array_equal(agreement.mean_ranks(free), stats.rankdata(free, axis=-1))
    free[..., 0] = np.nan
    assert np.isnan(agreement.mean_ranks(free)).all()


def simulate(generator, *, seeds=3, items=64, subsets=10, noisy=0.2, of_items=False, sides=("harmful", "harmless")):
    """A truth and two methods with every kind of noise, and what each would agree by without any."""
    retrainings = generator.normal(0, noisy, (seeds, subsets, 1))
    truths, scores, limits = {}, {"good": {}, "poor": {}}, {}
    for side in sides:
        true = generator.normal(size=subsets)
        tokens = generator.integers(5, 30, items).astype(float)
        departures = generator.normal(0, 1, (subsets, items))
        shared = generator.normal(0, 9, (seeds, 1, 1))  # of all retrainings of a seed: no measure may see it
        changes = true[:, None] + shared + retrainings + departures + generator.normal(0, 0.5, (seeds, subsets, items))
        truths["talk", side] = Truth(changes * tokens, tokens)
        for method, r in (("good", 0.95), ("poor", 0.6)):
            limit = r * true + math.sqrt(1 - r * r) * generator.normal(size=subsets)
            limits[method, side] = {metric: float(MEASURED[metric](limit, true)) for metric in METRICS}
            # Each seed draws half of a set: the set's own sampling error is as large as the spread over seeds.
            drawn = limit + generator.normal(0, 0.15, subsets) + generator.normal(0, 0.15, (3, subsets))
            count = items if of_items else 24
            weights = tokens if of_items else np.full(count, 20.0)
            eval_sets = departures if of_items else generator.normal(0, 0.7, (subsets, count))
            parts = [(drawn[:, [z]] + eval_sets[z]) * weights for z in range(subsets)]
            scores[method]["talk", side] = Scores(parts, [weights] * subsets, 0.5, of_items)
    return truths, scores, limits


def rows_of(comparison, within=None):
    return {(row.method, row.side, row.metric): row for row in comparison.leaderboard(within or {})}


@pytest.mark.parametrize("of_items", [False, True], ids=["inverse", "forward"])
def test_intervals_hold_what_infinitely_many_seeds_and_examples_give(of_items):
    generator = np.random.default_rng(1)
    covered = {name: [] for name in (*METRICS, "mean", "difference")}
    for _ in range(50):
        truths, scores, limits = simulate(generator, of_items=of_items)
        comparison = compare(truths, scores, draws=250)
        means = {method: np.mean([limits[method, side]["pearson"] for _, side in truths]) for method in scores}
        for (method, side, metric), row in rows_of(comparison, {"all": list(truths)}).items():
            if side in ("harmful", "harmless"):
                covered[metric].append(row.low - 1e-9 <= limits[method, side][metric] <= row.high + 1e-9)
            if side == "all" and metric == "pearson":
                covered["mean"].append(row.low <= means[method] <= row.high)
        (difference,) = comparison.differences({"all": list(truths)})
        covered["difference"].append(difference.low <= means["good"] - means["poor"] <= difference.high)
    shares = {name: float(np.mean(found)) for name, found in covered.items()}
    assert all(share >= 0.9 for share in shares.values()), shares


def test_values_are_those_of_the_means():
    truths, scores, _ = simulate(np.random.default_rng(2))
    comparison = compare(truths, scores, draws=50)
    rows = rows_of(comparison, {"all": list(truths)})
    vectors = {
        (name, side): (scores[name]["talk", side].per_seed().mean(0), truths["talk", side].per_seed().mean(0))
        for name in scores
        for _, side in truths
    }
    for name in scores:
        for side in ("harmful", "harmless"):
            for metric in METRICS:
                expected = MEASURED[metric](*vectors[name, side])
                assert rows[name, side, metric].value == pytest.approx(float(expected), abs=1e-9)
        contrast = [
            np.subtract(*pair) for pair in zip(vectors[name, "harmful"], vectors[name, "harmless"], strict=True)
        ]
        assert rows[name, "contrast", "pearson"].value == pytest.approx(float(agreement.pearson(*contrast)), abs=1e-9)
        both = [rows[name, side, "pearson"].value for side in ("harmful", "harmless")]
        assert rows[name, "all", "pearson"].value == pytest.approx(np.mean(both))
        assert rows[name, "all", "pearson"].sides == 2
        assert rows[name, "all", "pearson"].prompt_set is None
    (difference,) = comparison.differences({"all": list(truths)})
    assert difference.value == pytest.approx(
        rows["good", "all", "pearson"].value - rows["poor", "all", "pearson"].value
    )


def test_comparisons_repeat_whatever_else_is_compared(monkeypatch):
    truths, scores, _ = simulate(np.random.default_rng(3))
    first = compare(truths, scores, draws=60)
    assert np.array_equal(first.drawn, compare(truths, scores, draws=60).drawn)
    alone = compare(truths, {"poor": scores["poor"]}, draws=60)
    np.testing.assert_allclose(alone.drawn[:, 0], first.drawn[:, 1])
    monkeypatch.setattr(resampling, "NUMBERS", 500)  # in chunks of 8 draws
    np.testing.assert_allclose(compare(truths, scores, draws=60).drawn, first.drawn)


def test_a_method_ties_with_itself_and_pairing_finds_what_separates_it_from_another():
    """The noise of the truth, and of the blocks that both look at, is the same for both and takes nothing from it."""
    truths, scores, _ = simulate(np.random.default_rng(4), noisy=0.4)
    worse = {
        place: Scores(
            [part + move * 20 for part, move in zip(of.changes, np.tile([0.7, -0.7], 5), strict=True)],
            of.tokens,
            of.subsample,
        )
        for place, of in scores["good"].items()
    }
    comparison = compare(truths, {"one": scores["good"], "same": scores["good"], "worse": worse}, draws=300)
    found = {(row.first, row.second): row for row in comparison.differences({"all": list(truths)})}
    assert (found["one", "same"].low, found["one", "same"].high) == (0, 0)
    assert found["one", "same"].tie
    assert found["one", "worse"].low > 0
    assert not found["one", "worse"].tie
    first, second = comparison.drawn[:, 0, :2, 0].mean(-1), comparison.drawn[:, 2, :2, 0].mean(-1)
    assert (first - second).var() < 0.7 * (first.var() + second.var())


def test_resampled_means_vary_as_means_over_seeds_do():
    """Two seeds that draw half a set: the variance of their mean is s2 (1 + 1/2); of the truth's three, s2 / 3."""
    resamples = resampling.Resamples()
    resamples.begin(40_000)
    # Each retraining is an experiment of its own: no covariance between subsets.
    truth = Truth(np.array([[1, 5, 0, 2], [4, 5, 3, 2], [-2, 8, 1, 9]])[..., None] * 1.0, np.ones(1))
    study = resampling._Study({SIDE: truth}, {})
    centred = truth.per_seed() - truth.per_seed().mean(1, keepdims=True)
    true = study._truth(resamples, SIDE)
    np.testing.assert_allclose(np.cov(true.T), np.diag(centred.var(0, ddof=1) / 3), atol=0.05)
    scores = Scores([np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]])], [np.ones(1)] * 2, 0.5)
    estimates = study._estimates(resamples, {SIDE: scores})[0]
    np.testing.assert_allclose(estimates.var(0), np.array([2.0, 8.0]) * 1.5, rtol=0.03)
    examples = np.array([0.0, 1.0, 5.0, 6.0])
    means = resamples.examples("some", 4) @ examples / 3
    assert means.var() == pytest.approx(examples.var(ddof=1) / 4, rel=0.03)


def test_one_seed_or_no_answer_gets_no_interval():
    truths, scores, _ = simulate(np.random.default_rng(5), sides=("harmful",))
    once = Scores([part[:1] for part in scores["good"][SIDE].changes], scores["good"][SIDE].tokens)
    constant = Scores([np.ones((2, 4))] * 10, [np.ones(4)] * 10)
    methods = {"good": scores["good"], "once": {SIDE: once}, "constant": {SIDE: constant}, "absent": {}}
    rows = rows_of(compare(truths, methods, draws=50), {"all": [SIDE], "none": []})
    assert rows["good", "harmful", "pearson"].low < rows["good", "harmful", "pearson"].high
    assert not math.isnan(rows["once", "harmful", "pearson"].value)
    assert math.isnan(rows["once", "harmful", "pearson"].low)
    assert math.isnan(rows["absent", "harmful", "kendall"].value)
    assert math.isnan(rows["constant", "harmful", "ndcg"].value)
    assert rows["constant", "all", "pearson"].value == 0
    assert not any(side == "none" for _, side, _ in rows)
    single = {SIDE: Truth(truths[SIDE].changes[:1], truths[SIDE].tokens)}
    comparison = compare(single, methods, draws=50)
    assert all(math.isnan(row.low) for row in comparison.leaderboard({}))
    assert all(row.tie for row in comparison.differences({"all": [SIDE]}))


def test_intervals_stay_within_what_a_measure_can_be():
    drawn = np.linspace(0.5, 0.9, 101)
    low, high = interval(0.95, drawn, "pearson")
    assert 0.7 < low < 0.95 < high == 1
    assert interval(1.0, np.array([0.0, 1.0, 1.0]), "top1") == (pytest.approx(0.05), 1)
    assert interval(-0.9, -drawn, "pearson")[0] >= -1
    assert interval(1.9, np.linspace(1.0, 1.8, 99), "difference")[1] == 2
    assert math.isnan(interval(math.nan, drawn, "pearson")[0])


def test_groups_keep_sides_and_contrasts_apart():
    truths, _, _ = simulate(np.random.default_rng(6))
    generator = np.random.default_rng(7)
    truths["riddle", "harmful"] = Truth(generator.normal(size=(3, 10, 64)), np.ones(64))
    influence = per_seed(truths)
    assert list(influence) == [*truths, ("talk", "contrast")]
    expected = truths["talk", "harmful"].per_seed() - truths["talk", "harmless"].per_seed()
    np.testing.assert_array_equal(influence["talk", "contrast"], expected)
    found = {place: noise(values) for place, values in influence.items()}
    assert groups(found) == {
        "resolvable": [("talk", "harmful"), ("talk", "harmless")],
        "all": list(truths),
        "resolvable contrasts": [("talk", "contrast")],
    }
