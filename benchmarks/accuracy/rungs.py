"""One method against the committed truth: ``python -m benchmarks.accuracy.rungs untrac mix``.

Trains the full model of a testbed's first seed, lets the method estimate, and compares with the retrainings that are
kept in ``results``, so that a method costs minutes instead of hours. Beside the mean truth stand the seeds that the
traced model had no part in, one retraining against them, and half and half with one retraining.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.accuracy.__main__ import BEDS, HERE, Printed
from benchmarks.accuracy.bergson import Bergson
from benchmarks.accuracy.testbeds import BLOCKS, SEEDS, data_root
from untrac_core.attribution.base import AttributionContext
from untrac_core.fileio import finite
from untrac_core.results.folders import GROUND_TRUTH, read_frame, write_json
from untrac_core.specs import MethodSpec, method_spec
from untrac_core.specs.catalogue import ATTRIBUTION
from untrac_core.stats.agreement import noise
from untrac_core.stats.bootstrap import CONTRAST
from untrac_core.stats.calibration import calibrate, coverage
from untrac_core.stats.intervals import Estimate, pearson
from untrac_core.tasks.registry import resolved
from untrac_core.tasks.trace.ranking import estimates
from untrac_core.tasks.validate.task import ValidateTask

RUNGS = "rungs.json"
FRESH = 2048
"""Blocks of a corpus on average, where that many were trained on: a training that meets its text again learns it by
heart, which no retraining did."""
TITLES = {
    "opt": "Ten equal corpora, OPT",
    "gpt2": "Ten equal corpora, GPT-2",
    "llama": "Ten equal corpora, Llama",
    "mix": "Eight corpora of 30 to 5 %, OPT",
    "neox": "Ten equal corpora in two passes, GPT-NeoX",
    "qwen": "Eight corpora of 25 to 4 % in two passes, Qwen3",
    "halves": "Twenty subsets that overlap, OPT",
    "finetune": "A fine-tune on six subsets, Llama",
}
COLUMNS = {
    "r": "r",
    "spearman": "Spearman",
    "signs": "Same sign",
    "slope": "Slope",
    "r_others": "r, the two other seeds",
    "one_retraining": "One retraining, the same",
    "half_and_half": "Half and half, the same",
    "calibrated_slope": "Slope, calibrated",
    "coverage": "Coverage",
}
Array = npt.NDArray[np.float64]
Estimates = dict[tuple[str, str], dict[str, Estimate]]


def estimated(bed: str, method: MethodSpec, work: Path, blocks: int, draws: int) -> tuple[Estimates, dict[str, Any]]:
    """The method's estimates by prompt set and side; and what it took: CPU seconds, those of the prompts' losses alone.

    ``blocks``: of a corpus on average, that it may read. ``draws``: seeds of the estimate. No estimates where the
    method failed or its model collapsed; ``ended`` then says why.
    """
    progress = Printed()
    spec = resolved(BEDS[bed](data_root(), work / "data"), progress)
    foreign = method.name not in ATTRIBUTION
    stand_in = method_spec("random") if foreign else method
    spec = spec.model_copy(
        update={"methods": [stand_in], "samples_per_subset": blocks, "estimate_seeds": SEEDS[:draws]}
    )
    task = ValidateTask(spec, work / "rungs", progress, threads=1)
    title = task.spec.methods[0].title
    study, panel = task.studies[title], task.panels[title]
    if foreign:
        panel.methods[title] = Bergson(method)
    _ = study.model  # its training is no cost of the method
    asked = _Timed(study)
    began = time.process_time()
    cells = panel.cells(study)
    frames = [panel.run(study, cell) for cell in cells]
    (outcome,) = panel.outcomes(study, cells, frames)
    broken = outcome.failed or any(outcome.collapsed_cells())
    return {} if broken else estimates(outcome), {
        "blocks": blocks,
        "draws": draws,
        "cpu_seconds": round(time.process_time() - began),
        "cpu_seconds_of_losses": round(asked.seconds),
        "ended": "; ".join(sorted({str(frame["ended"].iloc[0]) for frame in frames})),
    }


class _Timed:
    """Counts the CPU seconds that a study spends on the losses of prompts and texts."""

    def __init__(self, study: AttributionContext) -> None:
        self.seconds = 0.0
        self._losses = study.losses
        study.losses = self  # type: ignore[assignment, method-assign]

    def __call__(self, *asked: Any, **more: Any) -> Any:
        began = time.process_time()
        try:
            return self._losses(*asked, **more)
        finally:
            self.seconds += time.process_time() - began


def side_rows(found: Estimates, truth: pd.DataFrame) -> list[dict[str, Any]]:
    """For each side, contrasts too, the agreement with the truth; ``resolvable``: whether retrainings agree on it."""
    rows = []
    for (prompt_set, side), by_subset in found.items():
        values = np.array([one.value for one in by_subset.values()])
        true = _truths(truth, prompt_set, side, list(by_subset))
        mean, others = true.mean(1), true[:, 1:].mean(1)
        slope = float(values @ mean / (values @ values))
        rows.append(
            {
                "prompt_set": prompt_set,
                "side": side,
                "resolvable": noise(true.T).resolvable,
                "r": pearson(values, mean),
                "spearman": float(spearmanr(values, mean)[0]),
                "signs": float((values * mean > 0).mean()),
                "slope": slope,
                "r_others": pearson(values, others),
                "one_retraining": pearson(true[:, 0], others),
                "half_and_half": pearson(slope * values + true[:, 0], others),
            }
        )
    return rows


def _truths(truth: pd.DataFrame, prompt_set: str, side: str, subsets: list[str]) -> Array:
    """Shape (subsets, seeds)."""
    rows = truth[(truth["prompt_set"] == prompt_set) & (truth["side"] == side)]
    table = rows.pivot(index="subset", columns="seed", values="influence").loc[subsets]
    return table.sort_index(axis="columns").to_numpy(dtype=np.float64)


def calibrated(found: Estimates, truth: pd.DataFrame) -> dict[str, float]:
    """What is left to be done after calibration, over all sides: every corpus under the slope of the others.

    ``calibrated_slope``: of the truth on the calibrated estimates; ``coverage``: of their 95% intervals.
    """
    sides = {place: by_subset for place, by_subset in found.items() if place[1] != CONTRAST}
    nothing = (math.nan, math.nan)
    true = np.array([_truths(truth, *place, list(by_subset)).mean(1) for place, by_subset in sides.items()])
    values = np.array([[one.value for one in by_subset.values()] for by_subset in sides.values()])
    ends = np.array([[one.interval() or nothing for one in by_subset.values()] for by_subset in sides.values()])
    count = range(values.shape[1])
    slopes = [calibrate(np.delete(values, i, 1), np.delete(true, i, 1)).slope for i in count]
    shown = values * slopes
    return {
        "calibrated_slope": float((shown * true).sum() / (shown**2).sum()),
        "coverage": coverage(values, ends[..., 0], ends[..., 1], true),
    }


def means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Over the resolvable sides, and over the resolvable contrasts."""
    frame = pd.DataFrame(rows)
    whole = frame[frame["resolvable"]]
    names = ["r", "spearman", "signs", "slope", "r_others", "one_retraining", "half_and_half"]
    sides, contrasts = whole[whole["side"] != CONTRAST], whole[whole["side"] == CONTRAST]
    return {
        "sides": len(sides),
        **{name: float(sides[name].mean()) for name in names},
        "contrasts": len(contrasts),
        "r_contrasts": float(contrasts["r"].mean()),
    }


def keep(bed: str, name: str, found: Estimates, took: dict[str, Any]) -> dict[str, Any]:
    """Write what came out beside the other methods' results on the bed; returns the means."""
    path = HERE / "results" / bed / RUNGS
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    truth = read_frame(HERE / "results" / bed / GROUND_TRUTH)
    rows = side_rows(found, truth)
    made = means(rows) | calibrated(found, truth) | took
    write_json(finite(known | {name: made | {"by_side": rows}}), path)
    return made


def table(method: str) -> str:
    """The means of a method on every bed that has some, as Markdown."""
    lines = ["| Testbed | " + " | ".join(COLUMNS.values()) + " |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for bed, title in TITLES.items():
        path = HERE / "results" / bed / RUNGS
        found = json.loads(path.read_text(encoding="utf-8")).get(method) if path.is_file() else None
        if found:
            cells = [_cell(name, found[name]) for name in COLUMNS]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def contrast_table(method: str) -> str:
    """A method's contrasts on every bed, against the seeds that the model had no part in; in brackets one retraining's.

    A star: retrainings agree well enough with each other that there is something to agree with.
    """
    rows, heads = [], []
    for bed, title in TITLES.items():
        path = HERE / "results" / bed / RUNGS
        found = json.loads(path.read_text(encoding="utf-8")).get(method) if path.is_file() else None
        if found:
            sides = [row for row in found["by_side"] if row["side"] == CONTRAST]
            heads = [row["prompt_set"] for row in sides]
            cells = [
                f"{_cell('r', row['r_others'])} ({_cell('r', row['one_retraining'])}){'*' if row['resolvable'] else ''}"
                for row in sides
            ]
            rows.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([f"| Testbed | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|", *rows])


def _cell(name: str, value: float | None) -> str:
    if value is None:  # one draw gives no interval
        return ""
    if name in ("signs", "coverage"):
        return f"{value:.0%}".replace("%", " %")
    return f"{value:.1f}" if "slope" in name else f"{value:.2f}".replace("0.", ".", 1)


def main() -> None:
    """Compute what is named and print the means; without a bed, print the table of what was computed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.rungs", description=__doc__)
    parser.add_argument("method")
    parser.add_argument("bed", nargs="?", choices=[bed for bed in BEDS if (HERE / "results" / bed).is_dir()])
    parser.add_argument("--work", type=Path, default=HERE / "work", help="a folder for data and the model")
    parser.add_argument("--blocks", type=int, help="of a corpus on average, that the method may read")
    parser.add_argument("--draws", type=int, default=len(SEEDS), help="seeds of the estimate")
    asked = parser.parse_args()
    blocks = asked.blocks or (FRESH if asked.method == "continuation" else BLOCKS)
    if asked.bed is None:
        print(table(asked.method), contrast_table(asked.method), sep="\n\n")
        return
    found = estimated(asked.bed, method_spec(asked.method), asked.work / asked.bed, blocks, asked.draws)
    for key, value in keep(asked.bed, asked.method, *found).items():
        print(f"{key}: {value if isinstance(value, str) else round(value, 3)}")


if __name__ == "__main__":
    main()
