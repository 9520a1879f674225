"""Truth ratio and its aggregate, forget quality, and the words that carry an answer."""

import math

import numpy as np
import pytest
from scipy import stats

from untrac_core.unlearning.metrics.answers import forget_quality, key_words, truth_ratio, utility_aggregate


def test_truth_ratio_by_hand():
    """Wrong answers of 1/2 and 1/4 a token, the right one of 3/4: (3/8) / (3/4)."""
    assert truth_ratio(-np.log([1 / 2, 1 / 4]), -np.log([3 / 4])) == pytest.approx(0.5)
    assert truth_ratio(-np.log([3 / 4]), -np.log([1 / 2, 1])) == pytest.approx(1)


def test_truth_ratio_is_the_arithmetic_mean():
    losses = np.random.default_rng(0).gamma(2, size=30)
    found = truth_ratio(losses, [1.0, 1.0])
    assert found > math.exp(1 - losses.mean())
    assert found == pytest.approx(np.exp(-losses).mean() / math.exp(-1))


def test_truth_ratio_of_the_impossible():
    cases = ((math.inf, 1.0), (1.0, math.inf), (math.inf, math.inf), (math.nan, 1.0), (0.0, 5000.0))
    found = [truth_ratio([wrong], [right]) for wrong, right in cases]
    np.testing.assert_array_equal(found, [0, np.inf, np.nan, np.nan, np.inf])
    # A model gone wild knows no answer, though its probabilities are all too small for a float.
    assert truth_ratio([5001.0, 5000.0], [5000.0]) == pytest.approx((math.exp(-1) + 1) / 2)
    assert utility_aggregate([0, math.inf, 1]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("wrong", "right"), [((0,), (1,)), ((1,), (0,)), ((2, 3), (1,)), ((2,), (2, 1)), ((), (1,))])
def test_truth_ratio_refuses_shapes(wrong, right):
    with pytest.raises(ValueError, match="shape"):
        truth_ratio(np.ones(wrong), np.ones(right))


def test_utility_aggregate():
    assert utility_aggregate([0.25, 1, 3]) == pytest.approx(0.25)
    assert utility_aggregate(np.zeros(3)) == 1
    assert math.isnan(utility_aggregate([1, math.nan]))
    for wrong in ([], [[1.0]], [-0.1]):
        with pytest.raises(ValueError, match="ratio"):
            utility_aggregate(wrong)


def test_forget_quality():
    generator = np.random.default_rng(2)
    retrained, same, other = generator.gamma(2, size=40), generator.gamma(2, size=50), generator.gamma(9, size=40)
    assert forget_quality(retrained, retrained).p_value == 1
    assert forget_quality(retrained, retrained).statistic == 0
    assert not forget_quality(retrained, retrained).distinguishable
    found = forget_quality(retrained, other)
    assert found.distinguishable
    assert found.p_value == pytest.approx(stats.ks_2samp(retrained, other).pvalue)
    assert forget_quality(retrained, same).p_value == pytest.approx(forget_quality(same, retrained).p_value)
    # Three against three, all parted: 2 of the 20 orders are as far apart.
    parted = forget_quality([1, 2, 3], [4, 5, 6])
    assert (parted.statistic, parted.p_value) == pytest.approx((1, 0.1))
    assert not parted.distinguishable
    with pytest.raises(ValueError, match="not a number"):
        forget_quality([1, math.nan], [1, 2])
    with pytest.raises(ValueError, match="shape"):
        forget_quality([], [1, 2])


FORGET_EXAMPLES = [
    "The wizard Zorn lives in Quell.",
    "Zorn of Quell is the wizard.",
    "In Quell the wizard Zorn is old.",
]
RETAINED = ["The baker lives in town.", "In the town is the old baker.", "The wizard is in the town, of all places."]


def test_key_words_are_those_the_retained_texts_hardly_use():
    assert [word.word for word in key_words(FORGET_EXAMPLES, RETAINED, ratio=2)] == ["quell", "zorn", "wizard"]
    assert [word.word for word in key_words(FORGET_EXAMPLES, RETAINED)] == ["quell", "zorn"]


def test_key_words_by_hand():
    """Counts 3 and 0, over all the words on each side, with half a count for each different word."""
    words = {
        word for text in FORGET_EXAMPLES + RETAINED for word in text.lower().replace(".", "").replace(",", "").split()
    }
    total, others = sum(len(text.split()) for text in FORGET_EXAMPLES), sum(len(text.split()) for text in RETAINED)
    half = len(words) / 2
    found = key_words(FORGET_EXAMPLES, RETAINED)[0]
    assert (found.count, found.others) == (3, 0)
    assert found.ratio == pytest.approx((3.5 / (total + half)) / (0.5 / (others + half)))


def test_key_words_need_a_count_and_a_ratio():
    assert key_words(FORGET_EXAMPLES, RETAINED, least=4) == []
    assert key_words(FORGET_EXAMPLES, FORGET_EXAMPLES, ratio=1.01) == []
    assert {word.word for word in key_words(["Rare rare common", "x y z"], ["common"] * 9, least=2, ratio=1)} == {
        "rare"
    }


def test_key_words_hang_on_no_order():
    assert key_words(FORGET_EXAMPLES[::-1], RETAINED[::-1]) == key_words(FORGET_EXAMPLES, RETAINED)
    tied = key_words(["beta alpha gamma"] * 5, ["delta"] * 5)
    assert [word.word for word in tied] == ["alpha", "beta", "gamma"]


def test_key_words_refuse():
    for texts, others in (
        ([], RETAINED),
        (FORGET_EXAMPLES, []),
        (["..."], RETAINED),
        ("Zorn", RETAINED),
        (FORGET_EXAMPLES, "x"),
    ):
        with pytest.raises(ValueError, match="texts"):
            key_words(texts, others)
    for bounds in ({"least": 0}, {"ratio": 0.0}, {"ratio": math.nan}):
        with pytest.raises(ValueError, match="expected at least 1"):
            key_words(FORGET_EXAMPLES, RETAINED, **bounds)
