"""Size and sign of every method's estimates against retraining, and how well one retraining does at the same.

:mod:`untrac_core.stats.calibration` has the mathematics; here it is asked of single sides and of groups of sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from untrac_core.stats.agreement import MEASURED, METRICS, others_mean, without_each
from untrac_core.stats.bootstrap import Place, side_weights
from untrac_core.stats.calibration import calibrate, coverage, sign_agreement
from untrac_core.stats.intervals import Array

SIZES = ("slope", "signs", "rmse", "rmse_share")
"""What is told of one retraining beside its agreement."""


@dataclass(frozen=True)
class SizeAndSign:
    """What a method's estimates are in nats of retraining, on a side or on several together (``prompt_set`` None)."""

    method: str
    prompt_set: str | None
    side: str
    sides: int
    values: int
    """Estimates that were held against the truth: sides times subsets."""
    slope: float
    """Nats per token of retraining for one unit of the estimate, with its 95% interval."""
    low: float
    high: float
    signs: float
    """The share of values with the sign of the truth."""
    rmse: float
    """After the slope of the other subsets, in nats per token."""
    rmse_share: float
    """The same as a share of the truth's standard deviation over all values: 1 is no better than one number for all."""
    coverage: float
    """The share of calibrated 95% intervals that hold the truth."""
    least: float
    """The least of the Pearson r's (their means over sides) that leaving out one subset gives."""
    least_without: str
    """The subset that it lacks; empty where there is none."""


Noise = Callable[[str, Sequence[Place]], tuple[float, float]]
"""The interval of a method's slope over some sides that seeds and examples give it."""


def sizes_and_signs(
    estimates: pd.DataFrame,
    truths: Mapping[Place, Array],
    subsets: Sequence[str],
    groups: Mapping[str, Sequence[Place]],
    noise: Noise | None = None,
) -> list[SizeAndSign]:
    """A row for every method on every side, then on every group of sides that has any.

    ``estimates``: as ``estimates.parquet``; ``truths``: of each side, shape (subsets,). Without ``noise`` a slope's
    interval is that over subsets alone.
    """
    rows = []
    for method, table in estimates.groupby("method", sort=False):
        known = {
            place: part.set_index("subset").loc[list(subsets), ["influence", "low", "high"]].to_numpy(dtype=float).T
            for place, part in table.groupby(["prompt_set", "side"], sort=False)
        }
        for prompt_set, side, places in _scopes(truths, groups):
            if all(place in known for place in places):
                told = np.stack([known[place] for place in places], 1)
                true = np.stack([truths[place] for place in places])
                ends = noise(method, places) if noise else None
                rows.append(_row(method, prompt_set, side, places, told, true, subsets, ends))
    return rows


def _scopes(
    truths: Mapping[Place, Array], groups: Mapping[str, Sequence[Place]]
) -> Iterator[tuple[str | None, str, Sequence[Place]]]:
    for prompt_set, side in truths:
        yield prompt_set, side, [(prompt_set, side)]
    for group, places in groups.items():
        if places:
            yield None, group, places


def _row(
    method: str,
    prompt_set: str | None,
    side: str,
    places: Sequence[Place],
    told: Array,
    true: Array,
    subsets: Sequence[str],
    noise: tuple[float, float] | None,
) -> SizeAndSign:
    """``told``: value, low and high of every estimate, shape (3, sides, subsets); ``true``: shape (sides, subsets)."""
    found = calibrate(told[0], true)
    if noise is not None:
        found = found.widened(*noise)
    least = side_weights(places) @ np.nan_to_num(without_each(told[0], true))
    return SizeAndSign(
        method,
        prompt_set,
        side,
        len(places),
        true.size,
        found.slope,
        found.low,
        found.high,
        sign_agreement(told[0], true),
        found.residual_sd,
        found.residual_sd / float(true.std()),
        coverage(told[0], told[1], told[2], true),
        float(least.min()),
        subsets[int(least.argmin())],
    )


@dataclass(frozen=True)
class OneRetraining:
    """How well a single retraining agrees with the mean of the others: what an estimate can hope for.

    ``value``: the mean over seeds; ``least`` and ``greatest``: of the seeds. Not numbers with one seed.
    """

    prompt_set: str | None
    side: str
    sides: int
    metric: str
    value: float
    least: float
    greatest: float


def one_retraining(per_seed: Mapping[Place, Array], groups: Mapping[str, Sequence[Place]]) -> list[OneRetraining]:
    """A row for every measure and size, on every side and on every group of sides that has any.

    ``per_seed``: of each side, shape (seeds, subsets).
    """
    rows = []
    for prompt_set, side, places in _scopes(per_seed, groups):
        single = np.stack([per_seed[place] for place in places], 1)
        others = np.stack([others_mean(per_seed[place]) for place in places], 1)
        weights = side_weights(places)
        found: dict[str, Array] = {}
        for metric in METRICS:
            agreement = np.nan_to_num(MEASURED[metric](single, others)) @ weights
            found[metric] = agreement if len(single) > 1 else np.full(1, np.nan)
        sized = np.array([_sizes(one, rest) for one, rest in zip(single, others, strict=True)])
        found.update(zip(SIZES, sized.T, strict=True))
        rows += [
            OneRetraining(
                prompt_set, side, len(places), metric, float(seeds.mean()), float(seeds.min()), float(seeds.max())
            )
            for metric, seeds in found.items()
        ]
    return rows


def _sizes(single: Array, others: Array) -> tuple[float, float, float, float]:
    """One seed's :data:`SIZES` against the mean of the others, both of shape (sides, subsets)."""
    found = calibrate(single, others)
    if np.isnan(others).any():
        return (np.nan,) * 4
    return found.slope, sign_agreement(single, others), found.residual_sd, found.residual_sd / float(others.std())
