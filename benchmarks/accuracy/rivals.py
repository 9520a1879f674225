"""The other methods at their best: ``python -m benchmarks.accuracy.rivals tune``, then ``... rivals neox``.

Each is tuned as ours were, on the development testbed alone: every setting of :data:`TRIED` estimates once, from all
text, and the one that agrees best with retraining is kept in ``results/development/rivals.json``. On another testbed a
rival then runs with that. Nothing is left out because it wins.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.__main__ import BEDS, HERE
from benchmarks.accuracy.bergson import RECIPES
from benchmarks.accuracy.rungs import estimated, keep, means, side_rows
from benchmarks.accuracy.testbeds import BLOCKS, SEEDS
from untrac_core.fileio import finite
from untrac_core.results.folders import GROUND_TRUTH, read_frame, write_json
from untrac_core.specs import MethodSpec, method_spec

RESULT = HERE / "results" / "development" / "rivals.json"
DAMPINGS = (0.01, 0.1, 1.0)
Settings = Mapping[str, Any]

TRIED: dict[str, Sequence[Settings]] = {
    "grad-dot": [{"trainable": what} for what in ("all", "matrices")],
    "grad-cos": [{"trainable": what} for what in ("all", "matrices")],
    "sign-dot": [{"trainable": what} for what in ("all", "matrices")],
    "fisher-dot": [{"damping": damping} for damping in (*DAMPINGS, 10.0)],
    "shampoo-dot": [{"damping": damping} for damping in DAMPINGS],
    "ek-fac": [{"damping": damping, "head": head} for damping in DAMPINGS for head in (False, True)],
    "tracin": [{"scaling": scaling} for scaling in ("none", "adam")],
    "lissa": [
        {"iterations": iterations, "damping": damping} for iterations in (10, 50) for damping in (0.001, 0.01, 0.1)
    ],
    "arnoldi": [{"iterations": 25}, {"iterations": 100}, {"iterations": 200}],
    "bm25": [{}],
    "hidden-state-similarity": [{}],
    **{name: [{"damping": damping} for damping in DAMPINGS] for name in RECIPES},
}
"""What is tried of each: the iterations of the paper's T5 and OPT for Arnoldi, a decade either way for a damping."""


def spec_of(name: str, settings: Settings) -> MethodSpec:
    """A rival with its settings; all text is looked at, as there is no seed to draw a part of it for."""
    if name in RECIPES:
        return RECIPES[name].model_copy(update=dict(settings))
    whole = {} if name == "bm25" else {"subsample": 1.0}
    return method_spec(name, **whole, **settings)


def tuned(name: str) -> MethodSpec:
    """A rival with the setting that agreed best on the development testbed; as it comes where none was tried yet."""
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    rows = [row for row in known.get(name, []) if row["r"] is not None]
    return spec_of(name, max(rows, key=lambda row: row["r"])["settings"] if rows else {})


def tune(work: Path, names: Sequence[str]) -> Iterator[str]:
    """Try what is not yet known; a line for each."""
    bed = work / "development"
    truth = read_frame(RESULT.parent / GROUND_TRUTH)
    for name in names:
        for settings in TRIED[name]:
            known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
            if any(row["settings"] == dict(settings) for row in known.get(name, [])):
                continue
            found, took = estimated("development", spec_of(name, settings), bed, BLOCKS, 1)
            row = {"settings": dict(settings), "r": means(side_rows(found, truth))["r"] if found else None} | took
            write_json(finite(known | {name: [*known.get(name, []), row]}), RESULT)
            yield f"{name} {dict(settings)}: {row['r']}"


def main() -> None:
    """Tune on the development testbed, or run what was found on another one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.rivals", description=__doc__)
    parser.add_argument("bed", choices=["tune", *BEDS])
    parser.add_argument("names", nargs="*", choices=[*TRIED, []], help="rivals; all of them unless named")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="a folder for data and models")
    asked = parser.parse_args()
    names = asked.names or list(TRIED)
    if asked.bed == "tune":
        for line in tune(asked.work, names):
            print(line, flush=True)
        return
    for name in names:
        found, took = estimated(asked.bed, tuned(name), asked.work / asked.bed, BLOCKS, len(SEEDS))
        print(name, keep(asked.bed, name, found, took)["r"] if found else took["ended"], flush=True)


if __name__ == "__main__":
    main()
