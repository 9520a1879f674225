"""Negative controls of a validation: what retraining and every method must say of text that is no subset of its own.

``doubled``: the first subset dealt at random into two halves of whole documents. Models of the first seed are trained
without the one and without the other half, for several dealings: the differences of their losses are independent and as
often positive as negative, so their mean must be zero.

``mixed``: whole documents drawn at random from all subsets, as many as an average subset has. Models of the first seed
are trained without them, for several draws. The model that is trained on everything is one more of the same kind, so
its loss must lie where that of one more such model would (an interval of prediction).

Methods are asked once: of the run's own text, with the halves and the mix in the place of what they are made of. Each
answer's prompt sets share one level: where all is as it must be, one answer in twenty fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrac_core.cells import Cell
from untrac_core.data.controls import dealt, mixed
from untrac_core.data.subsets import SubsetData
from untrac_core.data.tokens import Example, Packed
from untrac_core.errors import InputError
from untrac_core.fileio import finite
from untrac_core.specs import MethodSpec, ValidateSpec
from untrac_core.stats.bootstrap import CONTRAST, Place
from untrac_core.stats.intervals import Array, each_level, student
from untrac_core.tasks.validate.additions.sets import set_losses

if TYPE_CHECKING:
    from untrac_core.attribution.base import AttributionContext
    from untrac_core.attribution.outcome import MethodRunner
    from untrac_core.tasks.validate.findings import Findings
    from untrac_core.training.leave_one_out import LeaveOneOut

DOUBLED, MIXED = "doubled", "mixed"
TIMES = 5
"""Dealings of the halves, and draws of the mix, that models are trained without."""
TRAININGS = {DOUBLED: 2 * TIMES, MIXED: TIMES}
ONE, OTHER, MIX = "control: first half", "control: second half", "control: random mix"
PREFIX = "controls, "
"""Of a method's title, in the cells that ask it about controls."""
BY_CHANCE = "random"
StudyOf = Callable[[MethodSpec, dict[str, Packed], dict[str, float]], "AttributionContext"]
"""The study of a method about other parts of the same training, with their sizes."""


def check_controls(spec: ValidateSpec, subsets: Mapping[str, SubsetData]) -> None:
    """See that the controls can be made; raises :class:`InputError`."""
    needed = {DOUBLED: list(subsets)[:1], MIXED: list(subsets)}
    for name in dict.fromkeys(name for control in spec.controls for name in needed[control]):
        if len(subsets[name].documents) < 2:
            what = f"subset {name!r} has one document alone, which cannot be parted"
            raise InputError(what, field="controls", hint="leave 'controls' out, or give it more documents")


def parts_of(controls: Sequence[str], subsets: Mapping[str, Packed], sizes: Mapping[str, float]) -> Parts:
    """What methods are asked about in the place of a run's subsets."""
    blocks = {name: list(packed.blocks) for name, packed in subsets.items()}
    size = dict(sizes)
    if MIXED in controls:
        chosen, size[MIX] = mixed(blocks, 1 / len(blocks)), 0.0
        for name, of in chosen.items():
            moved = sizes[name] * len(of) / len(blocks[name])
            taken = {block.id for block in of}
            blocks[name] = [block for block in blocks[name] if block.id not in taken]
            size[name], size[MIX] = size[name] - moved, size[MIX] + moved
        blocks[MIX] = [block for of in chosen.values() for block in of]
    if DOUBLED in controls:
        first = next(iter(subsets))
        pair, whole = dealt(blocks.pop(first)), size.pop(first)
        for name, of in zip((ONE, OTHER), pair, strict=True):
            blocks[name], size[name] = of, whole * len(of) / (len(pair[0]) + len(pair[1]))
    return Parts({name: Packed(of, len(of), 0, 0) for name, of in blocks.items()}, size)


@dataclass(frozen=True)
class Parts:
    """Parts of a training, and how much of it each of them is."""

    blocks: dict[str, Packed]
    sizes: dict[str, float]


class Controls:
    """The controls that a request asks for; ``cells`` train models, ``asked`` ask the methods."""

    def __init__(
        self, spec: ValidateSpec, leave_out: LeaveOneOut, looked_at: Mapping[str, Packed], study_of: StudyOf
    ) -> None:
        self.spec, self.leave_out, self._study_of = spec, leave_out, study_of
        blocks = leave_out.material.blocks
        self.subset, self.cells, self.asked = next(iter(blocks)), list[Cell](), list[Cell]()
        self.methods = {m.title: m for m in spec.methods if m.name != BY_CHANCE} if spec.controls else {}
        self._studies: dict[str, tuple[MethodRunner, AttributionContext]] = {}
        left_out: dict[str, dict[str, list[Example]]] = {}
        for time in range(TIMES):
            if DOUBLED in spec.controls:
                for name, half in zip((ONE, OTHER), dealt(blocks[self.subset], time), strict=True):
                    left_out[f"{name}, dealing {time + 1}"] = {self.subset: half}
        for time in range(TIMES):
            if MIXED in spec.controls:
                left_out[f"{MIX}, draw {time + 1}"] = mixed(blocks, 1 / len(blocks), time)
        self.cells = leave_out.part_cells(spec.seeds[0], left_out)
        if self.methods:
            self.parts = parts_of(spec.controls, looked_at, {name: float(len(of)) for name, of in blocks.items()})
            for title in self.methods:
                runner, study = self._asking(title)
                self.asked += [replace(cell, method=PREFIX + title) for cell in runner.cells(study)]

    def _asking(self, title: str) -> tuple[MethodRunner, AttributionContext]:
        """A method and its study, made where they are not there."""
        from untrac_core.attribution.outcome import MethodRunner

        if title not in self._studies:
            study = self._study_of(self.methods[title], self.parts.blocks, self.parts.sizes)
            self._studies[title] = MethodRunner([self.methods[title]], first_may_fail=True), study
        return self._studies[title]

    def let_go(self, method: str) -> None:
        """Forget what a method holds in memory."""
        self._studies.pop(method.removeprefix(PREFIX), None)

    def load(self, cell: Cell) -> None:
        """Have the model in memory that a cell of ``asked`` needs."""
        _ = self._asking(cell.method.removeprefix(PREFIX))[1].model

    def run(self, cell: Cell) -> pd.DataFrame:
        """The table of a cell of ``asked``."""
        runner, study = self._asking(title := cell.method.removeprefix(PREFIX))
        return runner.run(study, replace(cell, method=title))

    def tell(self, folder: Path, findings: Findings, frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
        """What retraining shows of the controls (``folder`` stays as it is)."""
        if not frames:
            return {}
        largest = {place: float(np.abs(values.mean(0)).max()) for place, values in findings.per_seed.items()}
        return {"controls": self.truth_rows(findings.full_frames[0], frames, largest)}

    def truth_rows(
        self, whole: pd.DataFrame, frames: Sequence[pd.DataFrame], largest: Mapping[Place, float]
    ) -> list[dict[str, Any]]:
        """What retraining shows: the losses of the model of the first seed, of its control trainings, and beside them
        the ``largest`` influence of a subset on each side."""
        found, full = set_losses([], frames).losses, set_losses([], [whole]).losses
        places = asked_places(found)
        at, rows, level = 0, list[dict[str, Any]](), each_level(len(places))
        for control in (name for name in (DOUBLED, MIXED) if name in self.spec.controls):
            for place in places:
                losses = found[place][at : at + TRAININGS[control]]
                told = (doubled if control == DOUBLED else mixed_in)(losses, float(full[place][0]), level)
                rows.append(self._row(control, None, place, told | {"largest": largest.get(place, math.nan)}))
            at += TRAININGS[control]
        return rows

    def method_rows(self, frames: Sequence[pd.DataFrame]) -> list[dict[str, Any]]:
        """What each method that works here says of the controls; ``frames``: of ``asked``, in their order."""
        from untrac_core.tasks.trace.ranking import estimates  # with torch, which a check does without

        rows, at = list[dict[str, Any]](), 0
        for title in self.methods:
            runner, study = self._asking(title)
            own = [replace(cell, method=title) for cell in self.asked if cell.method == PREFIX + title]
            [outcome] = runner.outcomes(study, own, frames[at : at + len(own)])
            at += len(own)
            if outcome.failed is not None:
                continue
            found = estimates(outcome)
            places = [place for place in asked_places(found) if outcome.ranked(*place)]
            for control in (name for name in (DOUBLED, MIXED) if name in self.spec.controls):
                for place in places:
                    of = found[place]
                    one = of[MIX] if control == MIXED else of[ONE] - of[OTHER]
                    low, high = one.interval(each_level(len(places))) or (math.nan, math.nan)
                    told = {"found": one.value, "low": low, "high": high}
                    told["largest"] = max(abs(each.value) for each in of.values())
                    told["share"] = math.nan if control == MIXED else share(of[ONE].value, of[OTHER].value)
                    rows.append(self._row(control, title, place, told))
        return rows

    def _row(self, control: str, method: str | None, place: Place, told: dict[str, float]) -> dict[str, Any]:
        passed = None if math.isnan(told["low"]) else told["low"] <= 0 <= told["high"]
        row = {"control": control, "method": method, "prompt_set": place[0], "side": place[1], "expected": 0.0}
        row |= {"subset": self.subset if control == DOUBLED else None, "share": math.nan}
        rounded: dict[str, Any] = finite(row | told)
        return rounded | {"passed": passed}


def asked_places(found: Mapping[Place, Any]) -> list[Place]:
    """Each prompt set's contrast, or its one side."""
    chosen = {name: (name, side) for name, side in found if (name, CONTRAST) not in found or side == CONTRAST}
    return list(chosen.values())


def doubled(losses: Array, full: float, level: float) -> dict[str, float]:
    """The mean difference of the first half's influence and the second's, over the dealings; Student's t.

    ``losses``: without the first and without the second half of each dealing in turn. ``share``: of the first half in
    the influence of both.
    """
    pairs = losses.reshape(-1, 2)
    gaps = pairs[:, 0] - pairs[:, 1]
    reach = student(len(gaps), level) * float(gaps.std(ddof=1)) / len(gaps) ** 0.5
    first, second = (pairs - full).mean(0).tolist()
    value = float(gaps.mean())
    return {"found": value, "low": value - reach, "high": value + reach, "share": share(first, second)}


def mixed_in(losses: Array, full: float, level: float) -> dict[str, float]:
    """The influence of a random mix, and the interval of prediction of one more model about it."""
    reach = student(len(losses), level) * float(losses.std(ddof=1)) * (1 + 1 / len(losses)) ** 0.5
    value = float(losses.mean()) - full
    return {"found": value, "low": value - reach, "high": value + reach}


def share(first: float, second: float) -> float:
    """The share of the first in the sum of both; not a number where the two have not the same sign."""
    return first / (first + second) if first * second > 0 else math.nan
