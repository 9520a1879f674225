"""Shares: the influence of leaving a subset out, against what a step of training really does without it."""

import numpy as np
import pytest

from untrac_core.stats.agreement import MEASURED
from untrac_core.stats.intervals import Estimate, estimate
from untrac_core.stats.mixture import (
    LEAST_BLOCKS,
    allocate_samples,
    large_shares,
    leave_out_influence,
    leave_out_matrix,
)

SIZES = [40, 5, 90, 15, 25]


def least_squares(seed=0, width=6):
    """Rows of five subsets of unequal sizes, a query of its own, and weights: gradients are exact."""
    draw = np.random.default_rng(seed)
    true = draw.normal(size=(len(SIZES), width))
    rows = [draw.normal(size=(size, width)) for size in SIZES]
    targets = [row @ weights + draw.normal(size=len(row)) for row, weights in zip(rows, true, strict=True)]
    query = draw.normal(size=(30, width))
    return rows, targets, query, query @ true[0], draw.normal(size=width)


def gradient(rows, targets, weights):
    """Of half the mean squared error."""
    return rows.T @ (rows @ weights - targets) / len(targets)


def loss(rows, targets, weights):
    return float(((rows @ weights - targets) ** 2).mean() / 2)


def test_removal_is_what_a_step_without_the_subset_does_to_the_loss():
    """One small step of plain descent on all rows, and on those without subset k, by explicit differences."""
    rows, targets, query, answers, weights = least_squares()
    x = np.array(
        [gradient(r, t, weights) @ gradient(query, answers, weights) for r, t in zip(rows, targets, strict=True)]
    )
    rate = 1e-6

    def after(without=None):
        kept = [i for i in range(len(SIZES)) if i != without]
        step = gradient(np.concatenate([rows[i] for i in kept]), np.concatenate([targets[i] for i in kept]), weights)
        return loss(query, answers, weights - rate * step)

    differences = np.array([after(k) - after() for k in range(len(SIZES))]) / rate
    np.testing.assert_allclose(
        leave_out_matrix(np.array(SIZES, dtype=float)) @ x, differences, rtol=1e-4, atol=1e-4 * abs(x).max()
    )
    assert np.ptp(differences) > 0.1
    # Without the weights the largest and the smallest subset would be judged by a token of theirs alone.
    assert not np.allclose(np.argsort(x), np.argsort(differences))


def test_the_mean_gradient_without_a_subset_is_exactly_as_derived():
    rows, targets, _, _, weights = least_squares(1)
    gradients = np.stack([gradient(r, t, weights) for r, t in zip(rows, targets, strict=True)])
    full = gradient(np.concatenate(rows), np.concatenate(targets), weights)
    for k in range(len(SIZES)):
        kept = [i for i in range(len(SIZES)) if i != k]
        without = gradient(np.concatenate([rows[i] for i in kept]), np.concatenate([targets[i] for i in kept]), weights)
        np.testing.assert_allclose(
            full - without, (leave_out_matrix(np.array(SIZES, dtype=float)) @ gradients)[k], atol=1e-12
        )


def test_shares_need_not_sum_to_one():
    shares = np.array([3.0, 1.0, 2.0])
    np.testing.assert_allclose(leave_out_matrix(shares), leave_out_matrix(shares / shares.sum() * 100))


@pytest.mark.parametrize("shares", [[1.0], [], [1.0, 0.0, 2.0], [1.0, -1.0]])
def test_shares_that_make_no_training_are_refused(shares):
    with pytest.raises(ValueError, match="two shares, each above zero"):
        leave_out_matrix(np.array(shares))


@pytest.mark.parametrize("metric", sorted(MEASURED))
def test_equal_shares_change_no_agreement(metric):
    draw = np.random.default_rng(2)
    for _ in range(20):
        x, truth = draw.normal(size=(2, 8))
        even = leave_out_matrix(np.full(8, 0.3)) @ x
        assert MEASURED[metric](even, truth) == pytest.approx(MEASURED[metric](x, truth))
        np.testing.assert_array_equal(np.argsort(even), np.argsort(x))
        np.testing.assert_allclose(even, (x - x.mean()) / 7)


def test_a_larger_subset_with_the_same_influence_a_token_counts_for_more():
    found = leave_out_matrix(np.array([50.0, 10.0, 20.0, 20.0])) @ np.array([1.0, 1.0, -1.0, -1.0])
    assert found[0] > found[1] > 0


def of(values, population, share=0.5):
    """An estimate whose seeds and examples differ."""
    changes = np.asarray(values, dtype=float)
    return estimate(changes, np.arange(1.0, changes.shape[1] + 1), population, share)


def made(seed, population, share=0.5):
    return of(np.random.default_rng(seed).normal(size=(3, 9)), population, share)


def test_sums_and_multiples_of_estimates_carry_their_residuals():
    one, two, other = made(0, "items"), made(1, "items"), made(2, "blocks of b")
    both = one + two
    np.testing.assert_allclose(both.per_seed, one.per_seed + two.per_seed)
    np.testing.assert_allclose(both.residuals["items"], one.residuals["items"] + two.residuals["items"])
    apart = one + other
    assert set(apart.residuals) == {"items", "blocks of b"}
    np.testing.assert_array_equal(apart.residuals["items"], one.residuals["items"])
    np.testing.assert_array_equal(apart.residuals["blocks of b"], other.residuals["blocks of b"])
    assert set(one.residuals) == {"items"}  # not changed in place
    threefold = one * -3.0
    assert threefold.value == pytest.approx(-3 * one.value)
    np.testing.assert_allclose(threefold.residuals["items"], -3 * one.residuals["items"])
    low, high = one.interval()
    assert threefold.interval() == pytest.approx((-3 * high, -3 * low))
    difference = one - other
    assert difference.value == pytest.approx(one.value - other.value)
    np.testing.assert_allclose(difference.residuals["blocks of b"], -other.residuals["blocks of b"])
    assert {each.subsample for each in (both, apart, threefold, difference)} == {0.5}


def test_an_estimate_less_itself_is_nothing_without_noise():
    one = made(0, "items")
    assert (one - one).interval() == pytest.approx((0.0, 0.0), abs=1e-15)
    assert (one * 2.0 - one - one).interval() == pytest.approx((0.0, 0.0), abs=1e-15)


def test_independent_noise_of_a_sum_adds_up_in_squares():
    """With seeds that agree, examples alone make the interval."""
    still = [
        Estimate(np.full(3, 1.0), {name: np.array([-1.0, 0.0, 1.0, 2.0, -2.0, 0.5, -0.5, 0.0])}) for name in ("a", "b")
    ]
    reach = still[0].interval()[1] - 1.0
    low, high = (still[0] + still[1]).interval()
    assert (high - low) / 2 == pytest.approx(2**0.5 * reach)
    low, high = (still[0] - still[1]).interval()
    assert (high - low) / 2 == pytest.approx(2**0.5 * reach)


def test_removed_estimates_are_the_matrix_times_the_values_seed_by_seed_and_example_by_example():
    names = ["a", "b", "c", "d"]
    found = {name: made(number, f"subset {name}") for number, name in enumerate(names)}
    shares = dict(zip(names, [4.0, 1.0, 2.0, 9.0], strict=True))
    matrix = leave_out_matrix(np.array(list(shares.values())))
    result = leave_out_influence(found, shares)
    assert list(result) == names
    per_seed = np.stack([found[name].per_seed for name in names])
    for row, name in enumerate(names):
        np.testing.assert_allclose(result[name].per_seed, matrix[row] @ per_seed, atol=1e-15)
        assert result[name].subsample == 0.5
        for column, other in enumerate(names):  # every subset's own blocks make this one's influence uncertain
            expected = matrix[row, column] * found[other].residuals[f"subset {other}"]
            np.testing.assert_allclose(result[name].residuals[f"subset {other}"], expected, atol=1e-15)


def test_what_all_subsets_share_cancels_in_the_noise_too():
    """Prompts that move all subsets alike say nothing about leaving one out."""
    shared, tokens = np.random.default_rng(5).normal(size=(3, 9)), np.arange(1.0, 10.0)
    names = ["a", "b", "c"]
    found = {name: of(shared + number * tokens, "prompts") for number, name in enumerate(names)}
    for shares in ({"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 5.0, "c": 2.0}):
        x = leave_out_matrix(np.array(list(shares.values()))) @ [0.0, 1.0, 2.0]
        for value, one in zip(x, leave_out_influence(found, shares).values(), strict=True):
            assert one.interval() == pytest.approx((value, value))
    same = {name: of(shared, "prompts") for name in names}
    for one in leave_out_influence(same, {"a": 1.0, "b": 5.0, "c": 2.0}).values():
        assert one.interval() == pytest.approx((0.0, 0.0), abs=1e-12)


def test_the_order_of_the_shares_is_that_of_their_names():
    found = {name: made(number, name) for number, name in enumerate("abc")}
    one = leave_out_influence(found, {"a": 1.0, "b": 2.0, "c": 3.0})
    other = leave_out_influence(found, {"c": 3.0, "a": 1.0, "b": 2.0})
    assert all(one[name].value == other[name].value for name in found)


def test_methods_look_at_more_of_what_weighs_more():
    assert allocate_samples({"a": 500, "b": 500, "c": 500}, 64) == {"a": 64, "b": 64, "c": 64}
    assert allocate_samples({"a": 3000, "b": 900, "c": 100}, 100) == {"a": 225, "b": 68, "c": LEAST_BLOCKS}
    assert allocate_samples({"a": 30, "b": 5}, 1000) == {"a": 30, "b": 5}
    assert allocate_samples({"a": 3000, "b": 5}, 4) == {"a": 8, "b": 5}


def test_the_error_of_a_large_subset_is_no_longer_the_largest():
    """Sampled gradients of subsets that vary alike, weighted by their sizes: equal parts against allotted ones."""
    draw = np.random.default_rng(5)
    sizes = {"large": 4800, **{f"small {i}": 800 for i in range(14)}}
    shares = np.array(list(sizes.values()), dtype=float)
    weight = leave_out_matrix(shares)
    errors = {}
    for name, parts in (("equal", [64] * len(sizes)), ("allotted", list(allocate_samples(sizes, 64).values()))):
        sampled = np.stack([draw.normal(0, 1, (2000, part)).mean(1) for part in parts], axis=1)
        spread = (sampled @ weight.T).std(0)
        errors[name] = spread[0] / spread[1:].mean()
    assert errors["equal"] > 1.8 * errors["allotted"]


def test_a_subset_of_a_third_of_the_training_is_warned_of_and_equal_ones_are_not():
    warnings = large_shares({"hate": 30.0, "books": 20.0, "news": 15.0, "web": 20.0, "tales": 15.0})
    assert len(warnings) == 1
    assert "'hate' is 30%" in warnings[0]
    assert "1.4 times" in warnings[0]
    assert large_shares(dict.fromkeys("abc", 1.0)) == [] == large_shares(dict.fromkeys("abcdefgh", 1.0))


@pytest.mark.parametrize("sizes", [{"a": 80, "b": 10, "c": 10}, {"a": 90, "b": 5, "c": 3, "d": 2}])
def test_one_of_few_subsets_that_is_nearly_all_of_the_training_is_warned_of(sizes):
    [warning] = large_shares(sizes)
    assert f"'a' is {sizes['a']}%" in warning
