"""What stands beside a ranking: the baselines' ranks, how far they agree, what it cannot separate, and controls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from untrac_core.attribution.base import AttributionContext, control_context, make_method
from untrac_core.attribution.outcome import MethodOutput, method_output
from untrac_core.cells import Cell
from untrac_core.data.controls import halves
from untrac_core.errors import InputError
from untrac_core.specs import TraceSpec
from untrac_core.stats.agreement import spearman, ties
from untrac_core.stats.intervals import LEVEL, each_level, excludes_zero
from untrac_core.tasks.trace.ranking import estimates, places, ranking_rows


def baseline_rows(outcomes: Sequence[MethodOutput]) -> list[dict[str, Any]]:
    """Each baseline's ranking of every side; none of one that failed."""
    return [
        {
            "method": outcome.title,
            "unit": outcome.method.unit,
            "prompt_set": row["prompt_set"],
            "side": row["side"],
            "subset": row["subset"],
            "rank": row["rank"],
            "score": row["influence"],
            "low": row["low"],
            "high": row["high"],
        }
        for outcome in outcomes
        if outcome.failed is None
        for row in ranking_rows(outcome)
    ]


def agreement_rows(rows: Sequence[Mapping[str, Any]], baselines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each baseline and side: Spearman's rank correlation with the method's ranking, and whether the first is it.

    ``spearman`` is ``None`` where one of the two does not vary.
    """
    own: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        own.setdefault((row["prompt_set"], row["side"]), {})[row["subset"]] = row["influence"]
    others: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in baselines:
        others.setdefault((row["method"], row["prompt_set"], row["side"]), {})[row["subset"]] = row["score"]
    result = []
    for (method, prompt_set, side), scores in others.items():
        values = own.get((prompt_set, side))
        if not values:
            continue
        subsets = list(values)
        rho = spearman(np.array([scores[s] for s in subsets]), np.array([values[s] for s in subsets]))
        result.append(
            {
                "method": method,
                "prompt_set": prompt_set,
                "side": side,
                "spearman": float(rho) if np.isfinite(rho) else None,
                "same_top": max(scores, key=lambda s: scores[s]) == max(values, key=lambda s: values[s]),
            }
        )
    return result


def bracket_rows(outcome: MethodOutput, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every ranked side, the runs of neighbours in rank that cannot be separated from each other.

    Two subsets without a bracket over both can be: in 95% of cases that holds of all pairs together. A ranking of
    collapsed models separates nothing.
    """
    found = estimates(outcome)
    result = []
    for place in dict.fromkeys((row["prompt_set"], row["side"]) for row in rows):
        by_subset = found[place]
        own = [row for row in rows if (row["prompt_set"], row["side"]) == place]
        order = [row["subset"] for row in own]
        level = each_level(math.comb(len(order), 2))
        runs = ties(
            order,
            lambda first, second, known=by_subset, level=level: excludes_zero(  # type: ignore[misc]
                (known[first] - known[second]).interval(level)
            ),
        )
        if any(row.get("collapsed") for row in own):
            runs = [order]
        result.append({"prompt_set": place[0], "side": place[1], "subsets": runs})
    return result


CONTROLS = "negative controls"
"""What their cells are called in the place of a method."""
ONE, OTHER = "first half", "second half"


class Controls:
    """The controls that a request asks for, made of its first subset; without any, nothing runs."""

    def __init__(self, spec: TraceSpec, study: AttributionContext) -> None:
        self.subset, self.cells = next(iter(study.subsets)), list[Cell]()
        self.method = make_method(spec.method)
        if not spec.controls:
            return
        parts = dict(zip((ONE, OTHER), halves(study.subsets[self.subset]), strict=True))
        if not all(packed.blocks for packed in parts.values()):
            what = f"subset {self.subset!r} has one document alone, which cannot be dealt into two halves"
            raise InputError(what, field="controls", hint="name a larger subset first, or leave 'controls' out")
        self.study = control_context(study, parts)
        own = self.method.cells(self.study)
        self.cells = [replace(cell, method=CONTROLS, label=f"{CONTROLS}, {cell.label}") for cell in own]

    def run(self, cell: Cell) -> pd.DataFrame:
        """One cell's table."""
        return self.method.run(self.study, cell)

    def rows(self, frames: Sequence[pd.DataFrame]) -> list[dict[str, Any]]:
        """For each prompt set's contrast, or its one side: the difference of the two halves, which must hold zero.

        The intervals share one level: of a run in which all is as it must be, one in twenty has a control that fails.
        """
        if not self.cells:
            return []
        found = estimates(method_output(self.study, self.method, CONTROLS, self.cells, frames))
        asked = {name: (name, side) for name, side in reversed(places(self.study))}  # the contrast comes first
        rows = []
        for prompt_set, side in asked.values():
            by_half = found[prompt_set, side]
            difference = by_half[ONE] - by_half[OTHER]
            low, high = difference.interval(1 - (1 - LEVEL) / len(asked)) or (None, None)
            passed = None if low is None or high is None else low <= 0 <= high
            place = {"control": "doubled", "subset": self.subset, "prompt_set": prompt_set, "side": side}
            rows.append(
                place | {"expected": 0.0, "found": difference.value, "low": low, "high": high, "passed": passed}
            )
        return rows


def in_words(row: dict[str, Any]) -> str:
    """What a control must show, what it shows, and whether that passes."""
    must = f"both halves of {row['subset']} must have the same influence on {row['prompt_set']} ({row['side']})"
    if row["passed"] is None:
        return f"Negative control undecided: {must}, and there are too few texts for an interval."
    ends = f"{row['found']:+.2g}, interval {row['low']:+.2g} to {row['high']:+.2g}"
    return f"Negative control {'passed' if row['passed'] else 'failed'}: {must}; their difference is {ends}."
