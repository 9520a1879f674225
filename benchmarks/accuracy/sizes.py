"""The table of sizes and signs of a testbed, from the results that lie beside the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from untrac_core.results.folders import ESTIMATES, GROUND_TRUTH, read_frame
from untrac_core.stats.bootstrap import ALL, CONTRAST, RESOLVABLE, Place, side_weights
from untrac_core.stats.intervals import Array
from untrac_core.tasks.validate.calibration import OneRetraining, one_retraining, sizes_and_signs
from untrac_core.text.numbers import figure, percent

Summary = Mapping[str, Any]


def size_table(folder: Path, summary: Summary, bold: tuple[str, ...]) -> str:
    """Every method against retraining, best first, in size and in sign, over the resolvable sides.

    Every probe counts once, whether it has one side or two. Of stored results the items are not known, so a slope's
    interval is that over corpora alone.
    """
    per_seed = seeds_of(folder)
    sides = [row for row in summary["noise"] if row["side"] != CONTRAST]
    clear = [row for row in sides if row["resolvable"]]
    group = RESOLVABLE if clear else ALL
    places = [(row["prompt_set"], row["side"]) for row in clear or sides]
    truths = {place: values.mean(0) for place, values in per_seed.items()}
    estimates = read_frame(folder / ESTIMATES)
    subsets = sorted(estimates["subset"].unique())
    rows = [row for row in sizes_and_signs(estimates, truths, subsets, {group: places}) if row.prompt_set is None]
    r, rho = (_means(summary, metric, places) for metric in ("pearson", "spearman"))
    heads = (
        f"method, {group} sides, every probe counted once", "r", "least r without one corpus", "Spearman",
        "slope (95% interval over corpora)", "same sign", "error / sd of the truth", "coverage",
    )  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for row in sorted(rows, key=lambda row: -r.get(row.method, 0.0)):
        cells = [
            f"**{row.method}**" if row.method in bold else row.method,
            f"{r.get(row.method, 0.0):.2f}",
            f"{row.least:.2f} ({row.least_without})",
            f"{rho.get(row.method, 0.0):.2f}",
            f"{figure(row.slope)} ({figure(row.low)} to {figure(row.high)})",
            percent(row.signs),
            percent(row.rmse_share),
            percent(row.coverage),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    single = {row.metric: row for row in one_retraining(per_seed, {group: places}) if row.prompt_set is None}
    return "\n".join([*lines, _single(single)])


def seeds_of(folder: Path) -> dict[Place, Array]:
    """The true influence of every side by seed, shape (seeds, subsets), subsets by name."""
    table = read_frame(folder / GROUND_TRUTH)
    found = {}
    for (prompt_set, side), part in table.groupby(["prompt_set", "side"], sort=False):
        by_seed = part.pivot_table(index="seed", columns="subset", values="influence", observed=True)
        found[prompt_set, side] = by_seed.sort_index(axis=1).to_numpy(dtype=float)
    return found


def retraining_of(folder: Path) -> dict[Place, OneRetraining]:
    """Of every side, how well one retraining agrees with the mean of the others, in Pearson r."""
    rows = one_retraining(seeds_of(folder), {})
    return {(str(row.prompt_set), row.side): row for row in rows if row.metric == "pearson"}


def _means(summary: Summary, metric: str, places: list[Place]) -> dict[str, float]:
    """Each method's mean of a measure over sides; one that says nothing of a side counts as 0 there."""
    values = {
        (row["method"], (row["prompt_set"], row["side"])): row["value"] or 0.0
        for row in summary["leaderboard"]
        if row["metric"] == metric
    }
    weights = side_weights(places)
    return {
        method: float(
            sum(weight * values.get((method, place), 0.0) for weight, place in zip(weights, places, strict=True))
        )
        for method in dict.fromkeys(method for method, _ in values)
    }


def _single(found: Mapping[str, OneRetraining]) -> str:
    """The row of one retraining: r with the range of its seeds, and its sizes."""
    r = found["pearson"]
    cells = [
        "one retraining against the mean of the others",
        f"{r.value:.2f}, by seed {r.least:.2f} to {r.greatest:.2f}",
        "",
        f"{found['spearman'].value:.2f}",
        figure(found["slope"].value),
        percent(found["signs"].value),
        percent(found["rmse_share"].value),
        "",
    ]
    return f"| {' | '.join(cells)} |"
