"""Exposures by hand and by their identities, strata and outliers at the edges."""

import math

import numpy as np
import pytest
from scipy import stats

from untrac_core.unlearning.metrics import exposure as measured
from untrac_core.unlearning.metrics.exposure import (
    exposure,
    generalized_exposure,
    out_of_distribution,
    relative_exposure,
    strata,
    summary,
)

LN2 = math.log(2)


def losses(*shape, seed=0):
    return np.random.default_rng(seed).gamma(4, 10, size=shape)


def test_the_retrained_model_model_is_as_if_never_trained():
    retrained = losses(3, 7)
    retrained[:, 2] = np.inf
    retrained[0, 3] = np.inf
    np.testing.assert_array_equal(generalized_exposure(retrained, retrained), np.zeros(7))


def test_one_model_each_is_the_difference_of_losses():
    unlearned, retrained = losses(1, 9), losses(1, 9, seed=1)
    np.testing.assert_allclose(generalized_exposure(unlearned, retrained), (retrained - unlearned)[0] / LN2, rtol=1e-12)


def test_generalized_exposure_by_hand():
    """The mean is of probabilities: of 1/2 and 1/4 it is 3/8, not their geometric mean."""
    unlearned = -np.log(np.array([[1 / 2, 1 / 8], [1 / 4, 1 / 8]]))
    retrained = -np.log(np.array([[3 / 8, 1 / 2], [3 / 8, 1 / 2], [3 / 8, 1 / 2]]))
    np.testing.assert_allclose(generalized_exposure(unlearned, retrained), [0, -2], atol=1e-12)


def test_generalized_exposure_stands_losses_that_no_float_holds_the_probability_of():
    unlearned, retrained = np.array([[5000.0], [9000.0]]), np.array([[5000.0 + LN2]])
    assert generalized_exposure(unlearned, retrained)[0] == pytest.approx(0, abs=1e-9)


def test_what_is_impossible_or_no_number():
    unlearned, retrained = np.array([[np.inf, 1.0, np.nan, np.inf]]), np.array([[1.0, np.inf, 1.0, np.inf]])
    np.testing.assert_array_equal(generalized_exposure(unlearned, retrained), [-np.inf, np.inf, np.nan, 0])


def test_generalized_exposure_falls_with_the_unlearned_loss_and_turns_its_sign():
    first, second = losses(4, 5), losses(2, 5, seed=1)
    np.testing.assert_allclose(
        generalized_exposure(first + 3 * LN2, second), generalized_exposure(first, second) - 3, atol=1e-9
    )
    np.testing.assert_allclose(generalized_exposure(first, second), -generalized_exposure(second, first), atol=1e-9)


@pytest.mark.parametrize(
    ("first", "second"), [((3,), (3,)), ((1, 3), (1, 4)), ((0, 3), (1, 3)), ((1, 0), (1, 0)), ((1, 3), (3,))]
)
def test_generalized_exposure_refuses_shapes(first, second):
    with pytest.raises(ValueError, match=r"shape|items"):
        generalized_exposure(np.ones(first), np.ones(second))


def test_summary():
    found = summary(np.array([1.0, -4.0, 0.0]))
    assert (found.mean, found.mean_nats, found.worst) == pytest.approx((-1, -LN2, 4))
    assert math.isnan(summary(np.array([1.0, np.nan])).mean)
    for wrong in (np.array([]), np.ones((2, 2))):
        with pytest.raises(ValueError, match="exposures"):
            summary(wrong)


def test_relative_exposure_is_the_formula_for_equal_lengths():
    items, texts = losses(5), losses(40, seed=1)
    expected = (-items - np.log(np.exp(-texts).mean())) / LN2
    found = relative_exposure(items, np.full(5, 12), texts, np.full(40, 12))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(found, relative_exposure(items, np.full(5, 7), texts, np.full(40, 7)))


def test_relative_exposure_takes_comparable_texts_at_the_items_length():
    """One nat a token everywhere: no text stands out, however long; twice as likely a token as they, it does."""
    tokens, lengths = np.array([3, 10, 200]), np.array([5, 50, 17, 9])
    even = relative_exposure(1.0 * tokens, tokens, 1.0 * lengths, lengths)
    np.testing.assert_allclose(even, 0, atol=1e-9)
    found = relative_exposure((1 - LN2) * tokens, tokens, 1.0 * lengths, lengths)
    np.testing.assert_allclose(found, tokens, rtol=1e-9)
    # Adding up losses as they are would call the short text remembered and the long one over-forgotten.
    naive = [(-loss - np.log(np.exp(-1.0 * lengths).mean())) / LN2 for loss in 1.0 * tokens]
    assert naive[0] > 1
    assert naive[2] < -100


def test_relative_exposure_of_the_impossible_and_of_misfits():
    found = relative_exposure(np.array([np.inf, np.nan]), np.ones(2), np.ones(3), np.ones(3))
    np.testing.assert_array_equal(found, [-np.inf, np.nan])
    assert relative_exposure(np.array([np.inf]), np.ones(1), np.array([np.inf]), np.ones(1))[0] == 0
    good, count = np.ones(2), np.ones(2)
    for wrong in (
        (good, np.ones(3), good, count),
        (good, np.zeros(2), good, count),
        (good, count, good, np.ones(3)),
        (good, count, np.array([]), np.array([])),
        (np.ones((2, 2)), np.ones((2, 2)), good, count),
    ):
        with pytest.raises(ValueError, match=r"shape|token"):
            relative_exposure(*wrong)


def test_exposure_of_the_best_the_worst_and_the_middle():
    others = np.arange(1.0, 256.0)  # 255 of them
    assert exposure(0.5, others, includes_canary=False) == 8
    assert exposure(300.0, others, includes_canary=False) == 0
    assert exposure(2.5, others, includes_canary=False) == pytest.approx(8 - math.log2(3))


def test_exposure_is_the_same_with_the_canary_among_the_candidates():
    others = losses(200)
    for canary in (1.0, float(np.median(others)), 500.0):
        among = np.append(others, canary)
        assert exposure(canary, among, includes_canary=True) == exposure(canary, others, includes_canary=False)
    with pytest.raises(ValueError, match="not among"):
        exposure(1.0, others, includes_canary=True)


def test_ties_share_their_places():
    """Of 8 alike the place is 4.5; scipy's mean ranks say the same of any tie."""
    assert exposure(1.0, np.ones(8), includes_canary=True) == pytest.approx(math.log2(8 / 4.5))
    assert exposure(1.0, np.ones(7), includes_canary=False) == pytest.approx(math.log2(8 / 4.5))
    drawn = np.random.default_rng(2).integers(0, 6, 50).astype(float)
    for place in range(50):
        expected = math.log2(50) - math.log2(stats.rankdata(drawn)[place])
        assert exposure(drawn[place], drawn, includes_canary=True) == pytest.approx(expected)


def test_exposure_of_no_numbers_and_no_candidates():
    assert math.isnan(exposure(math.nan, np.ones(3), includes_canary=False))
    assert math.isnan(exposure(1.0, np.array([1.0, np.nan]), includes_canary=False))
    assert exposure(math.inf, np.ones(3), includes_canary=False) == 0
    for wrong in (np.array([]), np.ones((2, 2))):
        with pytest.raises(ValueError, match="candidates"):
            exposure(1.0, wrong, includes_canary=False)


def test_strata_by_hand():
    tokens = np.array([10, 10, 10, 20, 20, 20])
    full = np.array([10.0, 10, 10, 20, 20, 20])
    retrained = np.array([10.0, 60, 20, 60, 80, 140])  # a token: 1 6 2 3 4 7
    found = strata(full, retrained, tokens)
    np.testing.assert_allclose(found.difficulty, [1, 6, 2, 3, 4, 7])
    np.testing.assert_allclose(found.memorisation, [0, 5, 1, 2, 3, 6])
    assert found.difficulty_stratum.tolist() == [0, 2, 0, 1, 1, 2]
    assert found.memorisation_stratum.tolist() == [0, 2, 0, 1, 1, 2]
    assert measured.STRATA[found.difficulty_stratum[0]] == "low"


@pytest.mark.parametrize(("items", "expected"), [(1, [1]), (2, [0, 2]), (3, [0, 1, 2]), (4, [0, 1, 1, 2])])
def test_few_items_make_symmetric_strata(items, expected):
    retrained = np.arange(1.0, items + 1)
    assert strata(np.zeros(items), retrained, np.ones(items)).difficulty_stratum.tolist() == expected


def test_strata_never_part_what_is_equal():
    retrained = np.array([1.0] * 5 + [2.0] * 4)
    found = strata(np.zeros(9), retrained, np.ones(9)).difficulty_stratum
    assert found.tolist() == [0] * 5 + [2] * 4
    assert strata(np.ones(9), np.ones(9), np.ones(9)).memorisation_stratum.tolist() == [1] * 9
    drawn = np.random.default_rng(3).integers(1, 8, 60).astype(float)
    codes = strata(np.zeros(60), drawn, np.ones(60)).difficulty_stratum
    order = np.argsort(drawn, kind="stable")
    assert (np.diff(codes[order]) >= 0).all()
    for value in np.unique(drawn):
        assert len(set(codes[drawn == value])) == 1


def test_strata_are_thirds():
    found = strata(np.zeros(99), losses(99), np.ones(99))
    assert np.bincount(found.difficulty_stratum).tolist() == [33, 33, 33]


def test_strata_refuse_models_that_are_not_sound():
    good = np.ones(2)
    for wrong in (
        (np.array([1.0, np.nan]), good, good),
        (good, np.array([1.0, np.inf]), good),
        (good, np.ones(3), good),
        (np.ones((1, 2)), np.ones((1, 2)), np.ones((1, 2))),
    ):
        with pytest.raises(ValueError, match=r"finite|shape"):
            strata(*wrong)


def test_out_of_distribution():
    texts = np.arange(1.0, 102.0)  # the 99th percentile of 1 to 101 is 100
    lengths = np.full(101, 4)
    items, tokens = np.array([100.0, 100.5, 3.0, np.inf]), np.array([2, 2, 2, 2])
    assert out_of_distribution(items * 2, tokens, texts * 4, lengths).tolist() == [False, True, False, True]


def test_one_in_a_hundred_unseen_texts_is_out_of_distribution():
    texts = losses(1000)
    assert out_of_distribution(texts, np.ones(1000), texts, np.ones(1000)).sum() == 10


def test_out_of_distribution_refuses():
    good = np.ones(2)
    for wrong in (
        (np.array([1.0, np.nan]), good, good, good),
        (good, good, np.array([1.0, np.inf]), good),
        (good, good, np.array([1.0, np.nan]), good),
        (good, np.ones(3), good, good),
        (good, good, np.array([]), np.array([])),
    ):
        with pytest.raises(ValueError, match=r"loss|shape"):
            out_of_distribution(*wrong)
