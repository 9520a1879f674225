"""Calibration: what an estimate has to be multiplied by to be in nats of retraining, and how far it then is from it.

A method's influence is in a unit of its own, and agreement (r) does not see it: neither a factor nor, on one side, a
shift. Here estimate e and truth t, both the influence of leaving a subset out, are held to each other as they are:

    slope = sum(e t) / sum(e e),

the least-squares line of the truth on the estimate through the origin, over the subsets of a side or of several sides
together. Through the origin, as an estimate of zero says that leaving the subset out changes nothing. The slope is the
best factor to predict the truth with; noise in the estimates makes it smaller, as it should.

A value that took part in a slope lies too near its line. So every error is that of a subset under the slope of the
others, on all sides at once, since the sides of one subset share its retrainings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from untrac_core.stats.intervals import Array, around, student

FEWEST = 3
"""Subsets that a slope takes: to leave one out and have a spread among the rest."""


@dataclass(frozen=True)
class Calibration:
    """A method's slope against retraining; all is not a number where no slope can be told."""

    slope: float
    """Nats per token of retraining, for one unit of the estimate."""
    low: float
    """The lower end of the slope's 95% interval."""
    high: float
    residual_sd: float
    """The root mean square of truth - slope x estimate, each subset under the others' slope, in nats per token."""
    subsets: int
    """That it was made from."""

    @property
    def known(self) -> bool:
        """Whether the slope's interval lies above zero: else the estimates tell neither size nor sign."""
        return self.low > 0

    def widened(self, low: float, high: float) -> Calibration:
        """The same, with the noise of which ``low`` to ``high`` is the slope's interval; margins add in squares."""
        below = around(self.slope, [self.slope - self.low, self.slope - low])[0]
        above = around(self.slope, [self.high - self.slope, high - self.slope])[1]
        return replace(self, low=below, high=above)

    def calibrated(self, value: float, interval: tuple[float, float] | None) -> tuple[float, float, float]:
        """What retraining would show for an estimate: value, low and high, in nats per token.

        ``interval``: the estimate's own 95% interval; ``None``: it has none, and neither has what comes of it. To its
        margin, multiplied by the slope, come that of the slope and Student's t times the residual error, in squares.
        The residual error holds the estimates' noise a second time, which errs to the wide side.
        """
        centre = self.slope * value
        if interval is None:
            return centre, math.nan, math.nan
        ends = sorted((self.slope * interval[0], self.slope * interval[1]))
        slopes = sorted((self.low * value, self.high * value))
        error = student(self.subsets) * self.residual_sd
        low = around(centre, [centre - ends[0], centre - slopes[0], error])[0]
        high = around(centre, [ends[1] - centre, slopes[1] - centre, error])[1]
        return centre, low, high


def calibrate(estimates: Array, truths: Array) -> Calibration:
    """The calibration of estimates against the truth, both of shape (subsets,) or (sides, subsets).

    The slope's interval is the jackknife's over subsets, with Student's t for so many: how far the slope would move
    with other subsets. It does not know of noise that all subsets share, as that of a side's items
    (:meth:`Calibration.widened`).
    """
    estimates, truths = np.atleast_2d(estimates), np.atleast_2d(truths)
    subsets = estimates.shape[1]
    nothing = Calibration(math.nan, math.nan, math.nan, math.nan, subsets)
    if subsets < FEWEST:
        return nothing
    products, squares = (estimates * truths).sum(0), (estimates**2).sum(0)
    others = squares.sum() - squares
    if not (others > 0).all():  # also where one is not a number
        return nothing
    slope = float(products.sum() / squares.sum())
    without = (products.sum() - products) / others
    variance = (subsets - 1) / subsets * float(((without - without.mean()) ** 2).sum())
    low, high = around(slope, [student(subsets) * math.sqrt(variance)])
    return Calibration(slope, low, high, float(np.sqrt(((truths - without * estimates) ** 2).mean())), subsets)


def sign_agreement(estimates: Array, truths: Array) -> float:
    """The share of values in which estimate and truth have the same sign; an estimate of zero has none."""
    return float((estimates * truths > 0).mean())


def coverage(estimates: Array, lows: Array, highs: Array, truths: Array) -> float:
    """The share of values whose calibrated interval holds the truth, each subset calibrated by the others alone.

    All of shape (subsets,) or (sides, subsets). Not a number where there are no intervals, or where what is left has
    no slope.
    """
    estimates, lows, highs, truths = (np.atleast_2d(array) for array in (estimates, lows, highs, truths))
    held = np.full(truths.shape, np.nan)
    for side, subset in np.ndindex(truths.shape):
        others = calibrate(np.delete(estimates, subset, 1), np.delete(truths, subset, 1))
        own = float(lows[side, subset]), float(highs[side, subset])
        _, low, high = others.calibrated(float(estimates[side, subset]), own)
        if not math.isnan(low + high):
            held[side, subset] = low <= truths[side, subset] <= high
    return float(held.mean())
