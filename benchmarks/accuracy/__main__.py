"""How well does each method tell what retraining tells? ``python -m benchmarks.accuracy``; see README.md beside this.

Every training and every method's cell is kept, so that an interrupted benchmark goes on where it was, and several
processes can share the work, one testbed each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.accuracy.report import FIRST, write_report
from benchmarks.accuracy.testbeds import BEDS as KNOWN
from benchmarks.accuracy.testbeds import BOTH, METHODS, QUICK, data_root
from benchmarks.accuracy.unseen import UNSEEN
from untrac_core.fileio import finite
from untrac_core.models.devices import own_peak_mb
from untrac_core.progress import Progress
from untrac_core.results.folders import ENVIRONMENT, ESTIMATES, GROUND_TRUTH, SUMMARY, write_json
from untrac_core.specs import MethodSpec, method_spec
from untrac_core.stats.bootstrap import ALL, RESOLVABLE
from untrac_core.tasks.base import computed
from untrac_core.tasks.registry import resolved
from untrac_core.tasks.validate.findings import Findings
from untrac_core.tasks.validate.task import WORK, ValidateTask

HERE = Path(__file__).resolve().parent
COMPARED = "compared.json"
BEDS = KNOWN | UNSEEN
KEPT = (SUMMARY, GROUND_TRUTH, ESTIMATES, ENVIRONMENT)
"""Of a result; its spec names files of the machine, and is made anew from ``testbeds.py``."""


class Printed:
    """Says on the terminal what is being done."""

    def phase(self, text: str) -> None:
        """One line a phase."""
        print(text, flush=True)

    def tick(self, done: int, total: int) -> None:
        """Nothing: phases are short."""


def first_sides(findings: Findings) -> dict[str, Any]:
    """Agreement over the sides of the study that this benchmark continues.

    Those are both sides of ToxiGen and RealToxicityPrompts, and the harmful or only side of the five other probes.
    """
    sides = [place for place in findings.groups[ALL] if place[1] == "harmful" or place[0] in BOTH]
    groups = {ALL: sides, RESOLVABLE: [place for place in sides if findings.noises[place].resolvable]}
    compared = findings.comparison
    if compared is None:
        return {"sides": {}, "leaderboard": [], "differences": []}
    rows = [row for row in compared.leaderboard(groups) if row.prompt_set is None]
    return {
        "sides": groups,
        "leaderboard": [finite(asdict(row)) for row in rows],
        "differences": [finite(asdict(row) | {"tie": row.tie}) for row in compared.differences(groups)],
    }


def run(bed: str, work: Path, results: Path, methods: Sequence[MethodSpec] = ()) -> dict[str, Any]:
    """Train, ask every method and compare; the summary, which ``results`` has then in a folder of the testbed's name.

    ``work``: a folder for cells and models, from which an interrupted run goes on. ``methods``: in the place of the
    testbed's own.
    """
    progress: Progress = Printed()
    place = work / bed
    spec = resolved(BEDS[bed](data_root(), place / "data"), progress)
    spec = spec.model_copy(update={"methods": list(methods)}) if methods else spec
    started = time.monotonic()
    validator = ValidateTask(spec, place / "result" / WORK, progress, threads=1)
    frames = computed(validator.cells, validator.run_cell, work / "cells")
    summary = validator.write(place / "result", frames, time.monotonic() - started, own_peak_mb())
    kept = results / bed
    kept.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(place / "result" / name, kept / name)
    write_json(first_sides(validator.findings(frames)), kept / FIRST)
    return summary


def compared(bed: str, work: Path, results: Path, names: Sequence[str]) -> None:
    """Some of the benchmark's methods against each other, with intervals, beside the testbed's own results."""
    methods = [next(method for method in METHODS if method.name == name) for name in names]
    summary = run(bed, work, work / "results", methods)
    kept = {key: summary[key] for key in ("verdict", "leaderboard", "differences")}
    made = json.loads((work / "results" / bed / ENVIRONMENT).read_text(encoding="utf-8"))
    write_json(kept | {"environment": made}, results / bed / COMPARED)


def main() -> None:
    """Run the testbeds that are named, or all but the quick one, and write the report from all that there is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("beds", nargs="*", choices=[*BEDS, []], help="testbeds; all of them unless named")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="a folder for cells and models")
    parser.add_argument("--methods", nargs="+", choices=sorted({method.name for method in METHODS}), help="only these")
    parser.add_argument("--truth", action="store_true", help="train the models of the truth, ask no method")
    parser.add_argument("--report", action="store_true", help="only write the report anew")
    asked = parser.parse_args()
    if asked.methods:
        for bed in asked.beds:
            compared(bed, asked.work, HERE / "results", asked.methods)
        return
    methods = [method_spec("random")] if asked.truth else []
    for bed in [] if asked.report else asked.beds or [name for name in BEDS if name != QUICK]:
        run(bed, asked.work, HERE / "results" if bed != QUICK else asked.work / "results", methods)
    write_report(HERE)


if __name__ == "__main__":
    main()
