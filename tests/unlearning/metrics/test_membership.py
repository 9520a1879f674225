"""Membership attacks by hand, against brute force, and where an attack has nothing to go by."""

import math

import numpy as np
import pytest
from scipy import stats

from untrac_core.unlearning.metrics.membership import auc, loss_scores, min_k, per_token, privacy_leak


def test_auc_by_hand():
    assert auc([3, 4], [1, 2]) == 1
    assert auc([1, 2], [3, 4]) == 0
    assert auc([1, 3], [2]) == 0.5
    assert auc([2, 3], [1, 2]) == pytest.approx(3.5 / 4)
    assert auc([5], [5]) == 0.5


def test_auc_counts_pairs_ties_half():
    generator = np.random.default_rng(0)
    for _ in range(5):
        members, others = generator.integers(0, 5, 17), generator.integers(0, 6, 23)
        pairs = [(m > o) + (m == o) / 2 for m in members for o in others]
        assert auc(members, others) == pytest.approx(np.mean(pairs))
        assert auc(members, others) + auc(others, members) == pytest.approx(1)
        statistic = stats.mannwhitneyu(members, others).statistic
        assert auc(members, others) == pytest.approx(statistic / 17 / 23)


def test_infinite_scores_are_ordered_and_no_numbers_are_not():
    assert auc([math.inf, 0.0], [-math.inf, 0.0]) == pytest.approx(3.5 / 4)
    assert auc([-math.inf], [-math.inf]) == 0.5
    assert math.isnan(auc([1.0, math.nan], [1.0, 2.0]))
    assert math.isnan(auc([1.0, 2.0], [1.0, math.nan]))


def test_loss_attack():
    scores = loss_scores(np.array([10.0, 30.0]), np.array([10, 10]))
    assert scores.tolist() == [-1, -3]
    with pytest.raises(ValueError, match="shape"):
        loss_scores(np.ones((2, 2)), np.ones((2, 2)))


def test_per_token():
    np.testing.assert_array_equal(per_token([[2.0, 6.0]], [[1, 3]]), [[2, 2]])
    assert per_token(6.0, 3) == 2
    for counts in ([0.0], [math.nan], [math.inf], [1.0, 1.0]):
        with pytest.raises(ValueError, match=r"token|shape"):
            per_token([1.0], counts)
    with pytest.raises(ValueError, match="shape"):
        per_token([], [])


def test_min_k_is_the_mean_of_the_worst_tokens():
    assert min_k([1, 5, 2, 4, 3]) == 4.5  # 2 of 5
    assert min_k([1, 5, 2, 4, 3, 0]) == 4.5  # 2.4 of 6 is 2
    assert min_k([1.0, 7.0]) == 7  # 0.8 of 2 is 1 all the same
    assert min_k([3.0]) == 3
    assert min_k(range(100), share=0.29) == np.mean(range(71, 100))  # 0.29 x 100 is 28.999...
    assert min_k([1, 2, 6], share=1) == 3
    assert min_k([1.0, math.inf]) == math.inf
    assert math.isnan(min_k([1.0, 2.0, math.nan, 9.0, 9.0]))
    for wrong in ({"token_losses": []}, {"token_losses": [[1.0]]}):
        with pytest.raises(ValueError, match="token losses"):
            min_k(**wrong)
    for share in (0, 1.1, -1, math.nan):
        with pytest.raises(ValueError, match="share"):
            min_k([1.0], share=share)


def test_privacy_leak():
    assert privacy_leak(0.5, 0.5) == 0
    assert privacy_leak(1, 0.5) == -100
    assert privacy_leak(0, 0.5) == 100
    assert privacy_leak(0.6, 0.2) == pytest.approx(-50)
    assert math.isnan(privacy_leak(0.5, 1))
    assert math.isnan(privacy_leak(math.nan, 0.5))
    for wrong in ((1.1, 0.5), (0.5, -0.1)):
        with pytest.raises(ValueError, match="AUC"):
            privacy_leak(*wrong)


@pytest.mark.parametrize("wrong", [([], [1]), ([1], []), ([[1]], [1]), (1, [1])])
def test_empty_and_odd_sides_are_refused(wrong):
    with pytest.raises(ValueError, match=r"members|others"):
        auc(*wrong)
