"""Single training texts, each unlearned alone: what the prompt set then loses, beside texts drawn at random.

UnTrac-Inv's score of a text is read off the prompts' side: they are unlearned, and the text watched. Here the text is
unlearned and the prompts are watched, as UnTrac does with a whole subset (Isonuma and Titov, ACL 2024, equations 2 and
3, with a set of one text). To first order the two agree (their equations 5 and 6); this is the check that they do.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from untrac_core.attribution.protocol import Part, Study
from untrac_core.attribution.unlearner import NATS, Unlearner
from untrac_core.cell_files import computed
from untrac_core.cells import Cell
from untrac_core.check import cut_notes
from untrac_core.data.expansion import expand
from untrac_core.data.tokens import Example
from untrac_core.examination_check import Examined, alone_settings, examined_trace, few_controls, texts_of
from untrac_core.examination_frames import check_frame, comparison_rows, side_estimates
from untrac_core.progress import Progress, Silent
from untrac_core.results import (
    CHECKS,
    ENVIRONMENT,
    SPEC,
    SUMMARY,
    Examination,
    load_examination,
    write_frame,
    write_json,
)
from untrac_core.spec_files import to_yaml
from untrac_core.specs import ExamineSpec, MethodSpec
from untrac_core.statistics import Array
from untrac_core.studies import open_study, study_environment
from untrac_core.tracing import peak_memory_mb
from untrac_core.writing import write_bytes

LAYOUT = 1
"""Goes up when a cell's table would be another one."""
NO_SEEDS = "A single text has no seeds to differ by: its interval is over the items of the prompt set alone."


class Alone(Unlearner):
    """Each text is a set of its own; one step size for all of them, and every item of the prompt set is watched."""

    name: ClassVar[str] = "alone"
    inverse: ClassVar[bool] = False

    def __init__(self, spec: MethodSpec, texts: Sequence[Examined]) -> None:
        """Raises :class:`InputError` for settings that do not go together."""
        super().__init__(spec)
        self.settings = alone_settings(spec)
        self.texts = texts
        self._parts = [Part([text.block], text.subset) for text in texts]
        self._by_key: dict[str, Part] = {}

    def unlearned(self, study: Study) -> Mapping[str, Sequence[Example]]:
        """Every text, by its number."""
        return {str(number): part.examples for number, part in enumerate(self._parts)}

    def parts(self, study: Study) -> list[Part]:
        """Every text, in the order given."""
        return self._parts

    def part_of(self, study: Study, cell: Cell) -> Part:
        """The text that a cell unlearns."""
        return self._by_key[cell.key]

    def watched(self, study: Study, unlearned: Part) -> list[Part]:
        """Every side of the prompt set."""
        return [replace(part, subset=unlearned.subset) for part in study.prompt_parts()]

    def cells(self, study: Study) -> list[Cell]:
        """One cell a text, in their order."""
        cells = []
        for text, part in zip(self.texts, self._parts, strict=True):
            at = self.key(study, 0, part, self.watched(study, part))
            # Two texts may have the same tokens; a run's cells have keys of their own.
            content = json.dumps({"alone": LAYOUT, "at": at, "id": text.id})
            key = hashlib.sha256(content.encode()).hexdigest()
            cells.append(Cell(key, f"unlearning {text.subset}, {text.id}, alone", 0, subset=text.subset))
            self._by_key[key] = part
        return cells


class Examiner:
    """A run in this process, as :class:`untrac_core.tracing.Tracer` is one: made ready, then cell by cell.

    Raises :class:`InputError` where the spec cannot be run. ``threads`` and ``cache`` as of a trace, whose curvature
    is taken from ``cache`` where it is there.
    """

    def __init__(
        self,
        spec: ExamineSpec,
        progress: Progress | None = None,
        threads: int | None = None,
        cache: Path | None = None,
    ) -> None:
        progress = progress or Silent()
        self.spec = expand(spec, progress)
        self.trace = examined_trace(self.spec)
        self.study = open_study(self.trace, progress, threads, cache)
        self.texts = texts_of(self.spec, self.study.subsets)
        self.method = Alone(self.trace.method, self.texts)
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
        doses = [float(end["dose"].iloc[0]) for end in ends]
        sides = side_estimates(*_by_side(ends))
        write_frame(check_frame(self.texts, sides, doses), folder / CHECKS)
        write_bytes(to_yaml(self.spec).encode(), folder / SPEC)
        write_json(study_environment(self.trace, self.study), folder / ENVIRONMENT)
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
            "preset": self.trace.method.preset,
            "unit": NATS,
            "sides": comparison_rows(self.texts, sides, prompts),
            "warnings": few_controls(self.spec, self.texts) + self._broken(ends, doses),
            "notes": [NO_SEEDS, *self.method.settings.notes, *cut],
            "seconds": seconds,
            "peak_memory_mb": peak_memory_mb,
        }
        write_json(summary, folder / SUMMARY)
        return summary

    def _broken(self, ends: Sequence[pd.DataFrame], doses: Sequence[float]) -> list[str]:
        """What makes a number one that is not about the data."""
        warnings = []
        collapsed = sum(bool(end["collapsed"].iloc[0]) for end in ends)
        if collapsed:
            warnings.append(
                f"The model collapsed while {collapsed} of {len(ends)} texts were unlearned: they have no numbers."
            )
        most = self.method.settings.max_dose
        if most is not None and max(doses) > most:
            warnings.append(
                f"The loss of a text that was unlearned rose by up to {max(doses):.2g} nats per token, beyond "
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


def examine(
    spec: ExamineSpec,
    out: Path,
    progress: Progress | None = None,
    cache: Path | None = None,
    threads: int | None = None,
) -> Examination:
    """Run a spec in this process and return its result; ``cache``: a folder in which finished cells are kept."""
    started = time.monotonic()
    examiner = Examiner(spec, progress, threads, cache)
    frames = computed(examiner.cells, examiner.run_cell, cache)
    examiner.write(out, frames, time.monotonic() - started, peak_memory_mb())
    return load_examination(out)
