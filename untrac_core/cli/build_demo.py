"""Makes ``assets/demo``: the corpus, the model trained on it, recorded runs of each kind and the traces' ground truth.

``python -m untrac_core.cli.build_demo`` remakes all of it in about an hour on one core: a quarter of that goes into
UnTrac, and a quarter into the ground truth, which retrains the model without each subset for each of three seeds.
``python -m untrac_core.cli.build_demo unlearning`` remakes that recorded run alone; the others' names are
``validation``, ``run`` and ``untrac``, for which the corpus, the model and the ground truth are kept as they are.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from untrac_core.data.prompts import load_prompts
from untrac_core.data.tokens import ExampleSet
from untrac_core.demo.recorded import RECORDED, TRACES
from untrac_core.demo.requests import RECIPE, demo_prompts, demo_spec, demo_unlearning, demo_validation
from untrac_core.demo.texts import generate, write
from untrac_core.paths import DEMO
from untrac_core.progress import Progress
from untrac_core.results.folders import GROUND_TRUTH, PLANTED, UNLEARNED, write_frame
from untrac_core.specs import Recipe, RunSpec, Training, TrainSpec, method_spec
from untrac_core.tasks.run import run_task
from untrac_core.training.leave_one_out import LeaveOneOut, truth_frame
from untrac_core.training.recipe import prepare, train

SEEDS = (0, 1, 2)
REQUESTS: dict[str, Callable[[], RunSpec]] = {
    "run": partial(demo_spec, method_spec("untrac-inv"), limit=None),
    "untrac": partial(demo_spec, method_spec("untrac"), limit=None),
    "validation": demo_validation,
    "unlearning": demo_unlearning,
}
"""By the folder of a recorded run, what it asked."""


class Printed:
    """Says on the terminal what is being done."""

    def phase(self, text: str) -> None:
        """One line a phase."""
        print(text, flush=True)

    def tick(self, done: int, total: int) -> None:
        """Nothing: phases are short."""


def build(folder: Path = DEMO, seeds: Sequence[int] = SEEDS, progress: Progress | None = None) -> None:
    """Remake the bundle from nothing; the same machine and versions give the same bytes."""
    progress = progress or Printed()
    torch.set_num_threads(1)
    corpus = generate()
    for part in ("subsets", "prompts", "model", *RECORDED):
        shutil.rmtree(folder / part, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write(corpus, folder)
    train(RECIPE, folder / "model", progress)
    truth = leave_out_influence(RECIPE, seeds, progress)
    for part in TRACES:
        record(part, folder, progress)
        shutil.copyfile(folder / PLANTED, folder / part / PLANTED)
        write_frame(truth, folder / part / GROUND_TRUTH)
    for part in RECORDED:
        if part not in TRACES:
            record(part, folder, progress)


def record(part: str, folder: Path, progress: Progress) -> None:
    """Run one request of the demo anew and put its result into the bundle; what lies beside its tables stays."""
    run_task(REQUESTS[part](), folder / part, progress, threads=1)
    # Its weights are as large as the rest of the bundle; running the request again makes the same.
    shutil.rmtree(folder / part / UNLEARNED, ignore_errors=True)


def leave_out_influence(recipe: TrainSpec, seeds: Sequence[int], progress: Progress) -> pd.DataFrame:
    """The true influence by :mod:`untrac_core.training.leave_one_out`: the table of ``ground_truth.parquet``."""
    material = prepare(recipe)
    eval_sets = [
        ExampleSet(
            material.encoder.items(chosen, context=recipe.block_size, where=prompts.name), "", prompts.name, side
        )
        for prompts in demo_prompts()
        for side, chosen in load_prompts(prompts).sides.items()
    ]
    training = Training(**{name: getattr(recipe, name) for name in Recipe.model_fields})
    with tempfile.TemporaryDirectory() as work:
        leave_out = LeaveOneOut(training, material, None, eval_sets, torch.device("cpu"), Path(work), progress)
        cells = leave_out.cells(seeds)
        return truth_frame(cells, [leave_out.run(cell) for cell in cells])


if __name__ == "__main__":
    torch.set_num_threads(1)
    for named in sys.argv[1:]:
        record(named, DEMO, Printed())
    if len(sys.argv) == 1:
        build()
