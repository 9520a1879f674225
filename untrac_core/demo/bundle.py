"""Makes ``assets/demo``: the corpus, the model trained on it, recorded runs by both methods and their ground truth.

``python -m untrac_core.demo.bundle`` remakes all of it in about 30 minutes on one core: a third of that goes into the
ground truth, which retrains the model without each subset for each of three seeds.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from untrac_core.attribution.protocol import Part
from untrac_core.data.prompts import load_prompts
from untrac_core.demo.request import demo_prompts, demo_spec
from untrac_core.demo.texts import generate, write
from untrac_core.demo.unlearning import RECIPE
from untrac_core.engine.store import RECORDED
from untrac_core.home import DEMO
from untrac_core.leave_out import LeaveOut, truth_frame
from untrac_core.progress import Progress
from untrac_core.results import DOSES, TRUTH, write_frame
from untrac_core.specs import MethodSpec, Recipe, Training, TrainSpec
from untrac_core.tracing import trace
from untrac_core.training import prepare, train

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
        method = MethodSpec(name="untrac" if part == "untrac" else "untrac-inv")
        trace(demo_spec(method, limit=None), folder / part, progress, threads=1)
        shutil.copyfile(folder / DOSES, folder / part / DOSES)
        write_frame(truth, folder / part / TRUTH)


def leave_out_influence(recipe: TrainSpec, seeds: Sequence[int], progress: Progress) -> pd.DataFrame:
    """The true influence by :mod:`untrac_core.leave_out`: the table of ``truth.parquet``."""
    material = prepare(recipe)
    watched = [
        Part(material.encoder.items(chosen, context=recipe.block, where=prompts.name), "", prompts.name, side)
        for prompts in demo_prompts()
        for side, chosen in load_prompts(prompts).sides.items()
    ]
    training = Training(**{name: getattr(recipe, name) for name in Recipe.model_fields})
    with tempfile.TemporaryDirectory() as work:
        leave_out = LeaveOut(training, material, None, watched, torch.device("cpu"), Path(work), progress)
        cells = leave_out.cells(seeds)
        return truth_frame(cells, [leave_out.run(cell) for cell in cells])


if __name__ == "__main__":
    build()
