"""The task of an ``unlearn`` run: retrain without the target, unlearn it, and read all models in the same way.

First the models that never saw the target (the gold), then, told where these stand, the model as it is, every method
by every seed, and the deep check's models. Each is a cell: a table as :mod:`untrac_core.unlearning.readings` has it.
"""

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

from untrac_core.attribution.protocol import examples_digest
from untrac_core.cell_files import computed
from untrac_core.cells import Cell
from untrac_core.check import cut_notes
from untrac_core.data.expansion import expand
from untrac_core.devices import own_peak_mb
from untrac_core.environment import data_digests
from untrac_core.leave_out import Start
from untrac_core.models import LoadedModel, choose_device, load_model, settle_torch
from untrac_core.progress import Progress, Silent
from untrac_core.removal_data import read_records, removal_data, target_words
from untrac_core.removal_results import write_removal
from untrac_core.results import Removed, load_removed
from untrac_core.sampling import end_tokens
from untrac_core.scoring import make_scorer
from untrac_core.specs import ModelRef, UnlearnSpec
from untrac_core.unlearn_spec import BEFORE, DEEP, GOLD
from untrac_core.unlearning.gold import Gold
from untrac_core.unlearning.readings import fact, mean_loss
from untrac_core.unlearning.subjects import CONTROL, Subjects
from untrac_core.unlearning.writing import writing_prompts

NUMERICS = 1
"""Goes up when the same inputs would give other numbers; cached cells of another number are not reused."""
WORK = ".work"
"""Of a run's folder, while it is made: models, checkpoints, and the course of what is unlearned now."""
DEEP_SEED = 10_000
"""The seeds of the deep check's models begin here: none of them is one that the table shows."""


class Remover:
    """An ``unlearn`` run in this process: reads its data and loads its model when made, then works cell by cell.

    Three stages: ``cells``, the retrained models; then the model as it is, the methods and the deep check; and last the
    controls, which take as many steps as the method did. Raises :class:`InputError` where
    the spec cannot be run. ``work``: a folder for models on the way; ``golds``: one for retrained models, which other
    requests about the same target share.
    """

    def __init__(
        self,
        spec: UnlearnSpec,
        work: Path,
        progress: Progress | None = None,
        threads: int | None = None,
        golds: Path | None = None,
    ) -> None:
        self.progress = progress or Silent()
        settle_torch(threads)
        self.spec = spec = expand(spec, self.progress)
        self.work = work
        self.progress.phase("reading prompt sets and training subsets")
        self.records = read_records(spec, self.progress)
        self.progress.phase(f"loading the model {spec.model.path}")
        self.model = self._loaded(spec.model)
        self.data = removal_data(spec, self.records, self.model.encoder, self.model.facts.context)
        prompts: list[str] = []
        scorer = None
        if spec.writing is not None:
            prompts = writing_prompts(spec.writing, self.records.prompts)
            if spec.writing.scorer is not None:
                scorer = make_scorer(spec.writing.scorer, self.model.device, self.progress)
        gold = self._gold(golds or work)
        self.subjects = Subjects(spec, self.data, self.model, gold, prompts, scorer, work, self.progress)
        self.cells = [] if gold is None else [self._cell(GOLD, seed) for seed in spec.seeds]
        controls = [each.title for each in spec.methods if each.name == CONTROL and spec.method.name != CONTROL]
        titles = [each.title for each in spec.methods if each.title not in controls]
        self.looks = [
            self._cell(BEFORE, 0),
            *(self._cell(title, seed) for title in titles for seed in spec.seeds),
            *(self._cell(DEEP, DEEP_SEED + number) for number in range(spec.deep)),
        ]
        # One seed of a control will do: what it shows is as large as what the method does, or it is not.
        self.controls = [self._cell(title, spec.seeds[0]) for title in controls]

    @property
    def later(self) -> list[list[Cell]]:
        """The stages after the retrained models."""
        return [self.looks, self.controls]

    @property
    def all_cells(self) -> list[Cell]:
        """Of all stages, in the order of their tables."""
        return [*self.cells, *self.looks, *self.controls]

    def tell(self, frames: Sequence[pd.DataFrame]) -> None:
        """The tables so far: how unlikely the texts are to models that never saw them, and the method's steps."""
        watched = self.subjects.watched
        levels = [mean_loss(frame, watched, "forget") for frame in frames[: len(self.cells)]]
        self.subjects.level = sum(levels) / len(levels) if levels else None
        for cell, frame in zip(self.all_cells, frames, strict=False):
            if cell.method == self.spec.method.title and self.spec.method.name != "retrain":
                self.subjects.steps[cell.seed] = int(frame.loc[frame["quantity"] == "steps", "value"].iloc[0])

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """One model's table; the weights are as before when it returns."""
        started = time.monotonic()
        self.progress.phase(cell.label)
        frame = self.subjects.table(cell)
        return pd.concat([frame, fact(0, "seconds", time.monotonic() - started)], ignore_index=True)

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str = ""
    ) -> dict[str, Any]:
        """Write the result folder from the tables of ``cells`` and ``looks``; returns the summary, written last."""
        self.progress.phase("writing the result")
        folder.mkdir(parents=True, exist_ok=True)
        self.tell(frames)
        exported = self.subjects.exported(self.looks[1])
        summary = write_removal(self, folder, frames, exported, seconds, peak_memory_mb, run)
        shutil.rmtree(self.work, ignore_errors=True)
        return summary

    @property
    def target(self) -> str:
        """What is to go, in words."""
        return target_words(self.spec)

    @property
    def drawn_prompts(self) -> list[str]:
        """The prompt of every text that a model writes, in order."""
        samples = 0 if self.spec.writing is None else self.spec.writing.sampling.samples
        return [prompt for prompt in self.subjects.prompts for _ in range(samples)]

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
        if not self.data.held_out:
            notes.append(
                "There is no unseen text of the target's source, so no membership test and no relative exposure."
            )
        return notes

    def _loaded(self, ref: ModelRef) -> LoadedModel:
        lora = any(each.moves == "lora" for each in self.spec.methods)
        return load_model(ref, choose_device(self.spec.device), "lora" if lora else "all", self.progress)

    def _gold(self, work: Path) -> Gold | None:
        spec, base = self.spec, self.spec.base
        if spec.training is None:
            return None
        start = None
        if base is not None:
            device = self.model.device
            loaded = load_model(base, device, "all", self.progress)
            start = Start(loaded.digest, lambda: load_model(base, device, "all").module, loaded.tokenizer)
        gold = Gold(spec.training, self.data.trained, self.data.is_target(), start, self.model, work, self.progress)
        gold.check()
        return gold

    def _cell(self, method: str, seed: int) -> Cell:
        words = {
            GOLD: f"a model that never saw {target_words(self.spec)}, seed {seed}",
            BEFORE: "the model as it is",
            DEEP: f"deep check, pair {seed - DEEP_SEED + 1}",
        }
        return Cell(self._key(method, seed), words.get(method, f"{method}, seed {seed}"), seed, method=method)

    def _key(self, method: str, seed: int) -> str:
        content = self._shared_key | {"method": method, "seed": seed}
        if method not in (GOLD, BEFORE):
            chosen = self.spec.method if method == DEEP else next(m for m in self.spec.methods if m.title == method)
            if chosen.name == CONTROL:
                content |= {"as many steps as": self.spec.method.model_dump(mode="json", exclude={"label"})}
            content |= {"of": chosen.model_dump(mode="json", exclude={"label"}), "stop": self.spec.stop.model_dump()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _shared_key(self) -> dict[str, Any]:
        """All that the tables of every cell depend on."""
        spec, model, subjects = self.spec, self.model, self.subjects
        gold, scorer = subjects.gold, subjects.scorer
        return {
            "removal": NUMERICS,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": model.device.type,
            "precision": str(model.precision),
            "moves": model.moves,
            "model": model.digest,
            "ends": end_tokens(model),
            "gold": None if gold is None else [gold.identity(seed) for seed in spec.seeds],
            "forget": examples_digest(self.data.forget),
            "retain": examples_digest(subjects.retained),
            "watched": [[w.kind, w.name, w.side, examples_digest(w.examples)] for w in subjects.watched],
            "keys": subjects.key_words,
            "relearn": spec.relearn,
            "writing": None if spec.writing is None else [spec.writing.sampling.model_dump(), subjects.prompts],
            "scorer": None if scorer is None else [scorer.digest, scorer.threshold],
        }


def unlearn(
    spec: UnlearnSpec,
    out: Path,
    progress: Progress | None = None,
    cache: Path | None = None,
    threads: int | None = None,
) -> Removed:
    """Run a request in this process and return its result; ``cache``: a folder in which finished cells are kept."""
    started = time.monotonic()
    remover = Remover(spec, out / WORK, progress, threads, None if cache is None else cache / "golds")
    frames = computed(remover.cells, remover.run_cell, cache)
    for stage in remover.later:
        remover.tell(frames)
        frames += computed(stage, remover.run_cell, cache)
    remover.write(out, frames, time.monotonic() - started, own_peak_mb())
    return load_removed(out)
