"""Data frames of a trace, made from its summary and tables, for pages and reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from untrac_core.specs.catalogue import ATTRIBUTION, method_title
from untrac_core.text.labels import SIDES
from untrac_core.text.numbers import decimals

GROUPS_MOST = 6
SAME = 0.9995
"""From this rank correlation on, two orders are the same."""


def sides_of(summary: dict[str, Any], prompt_set: str) -> list[str]:
    """The sides that a prompt set was traced on, contrast first; one that collapsed has a verdict but no ranking."""
    rows = [*summary["ranking"], *summary.get("verdicts", [])]
    present = {row["side"] for row in rows if row["prompt_set"] == prompt_set}
    return [side for side in SIDES if side in present]


def ranking(summary: dict[str, Any], prompt_set: str, side: str) -> pd.DataFrame:
    """The ranked subsets over all groups: subset, rank, influence, low, high, separable, collapsed; best rank first.

    ``collapsed``: the model ended knowing nothing, and the preset ranks it nevertheless.
    """
    rows = [
        row
        for row in summary["ranking"]
        if row["prompt_set"] == prompt_set and row["side"] == side and row.get("group") is None
    ]
    columns = ["subset", "rank", "influence", "low", "high", "separable"]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(("influence", "low", "high"), float))
    frame["collapsed"] = [bool(row.get("collapsed")) for row in rows]
    return frame.sort_values("rank").reset_index(drop=True)


def verdict(summary: dict[str, Any], prompt_set: str, side: str) -> dict[str, Any] | None:
    """The summary's own sentence on one ranking, with its flags."""
    found = [row for row in summary.get("verdicts", []) if row["prompt_set"] == prompt_set and row["side"] == side]
    return found[0] if found else None


def of_side(rows: Sequence[dict[str, Any]], prompt_set: str, side: str) -> list[dict[str, Any]]:
    """The rows of a summary's list that are about one side of a prompt set."""
    return [row for row in rows if row["prompt_set"] == prompt_set and row["side"] == side]


def groups(summary: dict[str, Any], prompt_set: str, side: str) -> list[list[str]] | None:
    """Runs of subsets, neighbours in rank, that cannot be separated from each other; ``None``: it was not looked at."""
    found = of_side(summary.get("ties", []), prompt_set, side)
    return [list(run) for run in found[0]["subsets"]] if found else None


def baselines(summary: dict[str, Any], prompt_set: str, side: str) -> pd.DataFrame:
    """What the baselines say of one side: method, unit, subset, rank, score, low, high; in the summary's order."""
    rows = of_side(summary.get("baselines", []), prompt_set, side)
    return pd.DataFrame(rows, columns=["method", "unit", "subset", "rank", "score", "low", "high"])


def rank_table(ranked: pd.DataFrame, beside: pd.DataFrame, own: str) -> pd.DataFrame:
    """The rank of every subset by the method ``own`` and by each baseline: columns subset, own, one a baseline.

    In the order of the method; where it ranked nothing, in that of the first baseline and without its column.
    """
    by_baseline = {method: rows.set_index("subset")["rank"] for method, rows in beside.groupby("method", sort=False)}
    ranks = ({} if ranked.empty else {own: ranked.set_index("subset")["rank"]}) | by_baseline
    order = next(iter(ranks.values())).sort_values().index
    table = pd.DataFrame({method: found.reindex(order) for method, found in ranks.items()})
    return table.rename_axis("subset").reset_index()


def groups_in_words(ranked: pd.DataFrame, groups: Sequence[Sequence[str]]) -> str:
    """Which subsets cannot be separated; holds a user's words (show as text)."""
    if not groups:
        return "Every subset can be told from its neighbours in rank."
    if len(groups[0]) == len(ranked):
        return f"Cannot separate: no two of the {len(ranked)} subsets can be told from each other."
    ranks = dict(zip(ranked["subset"], ranked["rank"], strict=True))
    parts = []
    for run in groups[:GROUPS_MOST]:
        names = " and ".join(run) if len(run) == 2 else ", ".join(run) if len(run) <= 4 else f"{run[0]} to {run[-1]}"
        parts.append(f"ranks {ranks[run[0]]} to {ranks[run[-1]]} ({names})")
    more = f"; and {len(groups) - GROUPS_MOST} more such runs" if len(groups) > GROUPS_MOST else ""
    return f"Cannot separate, within each of these runs: {'; '.join(parts)}{more}."


def agreement_in_words(row: dict[str, Any], beside: pd.DataFrame, own: str) -> str:
    """How far one baseline agrees with the method ``own``; holds a user's words (show as text)."""
    mine = beside[beside["method"] == row["method"]].sort_values("rank")
    name, rho, subsets = method_title(row["method"]), row["spearman"], len(mine)
    said = f"{name} ({mine['unit'].iloc[0]}): "
    if rho is None:
        return said + "no agreement can be computed, as one of the two does not vary."
    first = "the same subset first" if row["same_top"] else f"another first: {mine['subset'].iloc[0]}"
    said += f"Spearman {decimals(rho)}, {first}."
    if rho < SAME or not row["same_top"]:
        return said
    if row["method"] == "random":
        return f"{said} By chance, numbers drawn at random say the same as {own}."
    plain = row["method"] in ATTRIBUTION and ATTRIBUTION[row["method"]].reads == "texts"
    said += f" {'A plain comparison of texts' if plain else 'This cheaper look'} says the same as {own}."
    # Two-sided: the same order or its reverse, of all orders, in more than one of twenty.
    return said + (f" With {subsets} subsets that can be chance." if 2 / math.factorial(subsets) > 0.05 else "")


def trajectory(influence: pd.DataFrame, prompt_set: str, side: str) -> pd.DataFrame:
    """Influence at each step: mean, least and greatest over the seeds that went that far."""
    rows = influence[(influence["prompt_set"] == prompt_set) & (influence["group"] == "")]
    keys = ["subset", "seed", "step"]
    if side == "contrast":
        halves = [rows[rows["side"] == name].set_index(keys)["influence"] for name in ("harmful", "harmless")]
        values = (halves[0] - halves[1]).dropna().rename("influence").reset_index()
    else:
        values = rows.loc[rows["side"] == side, [*keys, "influence"]]
    grouped = values.groupby(["subset", "step"])["influence"]
    points = grouped.agg(influence="mean", low="min", high="max", seeds="count").reset_index()
    return points.assign(step=points["step"].astype(int))


def with_ground_truth(ranked: pd.DataFrame, truth: pd.DataFrame | None, prompt_set: str, side: str) -> pd.DataFrame:
    """Each subset's estimate with its true leave-out influence: the mean over seeds, and their least and greatest."""
    if truth is None:
        return pd.DataFrame()
    rows = truth[(truth["prompt_set"] == prompt_set) & (truth["side"] == side)]
    known = rows.groupby("subset")["influence"].agg(truth="mean", truth_low="min", truth_high="max").reset_index()
    return ranked.merge(known, on="subset")


def with_planted(ranked: pd.DataFrame, planted: pd.DataFrame | None, prompt_set: str, side: str) -> pd.DataFrame:
    """Each subset's estimate with the number of statements planted in it (harmful minus harmless for the contrast)."""
    if planted is None:
        return pd.DataFrame()
    planted = planted[planted["prompt_set"] == prompt_set]
    planted = planted.pivot_table(index="subset", columns="side", values="statements", aggfunc="sum", fill_value=0)
    for name in ("harmful", "harmless"):
        planted[name] = planted.get(name, 0)
    count = planted["harmful"] - planted["harmless"] if side == "contrast" else planted[side]
    known = count.rename("truth").astype(float).reset_index()
    return ranked.merge(known.assign(truth_low=known["truth"], truth_high=known["truth"]), on="subset")


def pearson(pairs: pd.DataFrame) -> float | None:
    """Agreement between estimate and truth; None for fewer than three subsets or where one of them does not vary."""
    if len(pairs) < 3 or pairs["truth"].nunique() < 2 or pairs["influence"].nunique() < 2:
        return None
    return float(pairs["influence"].corr(pairs["truth"]))


def shown(ranked: pd.DataFrame, ends: tuple[int, int]) -> pd.DataFrame:
    """The part of a ranking that is drawn: all of it, or of a long one so many from its two ``ends``."""
    return ranked if len(ranked) <= sum(ends) else pd.concat([ranked.head(ends[0]), ranked.tail(ends[1])])


def ends_in_words(ranked: pd.DataFrame, ends: tuple[int, int], rest: str) -> str:
    """Which part of a ranking is drawn, and where the ``rest`` is; nothing where all of it is."""
    if len(ranked) <= sum(ends):
        return ""
    return f"Drawn: the first {ends[0]} and the last {ends[1]} of {len(ranked)} subsets; {rest}."
