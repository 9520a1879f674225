"""Makes ``assets/demo``: the corpus, the model trained on it, recorded runs by both methods and their ground truth.

``python -m untrac_core.cli.build_demo`` remakes all of it in about 45 minutes on one core: a quarter of that goes into
UnTrac, and a quarter into the ground truth, which retrains the model without each subset for each of three seeds.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from untrac_core.data.prompts import load_prompts
from untrac_core.data.tokens import ExampleSet
from untrac_core.demo.recorded import RECORDED
from untrac_core.demo.requests import RECIPE, demo_prompts, demo_spec
from untrac_core.demo.texts import generate, write
from untrac_core.paths import DEMO
from untrac_core.progress import Progress
from untrac_core.results.folders import GROUND_TRUTH, PLANTED, write_frame
from untrac_core.specs import Recipe, Training, TrainSpec, method_spec
from untrac_core.tasks.run import trace
from untrac_core.training.leave_one_out import LeaveOneOut, truth_frame
from untrac_core.training.recipe import prepare, train

SEEDS = (0, 1, 2)


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
    for part in RECORDED:
        method = method_spec("untrac" if part == "untrac" else "untrac-inv")
        trace(demo_spec(method, limit=None), folder / part, progress, threads=1)
        shutil.copyfile(folder / PLANTED, folder / part / PLANTED)
        write_frame(truth, folder / part / GROUND_TRUTH)


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
    build()
