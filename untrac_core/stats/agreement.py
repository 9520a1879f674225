"""How well an estimate agrees with the truth over subsets, what chance alone would reach, and what the truth allows.

Every measure compares two vectors with one number per subset. :mod:`untrac_core.stats.bootstrap` gives them intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import fdtri, ndtri, stdtrit

from untrac_core.stats.intervals import LEVEL, Array

Measure = Literal["pearson", "spearman", "kendall", "ndcg", "top1"]
METRICS: tuple[Measure, ...] = ("pearson", "spearman", "kendall", "ndcg", "top1")
TOP = 3
"""The k of NDCG@k."""
RESOLVABLE = 0.8
"""From this mean correlation between seeds on, a side's truth is reproducible enough to rank methods on."""
FEWEST = 5
"""With fewer subsets seeds that have nothing in common reach :data:`RESOLVABLE` by chance in 1 of 10 cases (four
subsets) or 1 of 5 (three); with five, in 1 of 20."""
EXACT = 12
"""Up to so many subsets, the critical value of Spearman's rho is counted over all permutations."""
EXACT_KENDALL = 100
"""The same for Kendall's tau, whose permutations are counted faster. Above, its distribution is as good as normal."""


def pearson(estimate: Array, truth: Array) -> Array:
    """Pearson's r over the last axis; not a number where one of the two does not vary."""
    first = estimate - estimate.mean(-1, keepdims=True)
    second = truth - truth.mean(-1, keepdims=True)
    # Rounding leaves a constant vector a little spread: what is this small beside its values is none.
    still = _constant(estimate) | _constant(truth)
    scale = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (first * second).sum(-1) / scale
    result: Array = np.where(still, np.nan, np.clip(found, -1.0, 1.0))
    return result


def without_each(estimate: Array, truth: Array) -> Array:
    """Pearson's r without each subset in turn, shape (..., subsets) to the same: does one point make it?"""
    subsets = range(estimate.shape[-1])
    return np.stack([pearson(np.delete(estimate, k, -1), np.delete(truth, k, -1)) for k in subsets], -1)


def spearman(estimate: Array, truth: Array) -> Array:
    """Spearman's rho over the last axis: Pearson's r of the ranks, ties ranked by their mean."""
    return pearson(mean_ranks(estimate), mean_ranks(truth))


def mean_ranks(values: Array) -> Array:
    """Ranks from 1 over the last axis, ties by the mean of their places; not a number throughout where one is none.

    (As ``scipy.stats.rankdata``, whose import alone takes half a second of a page's first answer.)
    """
    rows = np.atleast_2d(values)
    order = np.argsort(rows, axis=-1, kind="stable")
    ordered = np.take_along_axis(rows, order, -1)
    begins = np.ones(rows.shape, dtype=bool)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    run = np.cumsum(begins).reshape(rows.shape) - 1  # runs of equal values, counted through all rows
    length = np.bincount(run.ravel())
    place = np.broadcast_to(np.arange(1, rows.shape[-1] + 1), rows.shape)
    first = np.zeros(len(length))
    first[run[begins]] = place[begins]
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, (first + (length - 1) / 2)[run], -1)
    ranks[np.isnan(rows).any(-1)] = np.nan
    return ranks.reshape(np.shape(values))


def kendall(estimate: Array, truth: Array) -> Array:
    """Kendall's tau-b over the last axis; not a number where one of the two does not vary."""
    upper, lower = np.triu_indices(estimate.shape[-1], 1)
    first = np.sign(estimate[..., upper] - estimate[..., lower])
    second = np.sign(truth[..., upper] - truth[..., lower])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (first * second).sum(-1) / np.sqrt((first != 0).sum(-1) * (second != 0).sum(-1))
    result: Array = found
    return result


def ndcg(estimate: Array, truth: Array, k: int = TOP) -> Array:
    """NDCG@k over the last axis (Jarvelin and Kekalainen, 2002), from 0 to 1; not a number as in :func:`pearson`.

    The gain of a subset is its true influence less the least one: an influence has no zero that a gain could start
    from, and adding a constant to all subsets must change nothing. The discount of rank i is 1 / log2(i + 1). Of
    subsets with equal estimates the one with the lower truth counts as ranked first: a tie earns nothing.
    """
    gains = truth - truth.min(-1, keepdims=True)
    k = min(k, truth.shape[-1])
    discount = 1 / np.log2(np.arange(2, k + 2))
    reached = np.take_along_axis(gains, _order(estimate, truth)[..., :k], -1) @ discount
    best = np.sort(gains, -1)[..., ::-1][..., :k] @ discount
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Array = np.where(_constant(estimate) | _constant(truth), np.nan, reached / best)
    return result


def top1(estimate: Array, truth: Array) -> Array:
    """1 where the subset that the estimate ranks first is the truth's first, else 0; ties as in :func:`ndcg`."""
    first = np.take_along_axis(truth, _order(estimate, truth)[..., :1], -1)[..., 0]
    return np.where(_constant(estimate) | _constant(truth), np.nan, (first == truth.max(-1)).astype(np.float64))


MEASURED: dict[Measure, Callable[[Array, Array], Array]] = {
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
    "ndcg": ndcg,
    "top1": top1,
}
"""Each measure's function: arrays of shape (..., subsets), broadcast against each other alike, to shape (...)."""


def _constant(vector: Array) -> npt.NDArray[np.bool_]:
    spread = np.ptp(vector, axis=-1)
    # Written so that it is also true of what is not a number.
    result: npt.NDArray[np.bool_] = ~(spread > 1e-12 * np.abs(vector).max(-1, initial=0.0))
    return result


def _order(estimate: Array, truth: Array) -> npt.NDArray[np.intp]:
    """Subsets by falling estimate; of equal ones that of lower truth first."""
    by_truth = np.argsort(truth, -1, kind="stable")
    by_estimate = np.argsort(-np.take_along_axis(estimate, by_truth, -1), -1, kind="stable")
    return np.take_along_axis(by_truth, by_estimate, -1)


def critical_value(metric: Measure, subsets: int, level: float = LEVEL) -> float:
    """The least agreement that two unrelated rankings of so many subsets exceed or reach in at most 1 - ``level``.

    Two-sided, for one comparison planned beforehand. Pearson: from Student's t, for normal values. Spearman: counted
    over all permutations up to :data:`EXACT` subsets, from Student's t above. Kendall: counted up to
    :data:`EXACT_KENDALL`, from its normal limit above. Infinite where even a perfect ranking is not rare enough, as
    with 4 subsets.

    Raises:
        ValueError: for measures without a critical value: NDCG's hangs on the truth, and top-1's chance is 1/subsets.
    """
    if metric not in ("pearson", "spearman", "kendall"):
        raise ValueError(f"{metric} has no critical value")
    if metric == "kendall" and subsets > EXACT_KENDALL:
        return float(ndtri((1 + level) / 2)) * math.sqrt(2 * (2 * subsets + 5) / (9 * subsets * (subsets - 1)))
    if metric == "kendall":
        return _least(_kendall_counts(subsets), subsets * (subsets - 1) // 2, level)
    if metric == "spearman" and subsets <= EXACT:
        return _least(_spearman_counts(subsets), (subsets**3 - subsets) // 6, level)
    if subsets < 3:
        return math.inf
    t = float(stdtrit(subsets - 2, (1 + level) / 2))
    return t / math.sqrt(subsets - 2 + t * t)


def _least(counts: tuple[int, ...], most: int, level: float) -> float:
    """From how many permutations have each distance (0 to ``most``): agreement is 1 - 2 distance / most."""
    total, tail, reached = sum(counts), 0, math.inf
    for distance, count in enumerate(counts):
        tail += count
        # Both tails are alike; from the middle on nothing is rare.
        if 2 * tail > (1 - level) * total or 2 * distance >= most:
            break
        if count:
            reached = 1 - 2 * distance / most
    return reached


@lru_cache
def _kendall_counts(size: int) -> tuple[int, ...]:
    """How many permutations have each number of inversions (Mahonian numbers)."""
    counts = [1]
    for length in range(2, size + 1):
        # The next one may stand in ``length`` places: a sliding sum over the counts so far.
        sums = [0, *accumulate(counts)]
        last = len(sums) - 1
        counts = [sums[min(total + 1, last)] - sums[max(total + 1 - length, 0)] for total in range(last + length - 1)]
    return tuple(counts)


@lru_cache
def _spearman_counts(size: int) -> tuple[int, ...]:
    """How many permutations have each sum of squared differences of ranks, set of used ranks by set."""
    most = (size**3 - size) // 3
    counts = np.zeros((1 << size, most + 1), dtype=np.int64)
    counts[0, 0] = 1
    for used in range(1, 1 << size):
        place = used.bit_count() - 1
        for rank in range(size):
            if used >> rank & 1:
                squared = (place - rank) ** 2
                counts[used, squared:] += counts[used ^ (1 << rank), : most + 1 - squared]
    return tuple(counts[-1][::2].tolist())  # the sum is always even


@dataclass(frozen=True)
class Noise:
    """How reproducible a truth is: one number per seed and subset, so many seeds."""

    agreement: float
    """Mean Pearson's r of all pairs of seeds; not a number with one seed, as all below."""
    agreement_interval: tuple[float, float]
    reliability: float
    """Of the mean over the seeds: its squared correlation with the mean over infinitely many (Spearman-Brown)."""
    reliability_interval: tuple[float, float]

    @property
    def resolvable(self) -> bool:
        """Whether methods can be compared on this truth: agreement of at least :data:`RESOLVABLE`."""
        return self.agreement >= RESOLVABLE

    @property
    def ceiling(self) -> float:
        """The correlation with the mean over seeds that a perfect estimate would reach: sqrt(reliability)."""
        return _root(self.reliability)

    @property
    def ceiling_interval(self) -> tuple[float, float]:
        """The 95% interval of the ceiling."""
        return _root(self.reliability_interval[0]), _root(self.reliability_interval[1])


def _root(share: float) -> float:
    return math.sqrt(max(share, 0.0)) if not math.isnan(share) else math.nan


def noise(per_seed: Array) -> Noise:
    """The noise of a truth of shape (seeds, subsets).

    The mean correlation between seeds, r, is that of single seeds; the mean of k seeds has the reliability
    k r / (1 + (k - 1) r) (Spearman, 1910; Brown, 1910). Intervals: r is the consistency form of the intraclass
    correlation, so F = (1 + (k - 1) r) / (1 - r) has an F distribution with subsets - 1 and (subsets - 1)(k - 1)
    degrees of freedom, scaled (McGraw and Wong, 1996, case 3). That takes the noise to be normal and independent from
    retraining to retraining; what all retrainings of one seed share does not matter, as it shifts all subsets alike.
    The ceiling holds for estimates that know nothing of the seeds' own noise: one that is computed from a model of
    one of them may pass it a little.
    """
    seeds, subsets = per_seed.shape
    nothing = (math.nan, math.nan)
    if seeds < 2 or subsets < 3:
        return Noise(math.nan, nothing, math.nan, nothing)
    first, second = np.triu_indices(seeds, 1)
    mean = float(pearson(per_seed[first], per_seed[second]).mean())
    if math.isnan(mean):
        return Noise(math.nan, nothing, math.nan, nothing)
    ratio = (1 + (seeds - 1) * mean) / max(1 - mean, 1e-12)
    freedom = subsets - 1, (subsets - 1) * (seeds - 1)
    ends = [ratio / float(fdtri(*freedom, (1 + sign * LEVEL) / 2)) for sign in (1, -1)]
    single = [(end - 1) / (end + seeds - 1) for end in ends]
    return Noise(
        mean,
        (single[0], single[1]),
        spearman_brown(mean, seeds),
        (spearman_brown(single[0], seeds), spearman_brown(single[1], seeds)),
    )


def others_mean(per_seed: Array) -> Array:
    """For each seed the mean of the others, shape (seeds, subsets) to the same; not a number with one seed."""
    seeds = len(per_seed)
    return (per_seed.sum(0) - per_seed) / (seeds - 1) if seeds > 1 else np.full_like(per_seed, np.nan)


def spearman_brown(single: float, count: int) -> float:
    """The reliability of the mean of ``count`` measurements, from that of a single one."""
    below = 1 + (count - 1) * single
    return count * single / below if below > 0 else -math.inf


def ties(order: Sequence[str], separable: Callable[[str, str], bool]) -> list[list[str]]:
    """The "cannot separate" groups: maximal runs in rank order of which no two members can be told apart.

    As in a compact letter display, groups may overlap: a subset between two groups belongs to both. A subset that
    stands apart from its neighbours is in no group.
    """
    runs: list[list[str]] = []
    reach = 0
    for start in range(len(order)):
        stop = max(reach, start + 1)
        while stop < len(order) and not any(separable(order[i], order[stop]) for i in range(start, stop)):
            stop += 1
        # A run that ends where an earlier one ends lies within it.
        if stop > reach and stop - start > 1:
            runs.append(list(order[start:stop]))
        reach = max(reach, stop)
    return runs
