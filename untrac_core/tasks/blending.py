"""Several answers to one question as one: rungs of the ladder and retrainings, blended by what each is worth.

Rung after rung, from the one that was asked first to the one nearest retraining (:mod:`untrac_core.stats.blending`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from untrac_core.attribution.settings import flow_settings
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import TraceSpec, ValidateSpec
from untrac_core.specs.catalogue import LADDER, method_title
from untrac_core.specs.parts import CONTRAST
from untrac_core.stats.blending import Estimates, blend
from untrac_core.stats.intervals import Array, seed_variance
from untrac_core.tasks.trace import frames
from untrac_core.tasks.trace.scale import Scale, relative
from untrac_core.text.labels import unit_of
from untrac_core.text.numbers import RETRAINED_UNIT

RETRAINED = "Retraining"
WITH_TRUTH = (
    "Blended: each subset's own retraining, and what the estimate says after calibration by the others, each weighed "
    "by what it is worth. An interval holds the error of both."
)
WITHOUT_TRUTH = (
    "Blended, and relative: 1 is the largest influence on this side. Each subset is weighed between the methods by "
    "how far they differ and how noisy the closer one is; what retraining would change is not known."
)
Place = tuple[str, str]


@dataclass(frozen=True)
class Blended:
    """A ranking of which every number comes from several sources.

    ``weights``: subset, then for each source, by its title, how much of the subset's number it is; a row sums to one.
    """

    scale: Scale
    weights: pd.DataFrame


def same_question(spec: TraceSpec, other: TraceSpec | ValidateSpec) -> bool:
    """Whether both ask about the same texts and at least one of the same prompt sets, of whichever model."""
    if {subset.name: subset.source for subset in spec.subsets} != {s.name: s.source for s in other.subsets}:
        return False
    mine = {prompts.name: prompts.source for prompts in spec.prompts}
    return any(mine.get(prompts.name) == prompts.source for prompts in other.prompts)


def closer(spec: TraceSpec, other: TraceSpec) -> bool:
    """Whether ``other`` is the same question by a method further up the ladder."""
    names = list(LADDER)
    if other.method.name not in names or other.method.variant == "paper":
        return False
    place = names.index(spec.method.name) if spec.method.name in names and spec.method.variant != "paper" else -1
    return names.index(other.method.name) > place and spec.model == other.model and same_question(spec, other)


def blended(
    result: TraceFiles,
    rungs: Sequence[TraceFiles],
    prompt_set: str,
    side: str,
    truth: pd.DataFrame | None = None,
) -> Blended | None:
    """A side of a result blended with results of the same question (:func:`closer`) and with retrainings.

    ``truth``: as ``ground_truth.parquet``; unset, that of the result, where it has one. ``None`` where there is nothing
    to blend with, or where too few subsets are shared or the sources have nothing to do with each other.
    """
    truth = result.ground_truth if truth is None else truth
    order = sorted(rungs, key=lambda rung: list(LADDER).index(rung.spec.method.name))
    subsets = [subset.name for subset in result.spec.subsets]
    sources = [result, *order]
    shared = [place for place in _places(result, side) if all(_ranked(one, place) for one in sources)]
    shared = [place for place in shared if truth is None or _retrained(truth, place, subsets) is not None]
    if (prompt_set, side) not in shared or (truth is None and not order):
        return None
    told = _told(result, shared, subsets)
    weights = {_title(result): np.ones(len(subsets))}
    steps = [(_title(rung), _told(rung, shared, subsets), _noise(rung, shared, subsets)) for rung in order]
    if truth is not None:
        steps.append((RETRAINED, *_true(truth, shared, subsets)))
    for title, nearer, noise in steps:
        found = blend(told, nearer, noise)
        if found is None:
            return None
        told = found.told
        weights = {name: weight * (1 - found.weights) for name, weight in weights.items()} | {title: found.weights}
    ranked = _ranking(told, shared.index((prompt_set, side)), subsets)
    table = pd.DataFrame({"subset": subsets} | weights).set_index("subset").loc[ranked["subset"]].reset_index()
    if truth is not None:
        return Blended(Scale(ranked, RETRAINED_UNIT, WITH_TRUTH, calibrated=True), table)
    shown = relative(ranked, unit_of(order[-1].spec.method))
    return Blended(Scale(shown.ranked, shown.unit, WITHOUT_TRUTH), table)


def _title(result: TraceFiles) -> str:
    return method_title(result.spec.method.name)


def _places(result: TraceFiles, side: str) -> list[Place]:
    """All contrasts, or all sides: these have one slope."""
    return [
        (prompts.name, name)
        for prompts in result.spec.prompts
        for name in frames.sides_of(result.summary, prompts.name)
        if (name == CONTRAST) == (side == CONTRAST)
    ]


def _ranked(result: TraceFiles, place: Place) -> bool:
    return not frames.ranking(result.summary, *place).empty


def _told(result: TraceFiles, places: Sequence[Place], subsets: Sequence[str]) -> Estimates:
    parts = []
    for place in places:
        rows = frames.ranking(result.summary, *place).set_index("subset").reindex(list(subsets))
        parts.append(rows[["influence", "low", "high"]].to_numpy(dtype=np.float64).T)
    return Estimates(*np.stack(parts, axis=1))


def _noise(rung: TraceFiles, places: Sequence[Place], subsets: Sequence[str]) -> Array | None:
    """The variance of a rung's numbers over its seeds; ``None`` for a single one."""
    if len(rung.spec.seeds) < 2:
        return None
    share = flow_settings(rung.spec.method).subsample if rung.spec.method.name == "untrac" else 1.0
    rows = rung.influence[rung.influence["group"] == ""]
    rows = rows[rows["step"] == rows["step"].max()]
    parts = []
    for prompt_set, side in places:
        own = rows[rows["prompt_set"] == prompt_set]
        by_side = {name: part.pivot(index="seed", columns="subset", values="influence") for name, part in _sides(own)}
        table = by_side["harmful"] - by_side["harmless"] if side == CONTRAST else by_side[side]
        parts.append(seed_variance(table.reindex(columns=list(subsets)).to_numpy(dtype=np.float64), share))
    return np.array(parts)


def _sides(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), part) for name, part in rows.groupby("side")]


def _retrained(truth: pd.DataFrame, place: Place, subsets: Sequence[str]) -> Array | None:
    """A side's influence by retraining, shape (seeds, subsets); ``None`` where it was not retrained."""
    rows = truth[(truth["prompt_set"] == place[0]) & (truth["side"] == place[1])]
    if rows.empty:
        return None
    table = rows.pivot(index="seed", columns="subset", values="influence").reindex(columns=list(subsets))
    values: Array = table.to_numpy(dtype=np.float64)
    return values


def _true(truth: pd.DataFrame, places: Sequence[Place], subsets: Sequence[str]) -> tuple[Estimates, Array | None]:
    """The mean over seeds, and its variance; ``None`` for a single one."""
    tables = [table for place in places if (table := _retrained(truth, place, subsets)) is not None]
    mean = np.array([table.mean(0) for table in tables])
    unknown = np.full_like(mean, np.nan)
    if any(len(table) < 2 for table in tables):
        return Estimates(mean, unknown, unknown), None
    return Estimates(mean, unknown, unknown), np.array([seed_variance(table, 1.0) for table in tables])


def _ranking(told: Estimates, side: int, subsets: Sequence[str]) -> pd.DataFrame:
    """Columns as of :func:`untrac_core.tasks.trace.frames.ranking`; separable where no neighbour's interval reaches."""
    table = pd.DataFrame(
        {"subset": subsets, "influence": told.value[side], "low": told.low[side], "high": told.high[side]}
    )
    table = table.sort_values("influence", ascending=False, kind="stable", ignore_index=True)
    above = table["low"] > table["high"].shift(-1)
    above.iloc[-1] = True
    return table.assign(rank=range(1, len(table) + 1), separable=above & above.shift(fill_value=True))[
        ["subset", "rank", "influence", "low", "high", "separable"]
    ]
