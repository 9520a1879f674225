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
  the two sides of a prompt set are different items, so their margins add in squares.
* Texts of one document are not independent, so documents are drawn, and t is that of so many documents.
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
from scipy.special import stdtrit

Array = npt.NDArray[np.float64]
LEVEL = 0.95
LEAST = 8
"""Of fewer examples there is no interval: their spread says too little of their noise, and one's nothing at all."""


@dataclass(frozen=True)
class Estimate:
    """An influence, with all that its uncertainty needs, so that differences of two stay paired.

    ``per_seed``: shape (seeds,), nats per token. ``residuals``: for each population of examples, shape (examples,),
    by how much each example, averaged over seeds, departs from the mean, scaled so that the variance of the estimate
    from sampling those examples is var(residuals) / examples. Two estimates that share a population (the same
    examples in the same order) subtract example by example. ``share``: of the unlearned set, drawn by each seed.
    ``exact``: all that could have been drawn otherwise stands in ``residuals``; seeds hold parts of it and add nothing.
    ``drawn_from``: examples of the set of which each seed draws its share.
    """

    per_seed: Array
    residuals: Mapping[str, Array]
    subsample: float = 1.0
    exact: bool = False
    drawn_from: int = LEAST

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.per_seed.mean())

    @property
    def fewest(self) -> int:
        """Examples of the smallest population that it hangs on."""
        return min([self.drawn_from, *map(len, self.residuals.values())])

    def __add__(self, other: Estimate) -> Estimate:
        """The paired sum; seeds are matched by their order."""
        residuals = dict(self.residuals)
        for population, values in other.residuals.items():
            residuals[population] = residuals[population] + values if population in residuals else values
        drawn_from = min(self.drawn_from, other.drawn_from)
        return Estimate(self.per_seed + other.per_seed, residuals, self.subsample, self.exact, drawn_from)

    def __mul__(self, factor: float) -> Estimate:
        """The estimate ``factor`` times as large."""
        residuals = {name: values * factor for name, values in self.residuals.items()}
        return Estimate(self.per_seed * factor, residuals, self.subsample, self.exact, self.drawn_from)

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference; seeds are matched by their order."""
        return self + other * -1.0

    def interval(self) -> tuple[float, float] | None:
        """The 95% interval over seeds and examples; ``None`` with one seed, or fewer than :data:`LEAST` examples.

        Each source's margin is Student's t times its standard error. So two seeds, whose spread is hardly known, widen
        the interval as they should.
        """
        if self.fewest < LEAST or (len(self.per_seed) < 2 and not self.exact):
            return None
        margins = [] if self.exact else [float(seed_margin(self.per_seed[:, None], self.subsample)[0])]
        for values in self.residuals.values():
            margins.append(_student(len(values)) * float(values.std(ddof=1)) / len(values) ** 0.5)
        return around(self.value, margins)


def around(value: float, margins: Sequence[float]) -> tuple[float, float]:
    """The interval about a value whose margins are independent: they add in squares (MOVER; Zou and Donner, 2008)."""
    reach = math.hypot(*margins)
    return value - reach, value + reach


def seed_margin(per_seed: Array, share: float) -> Array:
    """The 95% margin that the seeds' spread gives the mean over seeds; shape (seeds, k) to (k,).

    Seeds that draw a share p of one set share its sampling error: their own spread s2 is (1 - p) / p of that error,
    which no number of seeds takes away. So the variance is s2 (p / (1 - p) + 1 / seeds): the delete-a-share
    jackknife, and the draws' own noise. With the whole set (p = 1) seeds differ in order alone: s2 / seeds.
    """
    seeds = len(per_seed)
    weight = 1 / seeds + (share / (1 - share) if share < 1 else 0.0)
    margin: Array = _student(seeds) * per_seed.std(0, ddof=1) * weight**0.5
    return margin


def student_interval(values: Array) -> tuple[float, float] | None:
    """The 95% interval of the mean of independent values, by Student's t; ``None`` for fewer than two."""
    if len(values) < 2:
        return None
    reach = _student(len(values)) * float(values.std(ddof=1)) / len(values) ** 0.5
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


def change_interval(changes: Array, tokens: Array) -> tuple[float, float, float]:
    """A change in nats per token with its 95% interval; ``changes``: sums over items, shape (seeds, items).

    That of an :class:`Estimate`; its ends are not numbers for one seed, or fewer than :data:`LEAST` items.
    """
    found = estimate(changes, tokens, "items")
    return found.value, *(found.interval() or (math.nan, math.nan))


def cluster_margin(drawn: Array, clusters: int) -> Array:
    """The 95% margin of standardised effects, from a bootstrap over clusters; shape (draws, k) to (k,).

    Student's t, for so many clusters, times the spread over draws, widened as that of a mean of so few. It is at least
    the spread that so many clusters drawn from all of them would have: five texts without a rare trait do not show that
    none has it. Not a number for one cluster.
    """
    spread = np.nanstd(drawn, axis=0) * (clusters / max(1, clusters - 1)) ** 0.5
    margin: Array = _student(clusters) * np.maximum(spread, clusters**-0.5)
    return margin


def _student(count: int) -> float:
    """Student's t at 95%, two-sided, for the mean of so many; not a number for one."""
    return float(stdtrit(count - 1, (1 + LEVEL) / 2))


def estimate(changes: Array, tokens: Array, population: str, share: float = 1.0) -> Estimate:
    """The influence per token, and its residuals.

    ``changes``: shape (seeds, examples), summed change of loss of each example in nats; ``tokens``: shape (examples,).
    The influence is a ratio of sums, so an example's residual is (its change - influence x its tokens) / mean tokens.
    """
    per_seed = changes.sum(1) / tokens.sum()
    residuals = (changes.mean(0) - per_seed.mean() * tokens) / tokens.mean()
    return Estimate(per_seed, {population: residuals}, share)


def excludes_zero(interval: tuple[float, float] | None) -> bool:
    """Whether an interval says that there is a difference."""
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


def pearson(first: Array, second: Array) -> float:
    """Pearson's r of two vectors; not a number where one of them does not vary."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
