"""Intervals: what makes them, which one where, and why; and what cannot be told apart.

====================================  ========================  =============================  ========================
where                                 it is over                rule                           made by
====================================  ========================  =============================  ========================
trace: a subset, a group;             seeds and items;          Student's t of each, in        :meth:`Estimate.interval`
validate: a method's estimate         UnTrac-Inv's product:     squares
                                      blocks and items
trace: a text, an item, a token       seeds                     Student's t, with the share    :func:`seed_margin`
trace: what influential texts share   documents                 bootstrap's spread, times t    :func:`cluster_margin`
validate: a subset's true influence   seeds                     Student's t                    :func:`student_interval`
validate: the truth's own noise       subsets and seeds         F of the intraclass            ``agreement.noise``
                                                                correlation
validate: agreement with the truth    seeds and items           bootstrap, reflected           ``bootstrap.interval``
                                                                percentiles
verify: a text unlearned alone        items                     Student's t of each side, in   :func:`items_margin`
                                                                squares
verify: chosen texts against others   items and texts           the same, and t of each kind   :func:`around`
                                                                of texts
unlearn: what a set of texts loses    items and seeds           as of a trace                  :func:`change_interval`
compare: agreement of two rankings    each number's interval    draws from these intervals,    ``bootstrap.interval``
                                                                percentiles
====================================  ========================  =============================  ========================

* Seeds, few as they are, take Student's t: the spread of two or three is hardly known itself. Where each draws a share
  of one set they share its sampling error, which no number of seeds takes away: the variance is that of a finite
  population, most often of half samples.
* Items are many, so that t is all but normal for them. What is watched on the same items is subtracted item by item;
  the two sides of a prompt set are different items, so their margins add in squares, unless they are pairs.
* Items and blocks are counted by clusters (:mod:`untrac_core.stats.clusters`): a minimal pair, a question with its
  answers and a document are one observation each. Residuals are summed over a cluster before their variance is taken,
  and t is that of so many clusters. So are documents drawn where texts are, and clusters of items by the bootstrap.
* Many intervals that are read as one list of findings share one level (:func:`joint_level`): those of the grid of
  groups and of what influential texts share are widened so that, of those without zero, one in twenty is expected to be
  false. Brackets are read over all pairs of subsets at once, so each pair takes its part of the 5%
  (:func:`each_level`). A ranking's own intervals, and the differences of neighbours, stand for themselves.
* An agreement is no mean: noise lowers it, so that its interval lies unevenly about it, and the study is drawn again
  instead. Two rankings that are compared have no more in common than that each number has an interval, so theirs are
  drawn from these.

A least and a greatest seed, as in the table of an unlearning's measures, are called a range and are no interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from untrac_core.stats.clusters import Clusters

Array = npt.NDArray[np.float64]
LEVEL = 0.95
LEAST = 8
"""Of fewer independent examples there is no interval: their spread says too little of their noise, one's nothing."""
HALVINGS = 30
"""Of the range of a p-value's logarithm, from 1 down to :data:`SMALLEST`."""
SMALLEST = 1e-12


@dataclass(frozen=True)
class Estimate:
    """An influence, with all that its uncertainty needs, so that differences of two stay paired.

    ``per_seed``: shape (seeds,), nats per token. ``residuals``: for each population of examples, shape (clusters,),
    by how much each cluster's examples, averaged over seeds, depart from the mean, scaled so that the variance of the
    estimate from sampling those clusters is var(residuals) / clusters. Two estimates that share a population (the same
    clusters in the same order) subtract cluster by cluster. ``subsample``: of the unlearned set, drawn by each seed.
    ``exact``: all that could have been drawn otherwise stands in ``residuals``; seeds hold parts of it and add nothing.
    ``independent``: clusters of the smallest set of examples that it hangs on, also of a set that seeds draw from.
    """

    per_seed: Array
    residuals: Mapping[str, Array]
    subsample: float = 1.0
    exact: bool = False
    independent: int = LEAST

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.per_seed.mean())

    @property
    def fewest(self) -> int:
        """Independent examples of the smallest population that it hangs on."""
        return min([self.independent, *map(len, self.residuals.values())])

    def __add__(self, other: Estimate) -> Estimate:
        """The paired sum; seeds are matched by their order."""
        residuals = dict(self.residuals)
        for population, values in other.residuals.items():
            residuals[population] = residuals[population] + values if population in residuals else values
        independent = min(self.independent, other.independent)
        return Estimate(self.per_seed + other.per_seed, residuals, self.subsample, self.exact, independent)

    def __mul__(self, factor: float) -> Estimate:
        """The estimate ``factor`` times as large."""
        residuals = {name: values * factor for name, values in self.residuals.items()}
        return Estimate(self.per_seed * factor, residuals, self.subsample, self.exact, self.independent)

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference; seeds are matched by their order."""
        return self + other * -1.0

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """The interval over seeds and examples; ``None`` with one seed, or fewer than :data:`LEAST` clusters.

        Each source's margin is Student's t times its standard error. So two seeds, whose spread is hardly known, widen
        the interval as they should.
        """
        if self.fewest < LEAST or (len(self.per_seed) < 2 and not self.exact):
            return None
        return around(self.value, self._margins(level))

    def p_value(self) -> float:
        """1 less the level at which the interval's nearer end is zero; not a number where there is no interval."""
        if self.interval() is None:
            return math.nan
        low, high = math.log(SMALLEST), 0.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if math.hypot(*self._margins(1 - math.exp(middle))) < abs(self.value):
                high = middle
            else:
                low = middle
        return math.exp(high)

    def _margins(self, level: float) -> list[float]:
        margins = [] if self.exact else [float(seed_margin(self.per_seed[:, None], self.subsample, level)[0])]
        for values in self.residuals.values():
            margins.append(student(len(values), level) * float(values.std(ddof=1)) / len(values) ** 0.5)
        return margins


def around(value: float, margins: Sequence[float]) -> tuple[float, float]:
    """The interval about a value whose margins are independent: they add in squares (MOVER; Zou and Donner, 2008)."""
    reach = math.hypot(*margins)
    return value - reach, value + reach


def seed_margin(per_seed: Array, share: float, level: float = LEVEL) -> Array:
    """The margin that the seeds' spread gives the mean over seeds; shape (seeds, k) to (k,).

    Seeds that draw a share p of one set share its sampling error: their own spread s2 is (1 - p) / p of that error,
    which no number of seeds takes away. So the variance is s2 (p / (1 - p) + 1 / seeds): the delete-a-share
    jackknife, and the draws' own noise. With the whole set (p = 1) seeds differ in order alone: s2 / seeds.
    """
    margin: Array = student(len(per_seed), level) * seed_variance(per_seed, share) ** 0.5
    return margin


def seed_variance(per_seed: Array, share: float) -> Array:
    """The variance of the mean over seeds, as :func:`seed_margin` has it; shape (seeds, k) to (k,)."""
    variance: Array = per_seed.var(0, ddof=1) * (1 / len(per_seed) + (share / (1 - share) if share < 1 else 0.0))
    return variance


def as_of_whole(changes: Array, share: float) -> Array:
    """Seeds that each drew a share p < 1, set apart about their mean as if each had a whole set of its own.

    Shape (seeds, k). By the square root of 1 + seeds p / (1 - p): with a share of 1, :func:`seed_margin` then gives
    what it gave before for p, and numbers whose seeds drew different shares can be subtracted.
    """
    mean = changes.mean(0)
    result: Array = mean + (changes - mean) * (1 + len(changes) * share / (1 - share)) ** 0.5
    return result


def student_interval(values: Array) -> tuple[float, float] | None:
    """The 95% interval of the mean of independent values, by Student's t; ``None`` for fewer than two."""
    if len(values) < 2:
        return None
    reach = student(len(values)) * float(values.std(ddof=1)) / len(values) ** 0.5
    return float(values.mean()) - reach, float(values.mean()) + reach


def student_margin(values: Array) -> float:
    """Half the width of :func:`student_interval`; not a number for fewer than two values."""
    ends = student_interval(values)
    return math.nan if ends is None else (ends[1] - ends[0]) / 2


def items_margin(found: Estimate) -> float:
    """The 95% margin from which items the prompt set happens to have; not a number where a side has one item.

    A single text has no seeds: the unlearning takes the same steps each time.
    """
    return math.hypot(*(student_margin(values) for values in found.residuals.values()))


def change_interval(changes: Array, tokens: Array, clusters: Clusters | None = None) -> tuple[float, float, float]:
    """A change in nats per token with its 95% interval; ``changes``: sums over items, shape (seeds, items).

    That of an :class:`Estimate`; its ends are not numbers for one seed, or fewer than :data:`LEAST` clusters.
    """
    found = estimate(changes, tokens, "items", clusters=clusters)
    return found.value, *(found.interval() or (math.nan, math.nan))


def cluster_margin(drawn: Array, clusters: int) -> Array:
    """The 95% margin of standardised effects, from a bootstrap over clusters; shape (draws, k) to (k,).

    Student's t, for so many clusters, times the spread over draws, widened as that of a mean of so few. It is at least
    the spread that so many clusters drawn from all of them would have: five texts without a rare trait do not show that
    none has it. Not a number for one cluster.
    """
    spread = np.nanstd(drawn, axis=0) * (clusters / max(1, clusters - 1)) ** 0.5
    margin: Array = student(clusters) * np.maximum(spread, clusters**-0.5)
    return margin


def cluster_p_values(effects: Array, margins: Array, clusters: Array) -> Array:
    """P-values of effects with these 95% margins (:func:`cluster_margin`) from so many clusters; all of shape (k,).

    Not a number where nothing varies, or where there is one cluster.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(effects) / margins * stdtrit(clusters - 1, (1 + LEVEL) / 2)
    result: Array = 2 * stdtr(clusters - 1, -ratio)
    return result


def widened(margins: Array, clusters: Array, level: float) -> Array:
    """Margins of so many clusters (:func:`cluster_margin`) at another level than 95%; all of shape (k,)."""
    result: Array = margins * stdtrit(clusters - 1, (1 + level) / 2) / stdtrit(clusters - 1, (1 + LEVEL) / 2)
    return result


def student(count: int, level: float = LEVEL) -> float:
    """Student's t, two-sided, for the mean of so many; not a number for one."""
    return float(stdtrit(count - 1, (1 + level) / 2))


def estimate(
    changes: Array, tokens: Array, population: str, share: float = 1.0, clusters: Clusters | None = None
) -> Estimate:
    """The influence per token, and its residuals.

    ``changes``: shape (seeds, examples), summed change of loss of each example in nats; ``tokens``: shape (examples,);
    ``clusters``: of these examples, each for itself where none are given. The influence is a ratio of sums, so a
    cluster's residual is (its change - influence x its tokens) / mean tokens of a cluster; of a cluster of the
    population that has no example here it is zero.
    """
    per_seed = changes.sum(1) / tokens.sum()
    residuals = changes.mean(0) - per_seed.mean() * tokens
    if clusters is None:
        return Estimate(per_seed, {population: residuals / tokens.mean()}, share, independent=len(tokens))
    residuals = clusters.sums(residuals) / (tokens.sum() / clusters.count)
    return Estimate(per_seed, {population: residuals}, share, independent=clusters.here)


def joint_level(p_values: Array) -> float:
    """The level at which exactly the findings among several intervals exclude zero, from the p-value of each.

    Findings are those of Benjamini and Hochberg (1995): at most 5% of them are expected to be false. At the level
    1 - .05 x findings / all, at most 5% of the findings' intervals are expected to miss (Benjamini and Yekutieli,
    2005). What is not a number is no test.
    """
    ordered = np.sort(p_values[~np.isnan(p_values)])
    if not len(ordered):
        return LEVEL
    below = np.flatnonzero(ordered <= (1 - LEVEL) * np.arange(1, len(ordered) + 1) / len(ordered))
    return each_level(len(ordered)) if not len(below) else 1 - (1 - LEVEL) * (int(below[-1]) + 1) / len(ordered)


def each_level(count: int) -> float:
    """The level of each of so many intervals that hold together in 95% of cases (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(count, 1)


def excludes_zero(interval: tuple[float, float] | None) -> bool:
    """Whether an interval says that there is a difference."""
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


def pearson(first: Array, second: Array) -> float:
    """Pearson's r of two vectors; not a number where one of them does not vary."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
