"""Truth ratio and its aggregates, forget quality, and the words that carry an answer."""

import math

import numpy as np
import pytest
from scipy import stats

from untrac_core.unlearning.measures.answers import (
    forget_aggregate,
    forget_quality,
    key_words,
    keyword_accuracy,
    keyword_confidence,
    truth_ratio,
    utility_aggregate,
)


def test_truth_ratio_by_hand():
    """Wrong answers of 1/2 and 1/4 a token, the right one of 3/4: (3/8) / (3/4)."""
    wrong = -np.log([[1 / 2, 1 / 4], [3 / 4, 3 / 4]]) * np.array([[3, 5], [2, 7]])
    right = -np.log([3 / 4, 3 / 4]) * np.array([4, 6])
    found = truth_ratio(wrong, [[3, 5], [2, 7]], right, [4, 6])
    np.testing.assert_allclose(found, [0.5, 1])
    alone = truth_ratio(wrong[0], [3, 5], right[0], 4)
    assert alone.shape == ()
    assert alone == pytest.approx(0.5)


def test_truth_ratio_is_the_arithmetic_mean():
    losses = np.random.default_rng(0).gamma(2, size=(30, 4))
    ones = np.ones((30, 4))
    found = truth_ratio(losses, ones, np.ones(30), np.ones(30))
    assert (found > np.exp(-losses.mean(1) + 1)).all()
    np.testing.assert_allclose(found, np.exp(-losses).mean(1) / np.exp(-1))


def test_truth_ratio_of_the_impossible():
    wrong, right = np.array([[np.inf], [1.0], [np.inf], [np.nan], [0.0]]), np.array([1.0, np.inf, np.inf, 1.0, 5000.0])
    found = truth_ratio(wrong, np.ones((5, 1)), right, np.ones(5))
    np.testing.assert_array_equal(found, [0, np.inf, np.nan, np.nan, np.inf])
    assert forget_aggregate([0, math.inf, 1]) == pytest.approx(1 / 3)
    assert utility_aggregate([0, math.inf, 1]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("wrong", "right"), [((2, 3), (3,)), ((2, 3), ()), ((), ()), ((2, 0), (2,)), ((2, 3), (2, 1)), ((3,), (3,))]
)
def test_truth_ratio_refuses_shapes(wrong, right):
    with pytest.raises(ValueError, match="shape"):
        truth_ratio(np.ones(wrong), np.ones(wrong), np.ones(right), np.ones(right))


def test_aggregates():
    assert forget_aggregate(np.ones(5)) == 1
    assert forget_aggregate([0.5, 2, 4]) == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert utility_aggregate([0.25, 1, 3]) == pytest.approx(0.25)
    assert utility_aggregate(np.zeros(3)) == 1
    ratios = np.random.default_rng(1).gamma(2, size=20)
    assert forget_aggregate(ratios) == pytest.approx(forget_aggregate(1 / ratios))
    assert forget_aggregate(ratios) < 1
    for measure in (forget_aggregate, utility_aggregate):
        assert math.isnan(measure([1, math.nan]))
        for wrong in ([], [[1.0]], [-0.1]):
            with pytest.raises(ValueError, match="ratio"):
                measure(wrong)


def test_forget_quality():
    generator = np.random.default_rng(2)
    gold, same, other = generator.gamma(2, size=40), generator.gamma(2, size=50), generator.gamma(9, size=40)
    assert forget_quality(gold, gold).p_value == 1
    assert forget_quality(gold, gold).statistic == 0
    assert not forget_quality(gold, gold).distinguishable
    found = forget_quality(gold, other)
    assert found.distinguishable
    assert found.p_value == pytest.approx(stats.ks_2samp(gold, other).pvalue)
    assert forget_quality(gold, same).p_value == pytest.approx(forget_quality(same, gold).p_value)
    # Three against three, all parted: 2 of the 20 orders are as far apart.
    parted = forget_quality([1, 2, 3], [4, 5, 6])
    assert (parted.statistic, parted.p_value) == pytest.approx((1, 0.1))
    assert not parted.distinguishable
    with pytest.raises(ValueError, match="not a number"):
        forget_quality([1, math.nan], [1, 2])
    with pytest.raises(ValueError, match="shape"):
        forget_quality([], [1, 2])


def test_keywords_alone_count():
    correct, probability = [True, False, True, True], [0.9, 0.1, 0.5, 0.7]
    is_key = [False, True, False, True]
    assert keyword_accuracy(correct, is_key) == 0.5
    assert keyword_confidence(probability, is_key) == pytest.approx(0.4)
    assert keyword_accuracy([False, True], [False, True]) == 1
    assert math.isnan(keyword_accuracy(correct, [False] * 4))
    assert math.isnan(keyword_confidence(probability, [False] * 4))


def test_keyword_measures_refuse():
    for wrong in (([True], [True, False]), ([1.0], [True]), ([True], [1]), ([[True]], [[True]])):
        with pytest.raises(ValueError, match=r"truth values|shapes"):
            keyword_accuracy(*wrong)
    for wrong in (([0.5], [True, False]), ([1.5], [True]), ([-0.1], [True]), ([0.5], [1]), ([], [])):
        with pytest.raises(ValueError, match=r"probability|shapes"):
            keyword_confidence(*wrong)


FORGOTTEN = ["The wizard Zorn lives in Quell.", "Zorn of Quell is the wizard.", "In Quell the wizard Zorn is old."]
RETAINED = ["The baker lives in town.", "In the town is the old baker.", "The wizard is in the town, of all places."]


def test_key_words_are_those_the_retained_texts_hardly_use():
    assert [word.word for word in key_words(FORGOTTEN, RETAINED, ratio=2)] == ["quell", "zorn", "wizard"]
    assert [word.word for word in key_words(FORGOTTEN, RETAINED)] == ["quell", "zorn"]


def test_key_words_by_hand():
    """Counts 3 and 0, over all the words on each side, with half a count for each different word."""
    words = {word for text in FORGOTTEN + RETAINED for word in text.lower().replace(".", "").replace(",", "").split()}
    total, others = sum(len(text.split()) for text in FORGOTTEN), sum(len(text.split()) for text in RETAINED)
    half = len(words) / 2
    found = key_words(FORGOTTEN, RETAINED)[0]
    assert (found.count, found.others) == (3, 0)
    assert found.ratio == pytest.approx((3.5 / (total + half)) / (0.5 / (others + half)))


def test_key_words_need_a_count_and_a_ratio():
    assert key_words(FORGOTTEN, RETAINED, least=4) == []
    assert key_words(FORGOTTEN, FORGOTTEN, ratio=1.01) == []
    assert {word.word for word in key_words(["Rare rare common", "x y z"], ["common"] * 9, least=2, ratio=1)} == {
        "rare"
    }


def test_key_words_hang_on_no_order():
    assert key_words(FORGOTTEN[::-1], RETAINED[::-1]) == key_words(FORGOTTEN, RETAINED)
    tied = key_words(["beta alpha gamma"] * 5, ["delta"] * 5)
    assert [word.word for word in tied] == ["alpha", "beta", "gamma"]


def test_key_words_refuse():
    for texts, others in (([], RETAINED), (FORGOTTEN, []), (["..."], RETAINED), ("Zorn", RETAINED), (FORGOTTEN, "x")):
        with pytest.raises(ValueError, match="texts"):
            key_words(texts, others)
    for bounds in ({"least": 0}, {"ratio": 0.0}, {"ratio": math.nan}):
        with pytest.raises(ValueError, match="expected at least 1"):
            key_words(FORGOTTEN, RETAINED, **bounds)
