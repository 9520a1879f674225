"""Do the negative controls come out as they must, 19 of 20 times? ``python -m benchmarks.accuracy.controls``.

Many small runs on the demo's texts, each with other documents, another training seed and other subsets: how often does
retraining, and how often does each method, pass the doubled subset and the random mix? What is done stays, run by run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from untrac_core.data.subsets import SubsetData, load_subsets
from untrac_core.demo.requests import demo_prompts, demo_subsets
from untrac_core.fileio import write_bytes
from untrac_core.results.environment import environment
from untrac_core.specs import Source, Subset, Training, ValidateSpec, method_spec
from untrac_core.tasks.validate.task import ValidateTask

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "controls.json"
SUBSETS, DOCUMENTS, ITEMS = 4, 0.5, 16
"""Of a run: subsets, the share of each one's documents, and items of a side."""
TRAINING = Training(
    hidden_size=16, num_layers=1, num_heads=2, vocab_size=400, block_size=32, steps=30, batch_size=8, warmup_steps=4,
    learning_rate=0.01,
)  # fmt: skip
METHODS = (method_spec("untrac-inv", samples=16), method_spec("grad-dot"), method_spec("bm25"))
KEPT = ("control", "method", "prompt_set", "found", "low", "high", "passed")


@cache
def texts() -> list[SubsetData]:
    """The demo's subsets."""
    return list(load_subsets(demo_subsets(limit=None)).values())


def spec_of(number: int, folder: Path) -> ValidateSpec:
    """A run of its own: some of the demo's subsets in random order, some of each one's documents."""
    draw, data = np.random.default_rng(number), texts()
    subsets = []
    for place in draw.permutation(len(data))[:SUBSETS].tolist():
        one = data[place]
        kept = draw.permutation(len(one.documents))[: round(DOCUMENTS * len(one.documents))].tolist()
        rows = [json.dumps({"text": one.documents[i].text}) for i in kept]
        file = folder / f"{one.spec.name}.jsonl"
        file.write_text("\n".join(rows), encoding="utf-8")
        subsets.append(Subset(name=one.spec.name, source=Source(file=str(file))))
    return ValidateSpec(
        name=f"controls {number}",
        training=TRAINING,
        prompts=[prompts.model_copy(update={"limit": ITEMS}) for prompts in demo_prompts()],
        subsets=subsets,
        methods=list(METHODS),
        samples_per_subset=32,
        seeds=[number],
        estimate_seeds=[0, 1, 2],
        controls=["doubled", "mixed"],
        device="cpu",
    )


def answers(number: int) -> list[dict[str, Any]]:
    """What retraining and each method say of the controls in one run; no subset is left out whole."""
    with tempfile.TemporaryDirectory() as name:
        task = ValidateTask(spec_of(number, Path(name)), Path(name) / "work", threads=1)
        whole = task.run_cell(task.truth_cells[0])
        trained = [task.run_cell(cell) for cell in task.controls.cells]
        asked = [task.run_cell(cell) for cell in task.controls.asked]
        rows = task.controls.truth_rows(whole, trained, {}) + task.controls.method_rows(asked)
    return [
        {key: row[key] for key in ("control", "method", "prompt_set", "found", "low", "high", "passed")} for row in rows
    ]


def tally(runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """How many runs pass each control on all prompt sets, by retraining and by each method."""
    counts: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for rows in runs.values():
        passed: dict[tuple[str, str], list[bool]] = defaultdict(list)
        for row in rows:
            if row["passed"] is not None:
                passed[row["control"], row["method"] or "retraining"].append(row["passed"])
        for key, of in passed.items():
            counts[key].append(all(of))
    return [
        {"control": control, "of": of, "runs": len(found), "passed": sum(found)}
        for (control, of), found in sorted(counts.items())
    ]


def main() -> None:
    """Run what is missing, and write the tally after each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULT)
    wanted = parser.parse_args()
    runs = json.loads(wanted.out.read_text(encoding="utf-8"))["runs"] if wanted.out.is_file() else {}
    for number in range(wanted.times):
        if str(number) in runs:
            continue
        runs[str(number)] = answers(number)
        told = {"tally": tally(runs), "environment": environment(), "runs": runs}
        write_bytes(json.dumps(told, indent=1).encode(), wanted.out)
        print(f"{number + 1} of {wanted.times}", flush=True)
    for row in tally(runs):
        print(f"{row['control']:8} {row['of']:22} {row['passed']} of {row['runs']}")


if __name__ == "__main__":
    main()
