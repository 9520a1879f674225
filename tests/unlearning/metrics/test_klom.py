"""KLoM by hand, at its bounds, and against scipy's entropy."""

import math

import numpy as np
import pytest
from scipy import stats

from untrac_core.unlearning.metrics.klom import divergences, summary


def test_alike_is_zero():
    bank = np.random.default_rng(0).normal(size=(16, 5))
    np.testing.assert_allclose(divergences(bank, bank), 0, atol=1e-12)
    np.testing.assert_allclose(divergences(bank, bank[::-1]), 0, atol=1e-12)
    np.testing.assert_allclose(divergences(np.full((3, 2), 7.0), np.full((3, 2), 7.0)), 0, atol=1e-12)


def test_by_hand():
    """Margins 0 and 20 make bins of one: two of four unlearned models in the first, one of four oracles."""
    unlearned, oracle = np.array([[0.0], [0.5], [20.0], [20.0]]), np.array([[0.0], [19.5], [20.0], [20.0]])
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert divergences(unlearned, oracle)[0] == pytest.approx(expected)


def test_parted_banks_reach_the_bound():
    unlearned, oracle = np.zeros((4, 1)), np.ones((4, 1))
    assert divergences(unlearned, oracle)[0] == pytest.approx(math.log((1 + 1e-5) / 1e-5))
    # Beyond the clip all margins are one.
    assert divergences(unlearned + 500, oracle + 900)[0] == 0
    assert divergences(np.full((4, 1), np.inf), np.full((4, 1), 200.0))[0] == 0


def test_the_largest_margin_counts():
    """It lies on the edge of the last bin, where a half-open bin would lose it."""
    unlearned, oracle = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([[0.0], [0.0], [0.0], [1.0]])
    assert divergences(unlearned, oracle)[0] == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(2))


def test_it_is_scipys_entropy_of_the_histograms():
    generator = np.random.default_rng(1)
    unlearned, oracle = generator.normal(size=(100, 8)), generator.normal(0.5, 1.5, size=(100, 8))
    found = divergences(unlearned, oracle)
    for item in range(8):
        pair = unlearned[:, item], oracle[:, item]
        span = (min(map(np.min, pair)), max(map(np.max, pair)))
        first, second = (np.histogram(bank, bins=20, range=span)[0] / 100 for bank in pair)
        floored = np.where(first > 0, np.maximum(second, 1e-5), second)
        assert found[item] == pytest.approx(stats.entropy(first, floored))
    assert (found > 0).all()


def test_it_does_not_hang_on_the_order_of_models_or_the_unit_of_margins():
    generator = np.random.default_rng(2)
    unlearned, oracle = generator.normal(size=(20, 4)), generator.normal(1, size=(20, 4))
    once = divergences(unlearned, oracle)
    np.testing.assert_allclose(divergences(unlearned[::-1], oracle), once)
    np.testing.assert_allclose(divergences(8 * unlearned, 8 * oracle), once)
    assert not np.allclose(divergences(oracle, unlearned), once), "it has a direction"


@pytest.mark.parametrize(("models", "expected"), [(8, 6.5), (16, 3.8), (100, 0.35)])
def test_chance_alone_reads_what_the_docstring_says(models, expected):
    first, second = np.random.default_rng(models).normal(size=(2, models, 400))
    assert summary(divergences(first, second)).mean == pytest.approx(expected, rel=0.1)


def test_no_number_stays_with_its_item():
    unlearned, oracle = np.zeros((3, 2)), np.zeros((3, 2))
    unlearned[1, 0] = np.nan
    assert np.isnan(divergences(unlearned, oracle)).tolist() == [True, False]


def test_summary():
    found = summary(np.arange(101.0))
    assert (found.mean, found.percentile95) == (50, 95)
    assert (summary(np.array([3.0])).mean, summary(np.array([3.0])).percentile95) == (3, 3)
    for wrong in (np.array([]), np.ones((2, 2))):
        with pytest.raises(ValueError, match="divergences"):
            summary(wrong)


def test_misfits_are_refused():
    for shapes in (((4,), (4,)), ((4, 2), (4, 3)), ((4, 2), (5, 2)), ((0, 2), (0, 2))):
        with pytest.raises(ValueError, match="banks"):
            divergences(*(np.zeros(shape) for shape in shapes))
