"""The frames that the truth of a validation is looked at by: its noise, what it resolves, and estimates beside it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pandas as pd

from untrac_core.results.folders import ValidateFiles
from untrac_core.stats.agreement import FEWEST
from untrac_core.stats.intervals import excludes_zero, student_interval
from untrac_core.tasks.validate.frames import retraining, scope_of
from untrac_core.text.numbers import count, decimals


def noise(summary: dict[str, Any]) -> pd.DataFrame:
    """The truth's own noise, the steadiest side first.

    Columns: prompt_set, side, title, items (that were scored; of a contrast those of both sides), agreement, low, high,
    ceiling, retraining (r of one seed with the mean of the others), resolvable, and resolution: the same in words.
    """
    rows = [
        {
            "prompt_set": row["prompt_set"],
            "side": row["side"],
            "title": f"{row['prompt_set']}: {row['side']}",
            "items": _items(summary, row["prompt_set"], row["side"]),
            "agreement": row["agreement"],
            "low": row.get("agreement_low"),
            "high": row.get("agreement_high"),
            "ceiling": row.get("ceiling"),
            "retraining": retraining(summary, scope_of(row)).get("pearson", {}).get("value"),
            "resolvable": steady(summary, row["prompt_set"], row["side"]),
            "resolution": _resolution(summary, row),
        }
        for row in summary["noise"]
    ]
    numbers = ["items", "agreement", "low", "high", "ceiling", "retraining"]
    columns = ["prompt_set", "side", "title", *numbers, "resolvable", "resolution"]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))
    return frame.sort_values("agreement", ascending=False, na_position="last").reset_index(drop=True)


def _items(summary: dict[str, Any], prompt_set: str, side: str) -> int | None:
    """The items of a side that were scored; of a contrast, those of both sides."""
    sides = summary.get("data", {}).get("prompt_sets", {}).get(prompt_set, {})
    return sum(found["items"] for name, found in sides.items() if side in (name, "contrast")) or None


def _few(summary: dict[str, Any]) -> bool:
    """Whether so few subsets were compared that seeds often agree by chance."""
    return int(summary["critical"]["subsets"]) < FEWEST


def _resolution(summary: dict[str, Any], row: dict[str, Any]) -> str:
    if not row["resolvable"]:
        return "noise: cannot separate"
    return "too few subsets to tell" if _few(summary) else "yes"


def steady(summary: dict[str, Any], prompt_set: str, side: str) -> bool:
    """Whether the truth of a side is known to be reproducible: of few subsets it is not, whatever their r."""
    found = noise_of(summary, prompt_set, side)
    return found is not None and bool(found["resolvable"]) and not _few(summary)


def noise_of(summary: dict[str, Any], prompt_set: str, side: str) -> dict[str, Any] | None:
    """What is known of the noise of one side."""
    found = [row for row in summary["noise"] if (row["prompt_set"], row["side"]) == (prompt_set, side)]
    return found[0] if found else None


def resolution(summary: dict[str, Any], prompt_set: str, side: str) -> str:
    """Whether the truth of a side can be resolved, as a sentence."""
    found = noise_of(summary, prompt_set, side)
    if found is None or found["agreement"] is None:
        return "One seed of retraining: how steady this truth is cannot be told."
    seeds = decimals(found["agreement"])
    if not found["resolvable"]:
        return f"Noise: cannot separate. Retrainings with other seeds agree only to r = {seeds} with each other."
    if _few(summary):
        subsets = count(int(summary["critical"]["subsets"]), "subset")
        return (
            f"Retrainings with other seeds agree to r = {seeds}, but over {subsets} chance alone often does as well: "
            "whether this truth is reproducible cannot be told."
        )
    ceiling = found.get("ceiling")
    most = f"; no estimate can be expected to agree better than {decimals(ceiling)}" if ceiling else ""
    return f"Steady: retrainings with other seeds agree to r = {seeds}{most if ceiling and ceiling < 0.995 else ''}."


def ground_truth(validation: ValidateFiles, prompt_set: str, side: str) -> pd.DataFrame:
    """The ranking by retraining: subset, rank, influence, low, high, separable.

    ``separable``: its difference to each neighbour in rank, paired seed by seed, excludes zero.
    """
    told = validation.summary["ground_truth"]
    rows = [row for row in told if (row["prompt_set"], row["side"]) == (prompt_set, side)]
    frame = pd.DataFrame(rows, columns=["subset", "rank", "influence", "low", "high"])
    frame = frame.astype(dict.fromkeys(("influence", "low", "high"), float)).sort_values("rank", ignore_index=True)
    seeds = _seeds(validation, prompt_set, side).reindex(columns=list(frame["subset"])).to_numpy()
    ends = [student_interval(seeds[:, i] - seeds[:, i + 1]) for i in range(len(frame) - 1)]
    gaps = [True, *(excludes_zero(found) for found in ends), True]
    return frame.assign(separable=[above and below for above, below in pairwise(gaps)])


def _seeds(validation: ValidateFiles, prompt_set: str, side: str) -> pd.DataFrame:
    """The true influence of each subset (columns) by each seed (rows)."""
    rows = validation.ground_truth
    rows = rows[(rows["prompt_set"] == prompt_set) & (rows["side"] == side)]
    return rows.pivot_table(index="seed", columns="subset", values="influence", observed=True)


def pairs(validation: ValidateFiles, label: str, prompt_set: str, side: str) -> pd.DataFrame:
    """A method's estimate beside the truth: subset, influence, low, high, truth, truth_low, truth_high.

    The truth is the mean over seeds, its ends the least and the greatest seed: with two seeds a proper interval is so
    wide that nothing else could be seen beside it.
    """
    told = validation.estimates
    told = told[(told["method"] == label) & (told["prompt_set"] == prompt_set) & (told["side"] == side)]
    told = told[["subset", "influence", "low", "high"]]
    seeds = _seeds(validation, prompt_set, side)
    known = pd.DataFrame({"truth": seeds.mean(), "truth_low": seeds.min(), "truth_high": seeds.max()})
    return told.merge(known, left_on="subset", right_index=True)


def counts(summary: dict[str, Any]) -> str:
    """How much this validation rests on, in one line."""
    parts = [
        count(int(summary["critical"]["subsets"]), "subset"),
        f"{count(len(summary['seeds']), 'seed')} of retraining",
    ]
    if _few(summary):
        return " · ".join([*parts, "too few subsets to tell which sides can be resolved"])
    for noun, wanted in (("side", ("harmful", "harmless")), ("contrast", ("contrast",))):
        rows = [row for row in summary["noise"] if row["side"] in wanted]
        if rows:
            parts.append(f"{sum(bool(row['resolvable']) for row in rows)} of {count(len(rows), noun)} can be resolved")
    return " · ".join(parts)
