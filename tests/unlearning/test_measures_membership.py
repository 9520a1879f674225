"""Membership attacks by hand, against brute force, and where an attack has nothing to go by."""

import math

import numpy as np
import pytest
from scipy import stats

from untrac_core.unlearning.measures.membership import (
    attack_accuracy,
    auc,
    balanced_accuracy,
    loss_scores,
    min_k,
    per_token,
    privacy_leak,
)


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
    for measure in (auc, attack_accuracy, lambda first, second: balanced_accuracy(first, second, 0.5)):
        assert math.isnan(measure([1.0, math.nan], [1.0, 2.0]))
        assert math.isnan(measure([1.0, 2.0], [1.0, math.nan]))
    assert math.isnan(balanced_accuracy([1.0], [0.0], math.nan))


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


def test_balanced_accuracy():
    assert balanced_accuracy([2, 3], [0, 1], 2) == 1
    assert balanced_accuracy([2, 3], [0, 1], 2.5) == 0.75
    assert balanced_accuracy([0, 1], [2, 3], 2) == 0
    # However many others there are, calling all of them others is worth half.
    assert balanced_accuracy([1], np.zeros(99), 2) == 0.5


def test_an_attack_that_must_succeed_does():
    members, others = np.arange(20.0) + 100, np.arange(30.0)
    assert attack_accuracy(members, others) == 1
    assert attack_accuracy(others, members) == 1, "losses driven too high give the members away as well"
    assert attack_accuracy([math.inf] * 4, [-math.inf] * 4) == 1
    assert attack_accuracy([math.inf] * 4, [1e3, 2e3, 3e3, 4e3]) == 1


def test_an_attack_that_cannot_succeed_does_not():
    assert attack_accuracy(np.ones(12), np.ones(40)) == 0.5
    generator = np.random.default_rng(0)
    found = [attack_accuracy(generator.normal(size=60), generator.normal(size=60)) for _ in range(60)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)
    # On the texts it learnt from, the best threshold would look better than chance.
    assert np.mean(found) < 0.53


def test_an_attack_finds_about_what_the_best_threshold_would():
    generator = np.random.default_rng(1)
    found = [attack_accuracy(generator.normal(1, size=(90,)), generator.normal(size=300)) for _ in range(20)]
    assert np.mean(found) == pytest.approx(stats.norm.cdf(0.5), abs=0.03)


def test_an_attack_hangs_on_no_unit_but_on_the_seed():
    generator = np.random.default_rng(2)
    members, others = generator.normal(0.5, size=40), generator.normal(size=50)
    once = attack_accuracy(members, others, seed=3)
    assert once == attack_accuracy(members * 8 - 16, others * 8 - 16, seed=3)
    assert once == attack_accuracy(members, others, seed=3)
    assert len({attack_accuracy(members, others, seed=seed) for seed in range(8)}) > 1


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
    for measure in (auc, attack_accuracy, lambda first, second: balanced_accuracy(first, second, 0.5)):
        with pytest.raises(ValueError, match=r"members|others"):
            measure(*wrong)


def test_an_attack_needs_two_of_each():
    assert attack_accuracy([3.0, 4.0], [1.0, 2.0], folds=2) in (0, 0.5, 0.75, 1)
    for wrong in (([1.0], [1.0, 2.0], 10), ([1.0, 2.0], [1.0], 10), ([1.0, 2.0], [1.0, 2.0], 1)):
        with pytest.raises(ValueError, match="two of each"):
            attack_accuracy(*wrong)
