"""What half precision changes: ``python -m benchmarks.accuracy.precision untrac-inv``.

Trains the full model of the testbed of ten equal corpora in float32, lets a method estimate in every number format, and
compares the influences over the corpora with those of float32. UnTrac-Inv is asked with one prompt set alone as well:
what else is in a run must not change its numbers. Without a method, the table of what was computed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.accuracy.__main__ import HERE, Printed
from benchmarks.accuracy.testbeds import BEDS, SEEDS, data_root
from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.outcome import MethodRunner
from untrac_core.cells import Cell
from untrac_core.fileio import finite
from untrac_core.models.loading import load_model
from untrac_core.results.environment import environment
from untrac_core.results.folders import write_json
from untrac_core.specs import Dtype, ModelRef, method_spec
from untrac_core.stats.intervals import pearson
from untrac_core.tasks.base import computed
from untrac_core.tasks.registry import resolved
from untrac_core.tasks.trace.ranking import estimates
from untrac_core.tasks.validate.task import ValidateTask

RESULTS = HERE / "results" / "precision.json"
BED = "opt"
PROMPTS = ("toxigen", "winobias")
EXACT: Dtype = "float32"
HALF: tuple[Dtype, ...] = ("bfloat16", "float16")
ASKED = {"untrac-inv": 0.99, "continuation": 0.95}
"""The methods that compute in half precision, and the least r with float32 that is asked of them."""
SEEDS_OF = {"untrac-inv": SEEDS, "continuation": SEEDS[:1]}
NAMES = {"untrac-inv": "UnTrac-Inv", "continuation": "Continuation", "toxigen": "ToxiGen", "winobias": "WinoBias"}
Influences = dict[tuple[str, str], dict[str, float]]
"""By prompt set and side: each corpus's influence."""


class Bed:
    """The testbed for one method: its prompts and corpora, and its model, trained where it is not there yet."""

    def __init__(self, method: str, work: Path) -> None:
        progress = Printed()
        spec = BEDS[BED](data_root(), work / BED / "data")
        asked = {
            "prompts": [prompts for prompts in spec.prompts if prompts.name in PROMPTS],
            "methods": [method_spec(method)],
            "estimate_seeds": SEEDS_OF[method],
        }
        self.task = ValidateTask(
            resolved(spec.model_copy(update=asked), progress), work / "precision", progress, threads=1
        )
        self.title = self.task.spec.methods[0].title
        self.folder = self.task.leave_out.full.folder(self.task.spec.seeds[0])
        self.kept = work / "cells"

    def influences(self, dtype: Dtype, prompts: Sequence[str] = PROMPTS) -> tuple[Influences, float]:
        """What the method says in a number format, and its CPU seconds."""
        study = self._study(dtype, prompts)
        panel = MethodRunner(self.task.spec.methods)
        _ = study.model  # loading it is no cost of the method

        def run(cell: Cell) -> pd.DataFrame:
            began = time.process_time()
            return panel.run(study, cell).assign(seconds=lambda _: time.process_time() - began)

        cells = panel.cells(study)
        frames = computed(cells, run, self.kept)
        seconds = sum(float(frame["seconds"].iloc[0]) for frame in frames)
        (outcome,) = panel.outcomes(study, cells, frames)
        found = estimates(outcome)
        return {place: {name: one.value for name, one in row.items()} for place, row in found.items()}, seconds

    def _study(self, dtype: Dtype, prompts: Sequence[str]) -> AttributionContext:
        """The testbed's own, with the model loaded in another number format, and the prompt sets that are named."""
        whole, task = self.task.studies[self.title], self.task
        ref = ModelRef(path=os.fspath(self.folder), dtype=dtype)
        trainable = whole.identity.trainable
        return AttributionContext(
            replace(whole.identity, dtype=f"torch.{dtype}"),
            lambda: load_model(ref, task.device, trainable, task.progress),
            {name: whole.prompt_data[name] for name in prompts},
            {name: whole.prompts[name] for name in prompts},
            whole.subset_data,
            whole.subsets,
            whole.seeds,
            whole.progress,
            sizes=whole.sizes,
        )


def compared(exact: Influences, half: Influences, dtype: str) -> list[dict[str, Any]]:
    """For each side and contrast: r over the corpora between two number formats, and which corpus each puts first."""
    rows = []
    for (prompt_set, side), by_subset in exact.items():
        other = half[prompt_set, side]
        first, first_half = (max(sorted(row), key=row.__getitem__) for row in (by_subset, other))
        rows.append(
            {
                "prompt_set": prompt_set,
                "side": side,
                "dtype": dtype,
                "r": pearson(_values(by_subset, by_subset), _values(other, by_subset)),
                "first_float32": first,
                "first": first_half,
                "same_first": first == first_half,
            }
        )
    return rows


def difference(alone: Influences, beside: Influences) -> float:
    """The largest difference between a prompt set's influences, as a share of the largest of the same side."""
    shares = []
    for place, by_subset in alone.items():
        here, there = _values(by_subset, by_subset), _values(beside[place], by_subset)
        shares.append(float(np.abs(here - there).max() / np.abs(here).max()))
    return max(shares)


def own_difference(alone: Influences, beside: Influences) -> float:
    """The same as a share of each influence itself: large for one near zero, in which larger ones cancel."""
    return max(float(np.abs(_values(beside[place], row) / _values(row, row) - 1).max()) for place, row in alone.items())


def _values(row: Mapping[str, float], names: Mapping[str, float]) -> npt.NDArray[np.float64]:
    return np.array([row[name] for name in names])


def measure(method: str, work: Path) -> dict[str, Any]:
    """All number formats of one method, and, of UnTrac-Inv, the first prompt set alone."""
    bed = Bed(method, work)
    exact, seconds = bed.influences(EXACT)
    spent, rows = {EXACT: round(seconds)}, []
    for dtype in HALF:
        half, seconds = bed.influences(dtype)
        spent[dtype] = round(seconds)
        rows += compared(exact, half, dtype)
    found: dict[str, Any] = {"asked": ASKED[method], "seeds": SEEDS_OF[method], "cpu_seconds": spent, "rows": rows}
    if method == "untrac-inv":
        alone, _ = bed.influences(EXACT, PROMPTS[:1])
        found["second_prompt_set"] = difference(alone, exact)
        found["second_prompt_set_of_itself"] = own_difference(alone, exact)
    return found


def keep(method: str, found: dict[str, Any], path: Path = RESULTS) -> None:
    """Write what came out beside the other method's, with what it was computed by."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    made = {
        "date": time.strftime("%Y-%m-%d"),
        "command": f"python -m benchmarks.accuracy.precision {method}",
        "device": f"cpu, one thread, {platform.machine()}",
        "environment": environment(),
    }
    write_json(finite(known | {method: made | found}), path)


def table(path: Path = RESULTS) -> str:
    """What was computed, as Markdown: a row for each method, prompt set and side."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    heads = [f"r, {dtype}" for dtype in HALF] + [f"First, {dtype}" for dtype in (EXACT, *HALF)]
    lines = ["| Method | Side | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 2) + "|"]
    for method in ASKED:
        rows = known.get(method, {}).get("rows", [])
        for place in dict.fromkeys((row["prompt_set"], row["side"]) for row in rows):
            by_dtype = {row["dtype"]: row for row in rows if (row["prompt_set"], row["side"]) == place}
            cells = [f"{by_dtype[dtype]['r']:.4f}".removeprefix("0") for dtype in HALF]
            cells.append(by_dtype[HALF[0]]["first_float32"])
            cells += ["the same" if by_dtype[dtype]["same_first"] else by_dtype[dtype]["first"] for dtype in HALF]
            side = f"{NAMES[place[0]]}, {place[1]}"
            lines.append(f"| {NAMES[method]} | {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def failures(found: dict[str, Any]) -> list[str]:
    """What is not as asked, one line each: a side's r or first corpus, or numbers that hang on another prompt set."""
    lines = []
    for row in found["rows"]:
        low = row["r"] < found["asked"]
        other = "second_prompt_set" in found and not row["same_first"]
        if low or other:
            lines.append(f"{row['prompt_set']}, {row['side']}, {row['dtype']}: r {row['r']:.4f}, first {row['first']}")
    if found.get("second_prompt_set", 0.0) > 1e-6:
        lines.append(f"a second prompt set changes numbers by {found['second_prompt_set']:.1e}")
    return lines


def main() -> None:
    """Compute a method and say what is not as asked; without one, print the table of what was computed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.precision", description=__doc__)
    parser.add_argument("method", nargs="?", choices=list(ASKED))
    parser.add_argument("--work", type=Path, default=HERE / "work", help="a folder for data, the model and cells")
    asked = parser.parse_args()
    if asked.method is None:
        print(table())
        return
    found = measure(asked.method, asked.work)
    keep(asked.method, found)
    print("\n".join(failures(found)) or "all as asked")


if __name__ == "__main__":
    main()
