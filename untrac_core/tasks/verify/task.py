"""Single training texts, each unlearned alone: what the prompt set then loses, beside texts drawn at random.

UnTrac-Inv's score of a text is read off the prompts' side: they are unlearned, and the text watched. Here the text is
unlearned and the prompts are watched, as UnTrac does with a whole subset (Isonuma and Titov, ACL 2024, equations 2 and
3, with a set of one text). To first order the two agree (their equations 5 and 6); this is the check that they do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.untrac import Unlearner
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example, ExampleSet
from untrac_core.fileio import write_bytes
from untrac_core.progress import Progress, Silent
from untrac_core.results.folders import ENVIRONMENT, SPEC, SUMMARY, VERIFIED_EXAMPLES, write_frame, write_json
from untrac_core.specs import MethodSpec, VerifySpec
from untrac_core.specs.files import to_yaml
from untrac_core.stats.intervals import Array
from untrac_core.tasks.base import Place
from untrac_core.tasks.prepare import cut_notes
from untrac_core.tasks.trace.context import build_context, context_environment
from untrac_core.tasks.verify.check import VerifiedExample, alone_settings, few_controls, texts_of, verified_trace
from untrac_core.tasks.verify.frames import check_frame, comparison_rows, side_estimates
from untrac_core.text.numbers import UNIT

LAYOUT = 1
"""Goes up when a cell's table would be another one."""
NO_SEEDS = "A single text has no seeds to differ by: its interval is over the items of the prompt set alone."


class SingleExampleUnTrac(Unlearner):
    """Each text is a set of its own; one step size for all of them, and every item of the prompt set is watched."""

    name: ClassVar[str] = "alone"
    inverse: ClassVar[bool] = False

    def __init__(self, spec: MethodSpec, texts: Sequence[VerifiedExample]) -> None:
        """Raises :class:`InputError` for settings that do not go together."""
        super().__init__(spec)
        self.settings = alone_settings(spec)
        self.texts = texts
        self._parts = [ExampleSet([text.block], text.subset) for text in texts]
        self._by_key: dict[str, ExampleSet] = {}

    def unlearned_sets(self, study: AttributionContext) -> Mapping[str, Sequence[Example]]:
        """Every text, by its number."""
        return {str(number): part.examples for number, part in enumerate(self._parts)}

    def parts(self, study: AttributionContext) -> list[ExampleSet]:
        """Every text, in the order given."""
        return self._parts

    def part_of(self, study: AttributionContext, cell: Cell) -> ExampleSet:
        """The text that a cell unlearns."""
        return self._by_key[cell.key]

    def eval_sets(self, study: AttributionContext, unlearned_sets: ExampleSet) -> list[ExampleSet]:
        """Every side of the prompt set."""
        return [replace(part, subset=unlearned_sets.subset) for part in study.prompt_parts()]

    def cells(self, study: AttributionContext) -> list[Cell]:
        """One cell per text, in their order."""
        cells = []
        for text, part in zip(self.texts, self._parts, strict=True):
            at = self.key(study, 0, part, self.eval_sets(study, part))
            # Two texts may have the same tokens; a run's cells have keys of their own.
            content = json.dumps({"alone": LAYOUT, "at": at, "id": text.id})
            key = hashlib.sha256(content.encode()).hexdigest()
            cells.append(Cell(key, f"unlearning {text.subset}, {text.id}, alone", 0, subset=text.subset))
            self._by_key[key] = part
        return cells


class VerifyTask:
    """A run in this process, as :class:`untrac_core.tasks.trace.task.TraceTask` is one: made ready, then cell by cell.

    Raises :class:`InputError` where the spec cannot be run. ``threads`` and ``cache`` as of a trace, whose curvature
    is taken from ``cache`` where it is there.
    """

    def __init__(
        self,
        spec: VerifySpec,
        progress: Progress | None = None,
        threads: int | None = None,
        cache: Path | None = None,
    ) -> None:
        progress = progress or Silent()
        self.spec = spec
        self.trace = verified_trace(self.spec)
        self.study = build_context(self.trace, progress, threads, cache)
        self.texts = texts_of(self.spec, self.study.subsets)
        self.method = SingleExampleUnTrac(self.trace.method, self.texts)
        self.cells = self.method.cells(self.study)

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """One text unlearned alone; the model's weights come back bit for bit."""
        return self.method.unlearn(self.study, cell, self.study.before("prompt sets", self.study.all_items))

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str = ""
    ) -> dict[str, Any]:
        """Write the result folder from the tables of ``cells``, in their order; returns the summary, written last."""
        self.study.progress.phase("writing the result")
        folder.mkdir(parents=True, exist_ok=True)
        ends = [frame[frame["step"] == frame["step"].max()] for frame in frames]
        loss_increases = [float(end["loss_increase"].iloc[0]) for end in ends]
        clusters = {side: found for (_, side), found in self.study.item_clusters.items()}
        sides = side_estimates(*_by_side(ends), clusters)
        write_frame(check_frame(self.texts, sides, loss_increases), folder / VERIFIED_EXAMPLES)
        write_bytes(to_yaml(self.spec).encode(), folder / SPEC)
        write_json(context_environment(self.trace, self.study), folder / ENVIRONMENT)
        prompts = self.trace.prompts[0]
        study = self.study
        cut = cut_notes(study.prompt_data, study.subset_data, study.prompts, study.subsets)
        summary = {
            "run": run,
            "name": self.spec.name,
            "kind": self.spec.kind,
            "of": self.spec.of,
            "prompt_set": self.spec.prompt_set,
            "method": self.trace.method.name,
            "preset": self.spec.trace.method.variant,
            "unit": UNIT,
            "sides": comparison_rows(self.texts, sides, prompts),
            "warnings": few_controls(self.spec, self.texts) + self._broken(ends, loss_increases),
            "notes": [NO_SEEDS, *self.method.settings.notes, *cut],
            "seconds": seconds,
            "peak_memory_mb": peak_memory_mb,
        }
        write_json(summary, folder / SUMMARY)
        return summary

    def _broken(self, ends: Sequence[pd.DataFrame], loss_increases: Sequence[float]) -> list[str]:
        """What makes a number one that is not about the data."""
        warnings = []
        collapsed = sum(bool(end["collapsed"].iloc[0]) for end in ends)
        if collapsed:
            warnings.append(
                f"The model collapsed while {collapsed} of {len(ends)} texts were unlearned: they have no numbers."
            )
        most = self.method.settings.max_loss_increase
        if most is not None and max(loss_increases) > most:
            warnings.append(
                f"The loss of a text that was unlearned rose by up to {max(loss_increases):.2g} nats per token, beyond "
                f"{most:g}: smaller steps would say more."
            )
        return warnings


def _by_side(ends: Sequence[pd.DataFrame]) -> tuple[dict[str, Array], dict[str, Array]]:
    """By side: each item's change by each text, shape (texts, items), and the items' tokens, shape (items,).

    A text that made the model collapse has no changes.
    """
    changes: dict[str, list[Array]] = {}
    tokens: dict[str, Array] = {}
    for end in ends:
        for side, rows in end.groupby("side", sort=False):
            values = rows["change"].to_numpy(dtype=np.float64)
            changes.setdefault(str(side), []).append(values * (np.nan if rows["collapsed"].iloc[0] else 1.0))
            tokens[str(side)] = rows["tokens"].to_numpy(dtype=np.float64)
    return {side: np.stack(values) for side, values in changes.items()}, tokens


def open_task(spec: VerifySpec, place: Place) -> VerifyTask:
    """The task of a run at a place."""
    return VerifyTask(spec, place.progress, place.threads, place.kept("moments"))
