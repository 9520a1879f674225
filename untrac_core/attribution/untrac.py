"""UnTrac: unlearn a training subset, watch the prompt sets (Isonuma and Titov, ACL 2024, equations 2 and 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import pandas as pd

from untrac_core.attribution.ascent import Point, PreconditionedStep, Trajectory, ascend
from untrac_core.attribution.base import AttributionContext, Change, cell_frame
from untrac_core.attribution.settings import ascent_settings
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example, ExampleSet
from untrac_core.models.loading import weights_restored
from untrac_core.models.losses import Losses
from untrac_core.specs import MethodSpec
from untrac_core.text.numbers import UNIT
from untrac_core.training.preconditioner import own_loss, quadratic_form, step_size


class Unlearner:
    """A method that unlearns one set after the other, each seed its own share of it, and watches other losses."""

    name: ClassVar[str]
    inverse: ClassVar[bool]
    unit: ClassVar[str] = UNIT

    def __init__(self, spec: MethodSpec) -> None:
        """Raises :class:`InputError` for settings that do not go together."""
        self.settings = ascent_settings(spec)
        self._scaled: PreconditionedStep | None = None

    @property
    def subsample(self) -> float:
        """The share of a set that each seed draws, at most."""
        return self.settings.subsample

    def unlearned_sets(self, study: AttributionContext) -> Mapping[str, Sequence[Example]]:
        """The sets that are unlearned, each by a name of its own."""
        raise NotImplementedError

    def parts(self, study: AttributionContext) -> list[ExampleSet]:
        """The same sets, with their places in a result."""
        raise NotImplementedError

    def eval_sets(self, study: AttributionContext, unlearned_sets: ExampleSet) -> list[ExampleSet]:
        """What is watched while a set is unlearned."""
        raise NotImplementedError

    def part_of(self, study: AttributionContext, cell: Cell) -> ExampleSet:
        """The set that a cell unlearns."""
        place = (cell.subset, cell.prompt_set, cell.side)
        return next(part for part in self.parts(study) if (part.subset, part.prompt_set, part.side) == place)

    def scaled(self, study: AttributionContext) -> PreconditionedStep | None:
        """Curvature of the untouched model, and one step size for all sets; ``None`` where the optimiser needs none."""
        settings = self.settings
        if settings.optimizer != "kronecker" or self._scaled is not None:
            return self._scaled
        preconditioner = study.preconditioner(
            settings.effective_trainable, settings.samples or 1, settings.damping or 0.1
        )
        study.progress.phase("step size")
        sets = list(self.unlearned_sets(study).values())
        quadratic_forms = []
        for done, examples in enumerate(sets, 1):
            quadratic_forms.append(quadratic_form(study.model, preconditioner, examples))
            study.progress.tick(done, len(sets))
        self._scaled = PreconditionedStep(
            preconditioner, step_size(settings.target_loss_increase or 0.0, quadratic_forms)
        )
        return self._scaled

    def key(
        self, study: AttributionContext, seed: int, unlearned_sets: ExampleSet, eval_sets: Sequence[ExampleSet]
    ) -> str:
        """A cell's key; curvature and step size, which hang on all sets, tie the cells of a run together."""
        tied: list[str] = []
        if self.settings.optimizer == "kronecker":
            sets = [*self.unlearned_sets(study).values(), study.all_blocks]
            tied = [study.digest(examples) for examples in sets]
        parts = [unlearned_sets, *eval_sets]
        drawn = [unlearned_sets] if self.settings.share(len(unlearned_sets.examples)) < 1 else []
        return study.key(self.name, asdict(self.settings), seed, parts, tied, drawn)

    def unlearn(self, study: AttributionContext, cell: Cell, before: Losses) -> pd.DataFrame:
        """Unlearn a seed's share of a cell's set and watch others; the weights come back as they were.

        ``before``: the watched losses of the untouched model.
        """
        eval_sets = self.eval_sets(study, self.part_of(study, cell))
        seen = [example for part in eval_sets for example in part.examples]
        done = self.ascents(study, cell, lambda: study.losses(seen), before)
        return cell_frame(done.changes(), before, eval_sets, collapsed=done.collapsed, ended=done.ended)

    def ascents(
        self,
        study: AttributionContext,
        cell: Cell,
        watch: Callable[[], Losses],
        before: Losses,
        until: int | None = None,
    ) -> Unlearning:
        """The unlearning of a cell, watched in any way; ``before``: what ``watch`` gives for the untouched model.

        The same cell takes the same steps each time, whatever is watched; ``until``: up to this one, and watched after
        it alone. The weights come back as they were.
        """
        settings, scaled = self.settings, self.scaled(study)
        model = study.model
        study.set_trainable(settings.effective_trainable)
        part = self.part_of(study, cell)
        share = settings.share(len(part.examples))
        drawn = [part.examples[i] for i in study.clusters(part).draw(share, cell.seed)]
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
        """For every kept step: the step, the loss increase (nats per token), and each watched example's change of loss.

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


class UnTrac(Unlearner):
    """I(Q, Z) = L(Q; model after ascent on Z) - L(Q; model), read for every prompt set off one ascent per subset."""

    name: ClassVar[str] = "untrac"
    inverse: ClassVar[bool] = False

    def unlearned_sets(self, study: AttributionContext) -> Mapping[str, Sequence[Example]]:
        """Every training subset."""
        return {subset: packed.blocks for subset, packed in study.subsets.items()}

    def parts(self, study: AttributionContext) -> list[ExampleSet]:
        """Every training subset."""
        return study.subset_parts()

    def eval_sets(self, study: AttributionContext, unlearned_sets: ExampleSet) -> list[ExampleSet]:
        """Every side of every prompt set."""
        return [replace(part, subset=unlearned_sets.subset) for part in study.prompt_parts()]

    def cells(self, study: AttributionContext) -> list[Cell]:
        """One cell per subset and seed."""
        return [
            Cell(
                key=self.key(study, seed, part, self.eval_sets(study, part)),
                label=f"unlearning {part.subset}, seed {seed}",
                seed=seed,
                subset=part.subset,
            )
            for seed in study.seeds
            for part in self.parts(study)
        ]

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """Watch every item of every prompt set while the subset is unlearned."""
        return self.unlearn(study, cell, study.before("prompt sets", study.all_items))


class UnTracInv(Unlearner):
    """I'(Q, Z) = L(Z; model after ascent on Q) - L(Z; model); to first order the same as UnTrac (equations 5 and 6).

    Each side of a prompt set is unlearned on its own; the change of every training block comes with it for free.
    """

    name: ClassVar[str] = "untrac-inv"
    inverse: ClassVar[bool] = True

    def unlearned_sets(self, study: AttributionContext) -> Mapping[str, Sequence[Example]]:
        """Every side of every prompt set."""
        return {f"{part.prompt_set}, {part.side} side": part.examples for part in study.prompt_parts()}

    def parts(self, study: AttributionContext) -> list[ExampleSet]:
        """Every side of every prompt set."""
        return study.prompt_parts()

    def eval_sets(self, study: AttributionContext, unlearned_sets: ExampleSet) -> list[ExampleSet]:
        """Every training subset."""
        return [
            replace(part, prompt_set=unlearned_sets.prompt_set, side=unlearned_sets.side)
            for part in study.subset_parts()
        ]

    def cells(self, study: AttributionContext) -> list[Cell]:
        """One cell per prompt set, side and seed."""
        return [
            Cell(
                key=self.key(study, seed, part, self.eval_sets(study, part)),
                label=f"unlearning {part.prompt_set}, {part.side} side, seed {seed}",
                seed=seed,
                prompt_set=part.prompt_set,
                side=part.side,
            )
            for seed in study.seeds
            for part in self.parts(study)
        ]

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """Watch every block of every subset while one side of the prompt set is unlearned."""
        return self.unlearn(study, cell, study.before("training subsets", study.all_blocks))
