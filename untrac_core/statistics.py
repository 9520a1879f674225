"""Intervals over seeds and examples, and what cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Array = npt.NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """An influence, with all that its uncertainty needs, so that differences of two stay paired.

    ``per_seed``: shape (seeds,), nats per token. ``residuals``: for each population of examples, shape (examples,),
    by how much each example, averaged over seeds, departs from the mean, scaled so that the variance of the estimate
    from sampling those examples is var(residuals) / examples. Two estimates that share a population (the same
    examples in the same order) subtract example by example. ``share``: of the unlearned set, drawn by each seed.
    """

    per_seed: Array
    residuals: Mapping[str, Array]
    share: float = 1.0

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.per_seed.mean())

    def __add__(self, other: Estimate) -> Estimate:
        """The paired sum; seeds are matched by their order."""
        residuals = dict(self.residuals)
        for population, values in other.residuals.items():
            residuals[population] = residuals[population] + values if population in residuals else values
        return Estimate(self.per_seed + other.per_seed, residuals, self.share)

    def __mul__(self, factor: float) -> Estimate:
        """The estimate ``factor`` times as large."""
        return Estimate(
            self.per_seed * factor, {name: values * factor for name, values in self.residuals.items()}, self.share
        )

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference; seeds are matched by their order."""
        return self + other * -1.0

    def interval(self) -> tuple[float, float] | None:
        """The 95% interval over seeds and examples; ``None`` with one seed, which says nothing of its own noise.

        Each source's margin is Student's t times its standard error; independent margins add in squares (the MOVER
        of Zou and Donner, 2008). So two seeds, whose spread is hardly known, widen the interval as they should.
        """
        if len(self.per_seed) < 2:
            return None
        margins = [float(seed_margin(self.per_seed[:, None], self.share)[0])]
        for values in self.residuals.values():
            if len(values) > 1:
                margins.append(_student(len(values)) * float(values.std(ddof=1)) / len(values) ** 0.5)
        reach = math.hypot(*margins)
        return self.value - reach, self.value + reach


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


def _student(count: int) -> float:
    """Student's t at 95%, two-sided, for the mean of so many."""
    return float(stdtrit(count - 1, (1 + LEVEL) / 2))


def estimate(changes: Array, tokens: Array, population: str, share: float = 1.0) -> Estimate:
    """The influence a token, and its residuals.

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
