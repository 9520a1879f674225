"""What every attribution method is given, and what it gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

import pandas as pd
import torch

from untrac_core.ascent import Point, ScaledStep, Trajectory, ascend, own_loss
from untrac_core.cells import Cell
from untrac_core.curvature import estimate_curvature, response, step_size
from untrac_core.data.prompts import PromptData
from untrac_core.data.subsets import SubsetData
from untrac_core.data.tokens import Example, Packed
from untrac_core.losses import Losses, example_losses
from untrac_core.models import LoadedModel, weights_restored
from untrac_core.progress import Progress, Silent
from untrac_core.settings import AscentSettings, draw
from untrac_core.specs import TraceSpec

NUMERICS = 1
"""Goes up when the same inputs would give other numbers; cached cells of another number are not reused."""


@dataclass(frozen=True)
class Part:
    """A subset's blocks or a prompt set's side, under the names that a result gives it."""

    examples: Sequence[Example]
    subset: str = ""
    prompt_set: str = ""
    side: str = ""


@dataclass
class Study:
    """A spec with everything loaded: model, tokens and settings; losses before and curvature are computed once."""

    spec: TraceSpec
    settings: AscentSettings
    model: LoadedModel
    prompt_data: dict[str, PromptData]
    prompts: dict[str, dict[str, list[Example]]]
    subset_data: dict[str, SubsetData]
    subsets: dict[str, Packed]
    unlearned: dict[str, list[Example]]
    """What the method unlearns, set by set, by a name for each."""
    progress: Progress = field(default_factory=Silent)
    _before: dict[str, Losses] = field(default_factory=dict)
    _digests: dict[int, str] = field(default_factory=dict)

    @cached_property
    def all_blocks(self) -> list[Example]:
        """Every subset's blocks, one subset after the other."""
        return [block for packed in self.subsets.values() for block in packed.blocks]

    @cached_property
    def all_items(self) -> list[Example]:
        """Every prompt set's items, side after side."""
        return [item for sides in self.prompts.values() for items in sides.values() for item in items]

    @cached_property
    def scaled(self) -> ScaledStep | None:
        """Curvature of the untouched model on the run's own training text, and the step size for all its sets.

        ``None`` where the optimiser needs neither.
        """
        settings = self.settings
        if settings.optimizer != "kronecker":
            return None
        self.progress.phase("curvature of the model on the training text")
        curvature = estimate_curvature(
            self.model,
            self.all_blocks,
            samples=settings.samples or 1,
            damping=settings.damping or 0.1,
            progress=self.progress,
        )
        self.progress.phase("step size")
        sets = list(self.unlearned.values())
        responses = []
        for done, examples in enumerate(sets, 1):
            responses.append(response(self.model, curvature, examples))
            self.progress.tick(done, len(sets))
        return ScaledStep(curvature, step_size(settings.dose or 0.0, responses))

    def before(self, what: str, examples: Sequence[Example]) -> Losses:
        """Losses of the untouched model on ``examples``, computed once for each ``what``."""
        if what not in self._before:
            self.progress.phase(f"losses before, {what}")
            self._before[what] = self.losses(examples)
        return self._before[what]

    def losses(self, examples: Sequence[Example]) -> Losses:
        """Summed loss of each example under the weights as they are now."""
        model = self.model
        return example_losses(
            model.module, examples, model.device, model.facts.vocabulary, self.progress, model.precision
        )

    def key(self, method: str, seed: int, unlearned: Part, watched: Sequence[Part]) -> str:
        """The hash of all that a cell's result depends on: also names, as they stand in its table."""
        parts: dict[str, Any] = {
            "numerics": NUMERICS,
            "torch": torch.__version__,
            "device": self.model.device.type,
            "threads": torch.get_num_threads(),
            "model": self.model.digest,
            "precision": str(self.model.precision),
            "method": method,
            "settings": asdict(self.settings),
            "seed": seed,
            "unlearned": self._fingerprint(unlearned),
            "watched": [self._fingerprint(part) for part in watched],
            "scaled": self._scaled_by if self.settings.optimizer == "kronecker" else [],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _fingerprint(self, part: Part) -> list[str]:
        """A part's names and content; the digest of a list is computed once, as every cell watches the same lists."""
        known = id(part.examples)
        if known not in self._digests:
            self._digests[known] = examples_digest(part.examples)
        return [part.subset, part.prompt_set, part.side, self._digests[known]]

    @cached_property
    def _scaled_by(self) -> list[str]:
        """What curvature and step size depend on: they tie the cells of a run together."""
        sets = [*self.unlearned.values(), self.all_blocks]
        return [examples_digest(examples) for examples in sets]

    def unlearn(
        self, name: str, examples: Sequence[Example], watched: Sequence[Example], before: Losses, seed: int
    ) -> Unlearning:
        """Unlearn a seed's share of ``examples`` and watch others; the weights come back as they were."""
        settings, scaled = self.settings, self.scaled
        drawn = [examples[i] for i in draw(len(examples), settings.share, seed)]
        self.progress.phase(name)
        start = Point(0, own_loss(self.model, drawn), before)
        runs: list[Trajectory] = []
        for direction in (1.0, -1.0) if settings.two_sided else (1.0,):
            with weights_restored(self.model.module):
                runs.append(
                    ascend(
                        self.model,
                        drawn,
                        settings,
                        lambda: self.losses(watched),
                        before=start,
                        scaled=scaled,
                        direction=direction,
                        order_seed=seed,
                        progress=self.progress,
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

    def changes(self) -> list[tuple[int, float, Losses]]:
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


class Method(Protocol):
    """A way to estimate influence."""

    name: ClassVar[str]

    def unlearned(
        self, prompts: Mapping[str, Mapping[str, list[Example]]], subsets: Mapping[str, Packed]
    ) -> dict[str, list[Example]]:
        """The sets that are unlearned, one after the other, each by a name of its own."""

    def cells(self, study: Study) -> list[Cell]:
        """The independent pieces of work, in the order of the spec."""

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
        """One row per kept step and watched example; see :func:`cell_frame`."""


def cell_frame(unlearning: Unlearning, before: Losses, watched: Sequence[Part]) -> pd.DataFrame:
    """A cell's result as a table: one row per kept step and watched example.

    ``watched`` is in the order of ``before``. Losses and changes are sums over an example's tokens, in nats;
    ``example`` counts within its part; ``collapsed`` and ``ended`` are the cell's own.
    """
    parts = []
    for step, dose, change in unlearning.changes():
        start = 0
        for part in watched:
            stop = start + len(part.examples)
            parts.append(
                pd.DataFrame(
                    {
                        "step": step,
                        "dose": dose,
                        "subset": part.subset,
                        "prompt_set": part.prompt_set,
                        "side": part.side,
                        "example": range(len(part.examples)),
                        "loss_before": before[start:stop],
                        "change": change[start:stop],
                        "tokens": [example.tokens for example in part.examples],
                    }
                )
            )
            start = stop
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(collapsed=unlearning.collapsed, ended=unlearning.ended)


def examples_digest(examples: Sequence[Example]) -> str:
    """SHA-256 of the token ids, those that an encoder reads too, and of what is scored."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(f"{len(example.ids)},{example.first};".encode())
        digest.update(example.ids.tobytes())
        if example.source is not None:
            digest.update(f"source {len(example.source)};".encode())
            digest.update(example.source.tobytes())
    return digest.hexdigest()
