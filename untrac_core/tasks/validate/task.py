"""The task of a ``validate`` run: retrain without each subset, ask every method, and say which of them was right."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from untrac_core.attribution.settings import trainable_of
from untrac_core.cells import Cell
from untrac_core.data import overlap
from untrac_core.errors import InputError
from untrac_core.fileio import write_bytes
from untrac_core.hub.locate import model_info
from untrac_core.models.devices import peak_begins, peak_so_far_mb
from untrac_core.progress import Progress, Silent
from untrac_core.results.environment import data_digests, environment
from untrac_core.results.folders import (
    ENVIRONMENT,
    ESTIMATES,
    GROUND_TRUTH,
    SPEC,
    SUMMARY,
    write_frame,
    write_json,
)
from untrac_core.specs import MethodSpec, ModelRef, ValidateSpec
from untrac_core.specs.files import to_yaml
from untrac_core.stats.mixture import large_shares
from untrac_core.tasks.base import Place
from untrac_core.tasks.prepare import cut_notes, encode_prompts, load_records, same_texts
from untrac_core.tasks.validate.additions.base import Addition
from untrac_core.tasks.validate.additions.choices import choice_summary
from untrac_core.tasks.validate.additions.controls import Controls, check_controls
from untrac_core.tasks.validate.additions.documents import DocumentHalves
from untrac_core.tasks.validate.additions.halves import Halves
from untrac_core.tasks.validate.additions.pairs import Pairs
from untrac_core.tasks.validate.additions.writings import Writings
from untrac_core.tasks.validate.check import recipe_facts, unread_prompts, validation_flop
from untrac_core.tasks.workload import inverse_workload

if TYPE_CHECKING:
    from untrac_core.attribution.base import AttributionContext
    from untrac_core.attribution.outcome import MethodRunner
    from untrac_core.data.tokens import Packed
    from untrac_core.models.loading import LoadedModel
    from untrac_core.tasks.validate.findings import Findings
    from untrac_core.training.retraining import BaseModelStart

WORK = ".work"
"""Of a result folder, while it is made: the full models that the methods look at."""


class ValidateTask:
    """A ``validate`` run in this process: reads its data when made, then trains or asks one cell at a time.

    The methods use the full model of the first seed; with ``training.init`` ``continued``, the spec's model itself.
    Raises :class:`InputError` where the spec cannot be run. ``work``: a folder for the models on the way.
    """

    def __init__(
        self, spec: ValidateSpec, work: Path, progress: Progress | None = None, threads: int | None = None
    ) -> None:
        self.progress = progress or Silent()
        self.progress.phase("loading torch")
        from untrac_core.data.tokens import ExampleSet
        from untrac_core.models.loading import choose_device, settle_torch
        from untrac_core.training.leave_one_out import LeaveOneOut
        from untrac_core.training.recipe import own_encoder, pack

        settle_torch(threads)
        self.spec = spec
        panels = {method.title: _alone(method) for method in spec.methods}
        self.progress.phase("reading prompt sets and training subsets")
        self.prompt_data, self.subset_data = load_records(spec, self.progress)
        self.device = choose_device(spec.device)
        training = spec.training
        self.start, encoder, context = None, None, training.block_size
        if spec.model is not None:
            self.start, encoder, context = self._start(spec.model, training.block_size)
        check_controls(spec, self.subset_data)
        self.progress.phase("packing the training text")
        encoder = encoder or own_encoder(self.subset_data, training.vocab_size)
        material = pack(self.subset_data, encoder, training.block_size, equal=training.equal_tokens)
        self.notes = material.notes
        self.context, self.prompts = context, encode_prompts(encoder, self.prompt_data, context)
        eval_sets = [
            ExampleSet(items, "", prompt_set, side)
            for prompt_set, sides in self.prompts.items()
            for side, items in sides.items()
        ]
        self.material = material
        keep = spec.seeds[0] if spec.generation is not None else None
        self.leave_out = LeaveOneOut(training, material, self.start, eval_sets, self.device, work, self.progress, keep)
        self.truth_cells = self.leave_out.cells(spec.seeds)
        self.looked_at = self.leave_out.looked_at(spec.samples_per_subset)
        self.controls = Controls(spec, self.leave_out, self.looked_at, self._study)
        self.writings = Writings(spec, self.leave_out, self.prompt_data, self.progress)
        self.additions: list[Addition] = [
            Halves(spec, self.leave_out),
            DocumentHalves(spec, self.leave_out),
            Pairs(spec, self.leave_out),
            self.controls,
            self.writings,
        ]
        self.studies = {method.title: self._study(method) for method in spec.methods}
        self.panels = panels
        self._busy = ""
        asked = [cell for title, panel in panels.items() for cell in panel.cells(self.studies[title])]
        self.cells = [*self.trainings, *asked, *self.controls.asked]

    @property
    def trainings(self) -> list[Cell]:
        """The cells that train a model."""
        return [*self.truth_cells, *(cell for addition in self.additions for cell in addition.cells)]

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """One cell's table, with ``seconds`` and ``peak_memory_mb`` that it took here."""
        if cell.method != self._busy:
            self._let_go(self._busy)
            self._busy = cell.method
        if cell in self.controls.asked:
            self.controls.load(cell)
        panel = None if cell in self.trainings else self.panels.get(cell.method)  # a method may be called as the truth
        if panel is not None:  # loading, perhaps even training, the model is no cost of the method
            _ = self.studies[cell.method].model
        started = time.monotonic()
        peak_begins()
        if cell in self.controls.asked:
            frame = self.controls.run(cell)
        else:
            frame = self._truth(cell) if panel is None else panel.run(self.studies[cell.method], cell)
        return frame.assign(seconds=time.monotonic() - started, peak_memory_mb=peak_so_far_mb())

    def _truth(self, cell: Cell) -> pd.DataFrame:
        """A training's losses, or what its model writes; of the full models the one that methods look at is kept."""
        if cell in self.writings.cells:
            return self.writings.run(cell)
        frame = self.leave_out.run(cell)
        if not cell.subset and (cell.seed != self.spec.seeds[0] or self.spec.training.init == "continued"):
            self.leave_out.full.discard(cell.seed)
        return frame

    def _let_go(self, title: str) -> None:
        """Forget what a method holds in memory: its model, its statistics, its scores."""
        self.controls.let_go(title)
        for method in self.spec.methods:
            if method.title == title:
                self.panels[title], self.studies[title] = _alone(method), self._study(method)

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str = ""
    ) -> dict[str, Any]:
        """Write the result folder from the cells' tables, in the order of ``cells``; returns the summary."""
        self.progress.phase("comparing the methods with the truth")
        folder.mkdir(parents=True, exist_ok=True)
        findings = self.findings(frames)
        write_frame(findings.truth_table(), folder / GROUND_TRUTH)
        write_frame(findings.estimate_table, folder / ESTIMATES)
        added = self._added(folder, findings, frames)
        write_bytes(to_yaml(self.spec).encode(), folder / SPEC)
        write_json(self._environment(), folder / ENVIRONMENT)
        summary: dict[str, Any] = {"run": run, "name": self.spec.name, "kind": self.spec.kind}
        summary["init"] = self.spec.training.init
        summary |= findings.summary() | added | {"notes": self._notes(), "data": self._data()}
        summary["warnings"] = self._warnings() + summary["warnings"]
        work = inverse_workload(self.prompts, self.looked_at, len(self.spec.estimate_seeds))
        facts = recipe_facts(self.spec.training) if self.spec.model is None else model_info(self.spec.model)
        summary |= {"flop": validation_flop(self.spec, facts, work), "seconds": seconds}
        summary |= {"peak_memory_mb": peak_memory_mb}
        write_json(summary, folder / SUMMARY)
        shutil.rmtree(self.leave_out.work, ignore_errors=True)
        return summary

    def findings(self, frames: Sequence[pd.DataFrame]) -> Findings:
        """What the tables of all cells, in the order of ``cells``, say of the truth and of every method."""
        from untrac_core.tasks.validate.findings import Findings

        count, at = len(self.truth_cells), len(self.trainings)
        outcomes = []
        for title, panel in self.panels.items():
            own = [cell for cell in self.cells[len(self.trainings) :] if cell.method == title]
            outcomes += panel.outcomes(self.studies[title], own, frames[at : at + len(own)])
            at += len(own)
        clusters = next(iter(self.studies.values())).item_clusters
        return Findings(self.spec, self.truth_cells, frames[:count], outcomes, clusters)

    def _added(self, folder: Path, findings: Findings, frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
        """What the summary says of all that was asked beside leave-one-out; their tables are written."""
        at, told = len(self.truth_cells), choice_summary(findings)
        for addition in self.additions:
            told |= addition.tell(folder, findings, frames[at : at + len(addition.cells)])
            at += len(addition.cells)
        if self.controls.asked:
            told["controls"] += self.controls.method_rows(frames[-len(self.controls.asked) :])
        return told

    def _start(self, ref: ModelRef, block: int) -> tuple[BaseModelStart, Any, int]:
        """Where training begins with a model that exists: its weights, its encoder, and its context."""
        from untrac_core.training.retraining import BaseModelStart

        model = self._loaded(ref, "all")
        context = model.facts.context
        if context is not None and block > context:
            raise InputError(
                f"a block of {block} tokens is longer than the model's context of {context}",
                field="training.block_size",
                hint=f"write at most {context}",
            )
        start = BaseModelStart(model.digest, lambda: self._loaded(ref, "all").module, model.tokenizer)
        return start, model.encoder, context or block

    def _loaded(self, ref: ModelRef, trainable: Any) -> LoadedModel:
        from untrac_core.models.loading import load_model

        exact = ref.model_copy(update={"dtype": "float32"})  # a difference of trainings is small beside bfloat16's
        return load_model(exact, self.device, trainable, self.progress)

    def _study(
        self, method: MethodSpec, parts: dict[str, Packed] | None = None, sizes: dict[str, float] | None = None
    ) -> AttributionContext:
        """What a method is asked about; each has a study of its own, so that it pays for its own statistics.

        ``parts``, with ``sizes``: of the training, in the place of the subsets.
        """
        from safetensors.torch import load_file
        from safetensors.torch import load_model as load_weights

        from untrac_core.attribution.base import AttributionContext, Checkpoint, ModelIdentity

        spec, seed = self.spec, self.spec.seeds[0]
        trainable = trainable_of(method)
        further = spec.training.init == "continued"
        # A trace of the same model keeps cells of its own: those lack the time and the memory that are compared here.
        digest = f"{self.start.digest} timed" if further and self.start else self.leave_out.full.identity(seed)

        @cache
        def load() -> LoadedModel:
            if further and spec.model is not None:
                return self._loaded(spec.model, trainable)
            return self._loaded(ModelRef(path=os.fspath(self.leave_out.full.folder(seed))), trainable)

        def checkpoint(weights: str, moments: str, rate: float) -> Checkpoint:
            def put() -> None:
                load_weights(load().module, os.fspath(self.leave_out.full.folder(seed) / weights))

            return Checkpoint(put, rate, lambda: load_file(self.leave_out.full.folder(seed) / moments))

        kept = [] if further else self.leave_out.full.checkpoints()
        return AttributionContext(
            ModelIdentity(digest, self.device.type, "torch.float32", trainable),
            load,
            self.prompt_data,
            self.prompts,
            self.subset_data,
            parts or self.looked_at,
            spec.estimate_seeds,
            self.progress,
            [checkpoint(*files) for files in kept],
            sizes or {name: float(len(blocks)) for name, blocks in self.material.blocks.items()},
            single_texts=spec.document_halves > 0,
        )

    def _notes(self) -> list[str]:
        notes = cut_notes(self.prompt_data, {}, self.prompts, {}) + self.notes
        notes += unread_prompts(self.subset_data)
        for name, packed in self.looked_at.items():
            if len(packed.blocks) < packed.pool:
                notes.append(
                    f"subset {name!r}: methods look at a fixed random {len(packed.blocks)} of the {packed.pool} blocks "
                    "that are trained on"
                )
        return notes

    def _warnings(self) -> list[str]:
        spec = self.spec
        warnings = same_texts(self.subset_data) + overlap.warnings_for(self.prompt_data, self.subset_data)
        warnings += large_shares({name: float(len(blocks)) for name, blocks in self.material.blocks.items()})
        unfit = [
            f"{left} of {left + len(self.prompts[name][side])} items of {name}, {side}"
            for (name, side), left in self._left_out().items()
            if left
        ]
        if unfit:
            warnings.append(
                f"Left out, as their prompt fills the context of {self.context} tokens: {', '.join(unfit)}. What is "
                "left are the shorter ones, no fair sample: longer blocks would keep them all."
            )
        steps, batch = spec.training.steps, spec.training.batch_size
        passes = steps * batch / sum(len(blocks) for blocks in self.material.blocks.values())
        if passes > 4:
            warnings.append(
                f"Training passes over the text {passes:.0f} times: a model that knows it by heart shows less of where "
                "it has it from."
            )
        if spec.training.init == "continued":
            warnings.append(
                "The truth here is what more training on a subset does to the finished model, not what its own "
                "training did."
            )
        return warnings

    def _left_out(self) -> dict[tuple[str, str], int]:
        """Of each side, the items whose prompt leaves no room in the context."""
        return {
            (name, side): len(self.prompt_data[name].sides[side]) - len(items)
            for name, sides in self.prompts.items()
            for side, items in sides.items()
        }

    def _data(self) -> dict[str, Any]:
        left_out = self._left_out()
        return {
            "prompt_sets": {
                name: {
                    side: {
                        "items": len(items),
                        "left_out": left_out[name, side],
                        "tokens": sum(item.tokens for item in items),
                    }
                    for side, items in sides.items()
                }
                for name, sides in self.prompts.items()
            },
            "subsets": {
                name: {
                    "documents": len(self.subset_data[name].documents),
                    "trained_blocks": len(blocks),
                    "blocks": len(self.looked_at[name].blocks),
                    "tokens": self.looked_at[name].tokens,
                }
                for name, blocks in self.material.blocks.items()
            },
        }

    def _environment(self) -> dict[str, Any]:
        import torch

        return environment() | {
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "start": None if self.start is None else self.start.digest,
            "data": data_digests(self.prompt_data, self.subset_data),
        }


def _alone(method: MethodSpec) -> MethodRunner:
    """A panel of one method, whose fault is its own."""
    from untrac_core.attribution.outcome import MethodRunner

    return MethodRunner([method], first_may_fail=True)


def open_task(spec: ValidateSpec, place: Place) -> ValidateTask:
    """The task of a run at a place."""
    return ValidateTask(spec, place.folder / WORK, place.progress, place.threads)
