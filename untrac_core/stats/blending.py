"""Blending: an estimate and a closer one, each weighed by what it is known to be worth.

Let e be an estimate of every subset's influence on some sides, and t one that is closer to retraining and dearer, of
the same subsets or of a few. With a the slope of t on e over the other subsets (:mod:`untrac_core.stats.calibration`),

    I_k = w_k t_k + (1 - w_k) a e_k,    w_k = tau_k^2 / (tau_k^2 + s_k^2).

s_k^2 is the noise of t over seeds; tau_k^2, how far a e_k is off beyond it: the mean over sides of
(t_k - a e_k)^2 less s_k^2, half of it taken from the mean over all subsets, as a few sides say little of one. Where the
noise of t is not known, as of a single retraining, half of the squared difference is taken to be it, so that both count
the same. A subset that t does not know is a e_k alone.

An interval holds the noise of t, the slope's, and all that a e_k was seen to be off, with the noise of t once more in
it: what is left without that hangs on a few sides, and is often nothing by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from untrac_core.stats.calibration import FEWEST, Calibration, calibrate
from untrac_core.stats.intervals import Array, around, student

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Estimates:
    """Influences with their 95% intervals, each of shape (sides, subsets); not a number where one is not known."""

    value: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Blend:
    """A blend in the unit of the closer estimate; ``weights``: of shape (subsets,), how much of each is that one."""

    told: Estimates
    weights: Array


def blend(estimate: Estimates, closer: Estimates, noise: Array | None = None) -> Blend | None:
    """The blend of both; ``None`` where fewer than three subsets have both, or their slope cannot be told from zero.

    ``noise``: the variance of ``closer`` from one set of seeds to another, of its shape; ``None``: it is not known.
    """
    known: Mask = np.array(np.isfinite(closer.value).all(0))
    count = int(known.sum())
    if count < FEWEST or not np.isfinite(estimate.value).all():
        return None
    whole = calibrate(estimate.value[:, known], closer.value[:, known])
    by = [_of_others(estimate, closer, known, k) if known[k] else whole for k in range(len(known))]
    if not all(one.known for one in by):
        return None
    off = np.array([((closer.value[:, k] - by[k].slope * estimate.value[:, k]) ** 2).mean() for k in range(len(known))])
    seen = _half_shrunk(off, known)
    if noise is None:
        own = np.broadcast_to(seen / 2, closer.value.shape)
    else:  # a few seeds hardly show that of one subset
        own = np.broadcast_to(noise[:, known].mean(1, keepdims=True), closer.value.shape)
    wrong = seen / 2 if noise is None else _half_shrunk(np.maximum(off - own.mean(0), 0.0), known)
    total = wrong + own.mean(0)
    weights = np.where(known, np.divide(wrong, total, out=np.ones_like(total), where=total > 0), 0.0)
    told = np.full((3, *closer.value.shape), math.nan)
    for side, k in np.ndindex(closer.value.shape):
        ends = float(estimate.low[side, k]), float(estimate.high[side, k])
        alone = by[k].calibrated(float(estimate.value[side, k]), None if math.isnan(sum(ends)) else ends)
        if not known[k]:
            told[:, side, k] = alone
            continue
        weight, value = float(weights[k]), float(estimate.value[side, k])
        centre = weight * float(closer.value[side, k]) + (1 - weight) * alone[0]
        margins = [
            weight * student(count) * math.sqrt(own[side, k]),
            (1 - weight) * student(count) * math.sqrt(seen[k]),
            (1 - weight) * abs(value) * (by[k].high - by[k].low) / 2,
        ]
        told[:, side, k] = (centre, *around(centre, margins))
    return Blend(Estimates(*told), weights)


def _half_shrunk(values: Array, known: Mask) -> Array:
    result: Array = (values + values[known].mean()) / 2
    return result


def _of_others(estimate: Estimates, closer: Estimates, known: Mask, subset: int) -> Calibration:
    """The calibration by all subsets but one: what is near its own line says nothing of how far off it is.

    Of three subsets two are left, of which no slope has an interval: then by all of them.
    """
    others = known.copy()
    others[subset] = known.sum() <= FEWEST
    return calibrate(estimate.value[:, others], closer.value[:, others])
