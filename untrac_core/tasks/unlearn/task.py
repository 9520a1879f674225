"""The task of an ``unlearn`` run: retrain without the forget set, unlearn it, and read all models in the same way.

First the models that never saw the forget set (the retrained model), then, told where these stand, the model as it
is, every method by every seed, and the ensemble audit's models. Each is a cell: a table as
:mod:`untrac_core.unlearning.evaluate` has it."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from untrac_core.cells import Cell
from untrac_core.data.tokens import examples_digest
from untrac_core.models.loading import LoadedModel, choose_device, load_model, settle_torch
from untrac_core.models.sampling import end_tokens
from untrac_core.models.scoring import make_scorer
from untrac_core.progress import Progress, Silent
from untrac_core.results.environment import data_digests
from untrac_core.specs import ModelRef, UnlearnSpec
from untrac_core.specs.catalogue import CONTROL
from untrac_core.specs.unlearn import BEFORE, ENSEMBLE, RETRAINED
from untrac_core.tasks.base import Place
from untrac_core.tasks.prepare import cut_notes
from untrac_core.tasks.unlearn.data import forget_set_words, read_records, unlearn_inputs
from untrac_core.tasks.unlearn.models import EvaluatedModels, UnlearnRun
from untrac_core.tasks.unlearn.neighbours import with_neighbours
from untrac_core.tasks.unlearn.results import write_result
from untrac_core.training.retraining import BaseModelStart, Retraining
from untrac_core.unlearning.evaluate import fact, mean_loss
from untrac_core.unlearning.generation import writing_prompts

NUMERICS = 1
"""Goes up when the same inputs would give other numbers; cached cells of another number are not reused."""
WORK = ".work"
"""Of a run's folder, while it is made: models, checkpoints, and the history of what is unlearned now."""
ENSEMBLE_SEED = 10_000
"""The seeds of the ensemble audit's models begin here: none of them is one that the table shows."""


class UnlearnTask:
    """An ``unlearn`` run in this process: reads its data and loads its model when made, then works cell by cell.

    Three stages: ``cells``, the retrained models; then the model as it is, the methods and the ensemble audit; and
    last the controls, which take as many steps as the method did. Raises :class:`InputError` where the spec cannot
    be run. ``work``: a folder for models on the way; ``retrained_models``: one for retrained models, which other
    requests about the same target share."""

    def __init__(
        self,
        spec: UnlearnSpec,
        work: Path,
        progress: Progress | None = None,
        threads: int | None = None,
        retrained_models: Path | None = None,
    ) -> None:
        self.progress = progress or Silent()
        settle_torch(threads)
        self.spec = spec
        self.work = work
        self.progress.phase("reading prompt sets and training subsets")
        self.records = read_records(spec, self.progress)
        self.progress.phase(f"loading the model {spec.model.path}")
        self.model = self._loaded(spec.model)
        self.data = unlearn_inputs(spec, self.records, self.model.encoder, self.model.facts.context)
        if spec.forget.neighbours:
            self.progress.phase("hidden states of the forget set and of the retain set")
            self.data = with_neighbours(self.data, self.model, spec.forget.neighbours, self.progress)
        prompts: list[str] = []
        scorer = None
        if spec.generation is not None:
            prompts = writing_prompts(spec.generation, self.records.prompts)
            if spec.generation.scorer is not None:
                scorer = make_scorer(spec.generation.scorer, self.model.device, self.progress)
        retrained = self._retrained(retrained_models or work)
        self.models = EvaluatedModels(spec, self.data, self.model, retrained, prompts, scorer, work, self.progress)
        self.cells = [] if retrained is None else [self._cell(RETRAINED, seed) for seed in spec.seeds]
        controls = [each.title for each in spec.methods if each.name == CONTROL and spec.method.name != CONTROL]
        titles = [each.title for each in spec.methods if each.title not in controls]
        self.eval_points = [
            self._cell(BEFORE, 0),
            *(self._cell(title, seed) for title in titles for seed in spec.seeds),
            *(self._cell(ENSEMBLE, ENSEMBLE_SEED + number) for number in range(spec.ensemble_size)),
        ]
        # One seed of a control will do: what it shows is as large as what the method does, or it is not.
        self.controls = [self._cell(title, spec.seeds[0]) for title in controls]

    @property
    def later(self) -> list[list[Cell]]:
        """The stages after the retrained models."""
        return [self.eval_points, self.controls]

    @property
    def all_cells(self) -> list[Cell]:
        """Of all stages, in the order of their tables."""
        return [*self.cells, *self.eval_points, *self.controls]

    def tell(self, frames: Sequence[pd.DataFrame]) -> None:
        """The tables so far: how unlikely the texts are to models that never saw them, and the method's steps."""
        eval_sets = self.models.eval_sets
        levels = [mean_loss(frame, eval_sets, "forget") for frame in frames[: len(self.cells)]]
        self.models.level = sum(levels) / len(levels) if levels else None
        for cell, frame in zip(self.all_cells, frames, strict=False):
            if cell.method == self.spec.method.title and self.spec.method.name != "retrain":
                self.models.steps[cell.seed] = int(frame.loc[frame["quantity"] == "steps", "value"].iloc[0])

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """One model's table; the weights are as before when it returns."""
        started = time.monotonic()
        self.progress.phase(cell.label)
        frame = self.models.table(cell)
        return pd.concat([frame, fact(0, "seconds", time.monotonic() - started)], ignore_index=True)

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str = ""
    ) -> dict[str, Any]:
        """Write the result folder from the tables of ``cells``; returns the summary, which is written last."""
        self.progress.phase("writing the result")
        folder.mkdir(parents=True, exist_ok=True)
        self.tell(frames)
        exported = self.models.exported(self.eval_points[1])
        done = UnlearnRun(self.spec, self.model, self.data, self.models, self.all_cells, self.digests(), self.notes())
        summary = write_result(done, folder, frames, exported, seconds, peak_memory_mb, run)
        shutil.rmtree(self.work, ignore_errors=True)
        return summary

    def digests(self) -> dict[str, str]:
        """Content hashes of all that was read."""
        own = {part: data.digest for part, data in self.records.own.items()}
        return data_digests(self.records.prompts, self.records.subsets) | own

    def notes(self) -> list[str]:
        """What is not used and why, and what a reader should know of the comparison."""
        notes = cut_notes(self.records.prompts, {}, self.data.prompts, {}) + self.data.notes
        if self.spec.training is None:
            notes.append(
                "No recipe is known, so no model that never saw the texts: what stands in for it is weaker and said so."
            )
        elif len(self.spec.seeds) < 2:
            notes.append("One seed of retraining shows no floor: how far two retrained models differ is not known.")
        if not self.data.holdout:
            notes.append("There is no holdout set, so no membership test and no relative exposure.")
        return notes

    def _loaded(self, ref: ModelRef) -> LoadedModel:
        lora = any(getattr(each, "trainable", "") == "lora" for each in self.spec.methods)
        return load_model(ref, choose_device(self.spec.device), "lora" if lora else "all", self.progress)

    def _retrained(self, work: Path) -> Retraining | None:
        spec, base = self.spec, self.spec.base
        if spec.training is None:
            return None
        start = None
        if base is not None:
            device = self.model.device
            loaded = load_model(base, device, "all", self.progress)
            start = BaseModelStart(loaded.digest, lambda: load_model(base, device, "all").module, loaded.tokenizer)
        retrained = Retraining(
            spec.training, self.data.trained, self.model.facts.vocab_size, start, self.model.tokenizer,
            self.model.device, work, self.progress, self.data.in_forget_set(),
        )  # fmt: skip
        retrained.check(self.model)
        return retrained

    def _cell(self, method: str, seed: int) -> Cell:
        words = {
            RETRAINED: f"a model that never saw {forget_set_words(self.spec)}, seed {seed}",
            BEFORE: "the model as it is",
            ENSEMBLE: f"ensemble audit, pair {seed - ENSEMBLE_SEED + 1}",
        }
        return Cell(self._key(method, seed), words.get(method, f"{method}, seed {seed}"), seed, method=method)

    def _key(self, method: str, seed: int) -> str:
        content = self._shared_key | {"method": method, "seed": seed}
        if method not in (RETRAINED, BEFORE):
            chosen = self.spec.method if method == ENSEMBLE else next(m for m in self.spec.methods if m.title == method)
            if chosen.name == CONTROL:
                content |= {"as many steps as": self.spec.method.model_dump(mode="json", exclude={"label"})}
            content |= {"of": chosen.model_dump(mode="json", exclude={"label"}), "stop": self.spec.stop.model_dump()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _shared_key(self) -> dict[str, Any]:
        """All that the tables of every cell depend on."""
        spec, model, models = self.spec, self.model, self.models
        retrained, scorer = models.retrained, models.scorer
        return {
            "removal": NUMERICS,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": model.device.type,
            "dtype": str(model.dtype),
            "trainable": model.trainable,
            "model": model.digest,
            "ends": end_tokens(model),
            "retrained": None if retrained is None else [retrained.identity(seed) for seed in spec.seeds],
            "forget": examples_digest(self.data.forget),
            "retain": examples_digest(models.retained),
            "watched": [[w.kind, w.name, w.side, examples_digest(w.examples)] for w in models.eval_sets],
            "keys": models.key_words,
            "relearn_steps": spec.relearn_steps,
            "generation": None if spec.generation is None else [spec.generation.sampling.model_dump(), models.prompts],
            "scorer": None if scorer is None else [scorer.digest, scorer.threshold],
        }


def open_task(spec: UnlearnSpec, place: Place) -> UnlearnTask:
    """The task of a run at a place."""
    return UnlearnTask(spec, place.folder / WORK, place.progress, place.threads, place.kept("retrained_models"))
