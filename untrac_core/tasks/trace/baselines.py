"""What stands beside a ranking: the baselines' own ranks, how far they agree with it, and what it cannot separate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from untrac_core.attribution.outcome import MethodOutput
from untrac_core.stats.agreement import spearman, ties
from untrac_core.stats.intervals import each_level, excludes_zero
from untrac_core.tasks.trace.ranking import estimates, ranking_rows


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
