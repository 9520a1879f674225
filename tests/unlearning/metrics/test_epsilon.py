"""The competition's metric against a plain transcript of its steps, and its identities."""

import math

import numpy as np
import pytest

from untrac_core.unlearning.metrics import epsilon
from untrac_core.unlearning.metrics.epsilon import epsilons, final_score, forgetting_quality, observable


def transcript(unlearned, retrained):
    """Epsilon of one item, attack by attack, model by model."""
    positive, negative = unlearned, retrained
    if np.median(retrained) > np.median(unlearned):
        positive, negative = retrained, unlearned
    rates = []
    low, high = min(*positive, *negative), max(*positive, *negative)
    for threshold in np.linspace(low, high, math.ceil((high - low) * 100)):
        rates.append((np.mean(negative >= threshold), np.mean(positive < threshold)))
    peaky, wide = (negative, positive) if np.ptp(positive) >= np.ptp(negative) else (positive, negative)
    width = np.ptp(peaky)
    for right in np.linspace(peaky.min() + width - 2, peaky.max() + 2, 400):
        left = np.linspace(right - width - 2, right - width + 2, 400)[:, None]
        false_positive = ((left <= wide) & (wide <= right)).mean(1)
        false_negative = 1 - ((left <= peaky) & (peaky <= right)).mean(1)
        rates.extend(zip(false_positive, false_negative, strict=True))
    best = 0.0
    for false_positive, false_negative in set(rates):
        if false_positive == false_negative == 0:
            return 50.0
        for first, second in ((false_positive, false_negative), (false_negative, false_positive)):
            if first > 0 and second > 0 and 1 - 1e-5 - first > 0:
                best = max(best, math.log(1 - 1e-5 - first) - math.log(second))
    return min(best, 50.0)


def banks(items, models, shift, scale, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(models, items)), generator.normal(shift, scale, size=(models, items))


@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (1, 1), (0, 0.2), (-2, 3), (0, 6)])
def test_epsilon_is_that_of_the_transcript(shift, scale):
    unlearned, retrained = banks(3, 16, shift, scale)
    expected = [transcript(first, second) for first, second in zip(unlearned.T, retrained.T, strict=True)]
    np.testing.assert_allclose(epsilons(unlearned, retrained), expected, rtol=1e-9)
    assert max(expected) > 0


@pytest.mark.parametrize("scale", [0.004, 0.05, 0.3])
def test_single_thresholds_are_those_of_the_whole_grid(scale):
    """Narrow banks, where a step of 1/100 is as wide as the gaps between models: some gaps hold a step, some none."""
    positive, negative = np.random.default_rng(4).normal(scale=scale, size=(2, 12))
    low, high = min(*positive, *negative), max(*positive, *negative)
    grid = np.linspace(low, high, math.ceil((high - low) * 100))
    expected = {(float(np.mean(negative >= at)), float(np.mean(positive < at))) for at in grid}
    found = set(zip(*(rates.tolist() for rates in epsilon._single(positive, negative)), strict=True))
    assert {(round(a, 9), round(b, 9)) for a, b in found} == {(round(a, 9), round(b, 9)) for a, b in expected}


def test_identical_banks_cannot_be_told_apart():
    bank, _ = banks(6, 16, 0, 1)
    shuffled = bank[np.random.default_rng(5).permutation(16)]
    for other in (bank, shuffled):
        eps = epsilons(bank, other)
        np.testing.assert_array_equal(eps, np.zeros(6))
        assert forgetting_quality(eps, 16) == 1


def test_parted_banks_are_told_apart_without_fail():
    bank, _ = banks(6, 16, 0, 1)
    for other in (bank + 20, bank - 20, bank + np.ptp(bank) + 0.1):
        eps = epsilons(bank, other)
        np.testing.assert_array_equal(eps, np.full(6, 50.0))
        assert forgetting_quality(eps, 16) == 0


def test_a_double_threshold_sees_what_no_single_one_does():
    """The unlearned models lie in the middle of the retrained ones, which lie on both sides of it."""
    unlearned = np.linspace(-0.5, 0.5, 8)[:, None]
    retrained = np.concatenate([np.linspace(-9, -3, 4), np.linspace(3, 9, 4)])[:, None]
    assert epsilons(unlearned, retrained)[0] == 50
    assert epsilons(retrained, unlearned)[0] == 50
    # With one of eight retrained models inside, and one unlearned model outside: an error of each kind in eight.
    retrained[3], unlearned[0] = 0.1, -5.0
    assert epsilons(unlearned, retrained)[0] == pytest.approx(math.log((1 - 1e-5 - 1 / 8) * 8))


def test_epsilon_by_hand():
    """One of four on each side lies on the wrong side: ln((1 - delta - 1/4) x 4), the most that four can show."""
    unlearned, retrained = np.array([[0.0], [1], [2], [13]]), np.array([[10.0], [11], [12], [1.5]])
    assert epsilons(unlearned, retrained)[0] == pytest.approx(math.log(3 - 4e-5))
    assert epsilons(unlearned, retrained)[0] == pytest.approx(observable(4))


def test_between_the_cap_and_what_so_many_models_can_show_lies_nothing():
    unlearned, retrained = banks(60, 8, 1.5, 1, seed=3)
    eps = epsilons(unlearned, retrained)
    assert ((eps <= observable(8) + 1e-12) | (eps == 50)).all()
    assert (eps > 0).any()
    assert (eps == 50).any()


def test_points_are_told_apart_by_equality_alone():
    same, other, wide = np.full((4, 1), 1.0), np.full((4, 1), 1.5), np.arange(4.0)[:, None]
    assert epsilons(same, same)[0] == 0
    assert epsilons(same, other)[0] == 50
    assert epsilons(same, wide)[0] == 50
    assert epsilons(wide, 1 + 0.005 * wide)[0] == 50, "a spread 200 times narrower"


def test_a_bank_that_is_no_number_has_no_epsilon():
    unlearned, retrained = banks(3, 4, 0, 1)
    unlearned[1, 0], retrained[2, 2] = np.nan, np.inf
    eps = epsilons(unlearned, retrained)
    assert np.isnan(eps).tolist() == [True, False, True]
    assert math.isnan(forgetting_quality(eps, 4))


def test_a_model_gone_wild_costs_no_memory():
    unlearned, retrained = banks(1, 8, 0, 1)
    unlearned[0] = -1e12
    assert 0 <= epsilons(unlearned, retrained)[0] <= 50


def test_forgetting_quality_by_buckets():
    assert forgetting_quality(np.array([0.0, 0.49, 0.5, 1.2]), 512) == pytest.approx((1 + 1 + 0.5 + 0.25) / 4)
    # 512 models: ln 511 is 6.2, so buckets end at 7; 8 models: at 2.
    assert forgetting_quality(np.array([6.9]), 512) == pytest.approx(0.5**13)
    assert forgetting_quality(np.array([7.0]), 512) == 0
    assert forgetting_quality(np.array([1.99]), 8) == pytest.approx(1 / 8)
    assert forgetting_quality(np.array([2.0]), 8) == 0


@pytest.mark.parametrize("models", [8, 16, 64])
def test_two_retrained_banks_are_far_from_one_and_above_nothing(models):
    """What the docstring warns of: the ceiling of F is what chance leaves, not 1."""
    assert 0.08 < forgetting_quality(epsilons(*banks(40, models, 0, 1, seed=models)), models) < 0.3


def test_observable():
    assert observable(8) == pytest.approx(math.log(7), abs=1e-4)
    assert observable(16) == pytest.approx(2.7, abs=0.01)
    assert observable(2) == 0
    with pytest.raises(ValueError, match="models"):
        observable(1)


def test_final_score():
    assert final_score(1, 1, 1) == 1
    assert final_score(0.5, 0.9, 0.8) == pytest.approx(0.36)
    for wrong in ((1.1, 1, 1), (-0.1, 1, 1), (1, -1, 1), (1, 1, -1)):
        with pytest.raises(ValueError, match="F"):
            final_score(*wrong)


def test_misfits_are_refused():
    for shapes in (((4,), (4,)), ((4, 2), (4, 3)), ((4, 2), (5, 2)), ((4, 0), (4, 0)), ((2, 3), (2, 3))):
        with pytest.raises(ValueError, match=r"banks|models"):
            epsilons(*(np.zeros(shape) for shape in shapes))
    for eps, models in ((np.array([]), 8), (np.zeros((2, 2)), 8), (np.array([-1.0]), 8), (np.zeros(2), 2)):
        with pytest.raises(ValueError, match=r"epsilons|models"):
            forgetting_quality(eps, models)
