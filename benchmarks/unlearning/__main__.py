"""How near does every unlearning method come to retraining, and what does it cost? ``python -m benchmarks.unlearning``.

Two testbeds, the laboratory of the tests and the demo, and a laboratory of its own on which settings were chosen; see
README.md beside this. Every cell is kept in ``work/``, so that an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.unlearning import demo
from benchmarks.unlearning.laboratory import RELEARN, STEPS, Lab, prepare
from benchmarks.unlearning.report import REFERENCE, RESULTS, table
from untrac_core.fileio import finite
from untrac_core.results.environment import environment
from untrac_core.results.folders import write_json

HERE = Path(__file__).resolve().parent
NUMERICS = 1
"""Goes up when the same inputs would give other numbers."""
FLOW_STEPS = 20
"""Of the rest flow, as of UnTrac's: each reads as many texts as twenty of Adam's."""
COMPENSATED = {"compensate": "reverse-neighbours"}
METHODS: dict[str, dict[str, Any]] = {
    "npo": {"name": "npo"},
    "k-fade": {"name": "k-fade"},
    "grad-diff": {"name": "grad-diff"},
    "grin": {"name": "grin"},
    "retain-only": {"name": "retain-only"},
    "rest-flow": {"name": "rest-flow", "most": FLOW_STEPS},
    "npo, compensated": {"name": "npo", **COMPENSATED},
    "simnpo": {"name": "simnpo"},
    "grad-ascent": {"name": "grad-ascent"},
    "grin, random mask": {"name": "grin", "mask": "random"},
}
"""All that move weights, at their defaults; those that are asked about first."""
K_FADE, REST_FLOW = {"name": "k-fade"}, {"name": "rest-flow"}
CHOICES: dict[str, dict[str, Any]] = {
    "npo": {"name": "npo"},
    "k-fade": K_FADE,
    "k-fade, damping .03": K_FADE | {"damping": 0.03},
    "k-fade, damping 3": K_FADE | {"damping": 3.0},
    "k-fade, 3 steps": K_FADE | {"steps": 3},
    "rest-flow, 20 steps": REST_FLOW | {"most": 20},
    "rest-flow, 60 steps": REST_FLOW | {"most": 60},
    "rest-flow, damping .1, 20 steps": REST_FLOW | {"damping": 0.1, "most": 20},
}
"""What was tried for K-FADE and the rest flow; ``most``: steps, in the place of the benchmark's."""
LABS = {
    "laboratory": Lab("toxic", (0, 1, 4), METHODS),
    "development": Lab("stereotype", (2,), CHOICES, close=False),
}
NAMES = (*LABS, "demo")


def laboratory(bed: Lab, seeds: tuple[int, ...], work: Path, *, kept_alone: bool = False) -> dict[str, Any]:
    """All numbers of a laboratory by subject and seed; cells that are there are read, or these alone."""
    prepare(work)
    found: dict[str, dict[str, Any]] = {}
    for subject, seed in [*((REFERENCE, seed) for seed in seeds), *bed.cells(seeds)]:
        content = [NUMERICS, bed.forget, bed.seeds, bed.close, subject, bed.methods.get(subject), seed]
        kept = work / "cells" / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()}.json"
        if not kept.is_file():
            if kept_alone:
                continue
            started = time.process_time()
            values = bed.reference(seed) if subject == REFERENCE else bed.run(subject, seed)
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(finite(values), kept)
            print(f"{subject}, seed {seed}: {time.process_time() - started:.0f} s", flush=True)
        found.setdefault(subject, {})[str(seed)] = json.loads(kept.read_text(encoding="utf-8"))
    return {
        "forget": bed.forget, "seeds": list(seeds), "stop": {"rule": "match_retrained", "steps": STEPS, "every": 1},
        "relearn_steps": RELEARN, "methods": bed.methods, "found": found,
    }  # fmt: skip


def on_the_demo(seeds: tuple[int, ...], work: Path) -> dict[str, Any]:
    """The same of the demo's model, where the retain set is held and not trained on, as in the demo's own request."""
    methods: dict[str, Mapping[str, Any]] = {
        title: {key: value for key, value in of.items() if key != "most"} | demo.held(of["name"])
        for title, of in METHODS.items()
        if title in demo.METHODS
    }
    return {
        "forget": "forum", "seeds": list(seeds),
        "stop": {"rule": "match_retrained", "steps": demo.STEPS, "every": demo.EVERY},
        "relearn_steps": demo.RELEARN, "methods": methods, "found": demo.run(methods, seeds, work),
    }  # fmt: skip


def main() -> None:
    """Run the testbeds that are named, or all, and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unlearning", description=__doc__)
    parser.add_argument("beds", nargs="*", choices=[*NAMES, []], help="testbeds; all of them unless named")
    parser.add_argument("--seeds", nargs="*", type=int, help="in the place of a testbed's own")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="a folder for cells and models")
    parser.add_argument("--kept", action="store_true", help="of laboratories only what is in the folder already")
    parser.add_argument("--report", action="store_true", help="only print the tables")
    asked = parser.parse_args()
    for bed in asked.beds or NAMES:
        if not asked.report:
            known = LABS.get(bed)
            seeds = tuple(asked.seeds or (known.seeds if known else demo.SEEDS))
            values = (
                laboratory(known, seeds, asked.work, kept_alone=asked.kept) if known else on_the_demo(seeds, asked.work)
            )
            write_json({"environment": environment(), **values}, RESULTS / f"{bed}.json")
        print(f"\n{bed}\n\n{table(bed)}", flush=True)


if __name__ == "__main__":
    main()
