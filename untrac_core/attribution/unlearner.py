"""What UnTrac and UnTrac-Inv share: settings, the curvature-scaled step, and one unlearning with its trajectory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from untrac_core.ascent import Point, ScaledStep, Trajectory, ascend, own_loss
from untrac_core.attribution.protocol import Change, Part, Study, cell_frame
from untrac_core.cells import Cell
from untrac_core.curvature import response, step_size
from untrac_core.data.tokens import Example
from untrac_core.losses import Losses
from untrac_core.models import weights_restored
from untrac_core.settings import ascent_settings, draw
from untrac_core.specs import MethodSpec

NATS = "nats per token"


class Unlearner:
    """A method that unlearns one set after the other, each seed its own share of it, and watches other losses."""

    name: ClassVar[str]
    inverse: ClassVar[bool]
    unit: ClassVar[str] = NATS

    def __init__(self, spec: MethodSpec) -> None:
        """Raises :class:`InputError` for settings that do not go together."""
        self.settings = ascent_settings(spec)
        self._scaled: ScaledStep | None = None

    @property
    def share(self) -> float:
        """The share of a set that each seed draws."""
        return self.settings.share

    def unlearned(self, study: Study) -> Mapping[str, Sequence[Example]]:
        """The sets that are unlearned, each by a name of its own."""
        raise NotImplementedError

    def parts(self, study: Study) -> list[Part]:
        """The same sets, with their places in a result."""
        raise NotImplementedError

    def watched(self, study: Study, unlearned: Part) -> list[Part]:
        """What is watched while a set is unlearned."""
        raise NotImplementedError

    def part_of(self, study: Study, cell: Cell) -> Part:
        """The set that a cell unlearns."""
        place = (cell.subset, cell.prompt_set, cell.side)
        return next(part for part in self.parts(study) if (part.subset, part.prompt_set, part.side) == place)

    def scaled(self, study: Study) -> ScaledStep | None:
        """Curvature of the untouched model, and one step size for all sets; ``None`` where the optimiser needs none."""
        settings = self.settings
        if settings.optimizer != "kronecker" or self._scaled is not None:
            return self._scaled
        curvature = study.curvature(settings.moving, settings.samples or 1, settings.damping or 0.1)
        study.progress.phase("step size")
        sets = list(self.unlearned(study).values())
        responses = []
        for done, examples in enumerate(sets, 1):
            responses.append(response(study.model, curvature, examples))
            study.progress.tick(done, len(sets))
        self._scaled = ScaledStep(curvature, step_size(settings.dose or 0.0, responses))
        return self._scaled

    def key(self, study: Study, seed: int, unlearned: Part, watched: Sequence[Part]) -> str:
        """A cell's key; curvature and step size, which hang on all sets, tie the cells of a run together."""
        tied: list[str] = []
        if self.settings.optimizer == "kronecker":
            sets = [*self.unlearned(study).values(), study.all_blocks]
            tied = [study.digest(examples) for examples in sets]
        return study.key(self.name, self.settings, seed, [unlearned, *watched], tied)

    def unlearn(self, study: Study, cell: Cell, before: Losses) -> pd.DataFrame:
        """Unlearn a seed's share of a cell's set and watch others; the weights come back as they were.

        ``before``: the watched losses of the untouched model.
        """
        watched = self.watched(study, self.part_of(study, cell))
        seen = [example for part in watched for example in part.examples]
        done = self.ascents(study, cell, lambda: study.losses(seen), before)
        return cell_frame(done.changes(), before, watched, collapsed=done.collapsed, ended=done.ended)

    def ascents(
        self, study: Study, cell: Cell, watch: Callable[[], Losses], before: Losses, until: int | None = None
    ) -> Unlearning:
        """The unlearning of a cell, watched in any way; ``before``: what ``watch`` gives for the untouched model.

        The same cell takes the same steps each time, whatever is watched; ``until``: up to this one, and watched after
        it alone. The weights come back as they were.
        """
        settings, scaled = self.settings, self.scaled(study)
        model = study.model
        study.let_move(settings.moving)
        examples = self.part_of(study, cell).examples
        drawn = [examples[i] for i in draw(len(examples), settings.share, cell.seed)]
        study.progress.phase(cell.label)
        start = Point(0, own_loss(model, drawn), before)
        runs: list[Trajectory] = []
        for direction in (1.0, -1.0) if settings.two_sided else (1.0,):
            with weights_restored(model.module):
                runs.append(
                    ascend(
                        model,
                        drawn,
                        settings,
                        watch,
                        before=start,
                        scaled=scaled,
                        direction=direction,
                        order_seed=cell.seed,
                        progress=study.progress,
                        until=until,
                    )
                )
        return Unlearning(runs)


@dataclass(frozen=True)
class Unlearning:
    """One ascent, or an ascent and a descent from the same weights."""

    runs: list[Trajectory]

    @property
    def collapsed(self) -> bool:
        """Whether the model ended knowing nothing."""
        return any(run.collapsed for run in self.runs)

    @property
    def ended(self) -> str:
        """Why the ascent ended, in words."""
        return next((run.ended for run in self.runs if run.collapsed), self.runs[0].ended)

    def changes(self) -> list[Change]:
        """For every kept step: the step, the dose (nats per token), and each watched example's change of loss.

        Two-sided: half of (loss after ascent - loss after descent), the central difference, in which even orders of
        the step cancel; a step counts only where both sides kept it.
        """
        up = self.runs[0].points
        if len(self.runs) == 1:
            return [(point.step, point.own - up[0].own, point.losses - up[0].losses) for point in up]
        down = {point.step: point for point in self.runs[1].points}
        return [
            (
                point.step,
                (point.own - down[point.step].own) / 2,
                (point.losses - down[point.step].losses) / 2,
            )
            for point in up
            if point.step in down
        ]
