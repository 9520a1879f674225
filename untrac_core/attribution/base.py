"""What every attribution method is given, and what it gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
import torch

from untrac_core.cells import Cell
from untrac_core.data.prompts import PromptData
from untrac_core.data.subsets import SubsetData
from untrac_core.data.tokens import Example, ExampleSet, Packed, examples_digest
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import Losses, example_losses, token_losses
from untrac_core.models.trainable import set_trainable
from untrac_core.progress import Progress, Silent
from untrac_core.specs import MethodSpec, Trainable
from untrac_core.specs.catalogue import ATTRIBUTION
from untrac_core.stats.clusters import Clusters, clusters_by_side, clusters_of
from untrac_core.training.factors import FactorCache
from untrac_core.training.preconditioner import KroneckerPreconditioner, estimate_curvature

NUMERICS = 3
"""Goes up when the same inputs would give other numbers; cached cells of another number are not reused."""


BLOCKS, ITEMS = "blocks", "items"
"""In a cell's table with the column ``population``: rows of training blocks, and rows of the prompts' items."""


@dataclass(frozen=True)
class ModelIdentity:
    """What tells a model from another one, known before its weights are in memory."""

    digest: str
    device: str
    dtype: str
    trainable: Trainable
    """What it was loaded for: ``last_layers`` and ``lora`` hold the other weights in its number format."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights that the model had while it was trained.

    ``load`` puts them into the study's module; ``rate``: the learning rate that was used from there on;
    ``second_moments``: the optimizer's running mean of squared gradients, by parameter.
    """

    load: Callable[[], None]
    rate: float
    second_moments: Callable[[], Mapping[str, torch.Tensor]]


def _unheard(cell: Cell, subset: str, step: int, losses: Losses) -> None:
    """Nobody asks for evaluations on the way."""


@dataclass
class AttributionContext:
    """A model with everything that is asked of it in tokens; what several methods need is computed once."""

    identity: ModelIdentity
    load: Callable[[], LoadedModel]
    """Called once, when the first cell needs the model."""
    prompt_data: Mapping[str, PromptData]
    prompts: dict[str, dict[str, list[Example]]]
    subset_data: Mapping[str, SubsetData]
    subsets: dict[str, Packed]
    seeds: Sequence[int]
    progress: Progress = field(default_factory=Silent)
    checkpoints: Sequence[Checkpoint] = ()
    sizes: Mapping[str, float] | None = None
    """How much of the training each subset was; where it is known, a ranking tells the influence of leaving it out."""
    single_texts: bool = False
    """Whether methods that compare gradients tell each document's score, in the place of a few folds of documents."""
    cache: Path | None = None
    """A folder for what is slow to compute and may be needed again: the factors of the preconditioner."""
    on_evaluation: Callable[[Cell, str, int, Losses], None] = _unheard
    """Told of each evaluation of the prompts on the way: cell, subset, step, and every item's loss in nats.

    Subset "" is what the others are held against at that step."""
    _before: dict[str, Losses] = field(default_factory=dict)
    _digests: dict[int, str] = field(default_factory=dict)
    _curvatures: dict[tuple[Trainable, int, float], KroneckerPreconditioner] = field(default_factory=dict)

    @cached_property
    def model(self) -> LoadedModel:
        """The model, in memory."""
        return self.load()

    @cached_property
    def all_blocks(self) -> list[Example]:
        """Every subset's blocks, one subset after the other."""
        return [block for packed in self.subsets.values() for block in packed.blocks]

    @cached_property
    def all_items(self) -> list[Example]:
        """Every prompt set's items, side after side."""
        return [item for sides in self.prompts.values() for items in sides.values() for item in items]

    def set_trainable(self, trainable: Trainable) -> None:
        """Give gradients to exactly the parameters of ``trainable``.

        A model that was loaded for its last blocks or an adapter alone keeps those: the rest is not held in float32.
        """
        if self.model.trainable not in ("last_layers", "lora"):
            set_trainable(self.model.module, trainable)

    def preconditioner(self, trainable: Trainable, samples: int, damping: float) -> KroneckerPreconditioner:
        """The curvature of the model as it is loaded, on the study's own training text; kept for every method."""
        self.set_trainable(trainable)
        wanted = (trainable, samples, damping)
        if wanted not in self._curvatures:
            self.progress.phase("curvature of the model on the training text")
            kept = FactorCache(self.cache, self._factors_key(trainable, samples))
            self._curvatures[wanted] = estimate_curvature(
                self.model, self.all_blocks, samples=samples, damping=damping, progress=self.progress, kept=kept
            )
        return self._curvatures[wanted]

    def _factors_key(self, trainable: Trainable, samples: int) -> str:
        """What the factors depend on; the damping comes after them."""
        content = {
            "numerics": NUMERICS,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "model": asdict(self.identity),
            "trainable": trainable,
            "samples": samples,
            "blocks": self.digest(self.all_blocks),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def before(self, what: str, examples: Sequence[Example]) -> Losses:
        """Losses of the untouched model on ``examples``, computed once for each ``what``."""
        if what not in self._before:
            self.progress.phase(f"losses before, {what}")
            self._before[what] = self.losses(examples)
        return self._before[what]

    def losses(self, examples: Sequence[Example]) -> Losses:
        """Summed loss of each example under the weights as they are now."""
        model = self.model
        return example_losses(model.module, examples, model.device, model.facts.vocab_size, self.progress, model.dtype)

    def token_losses(self, examples: Sequence[Example]) -> Losses:
        """Loss of each scored token, one example after the other, under the weights as they are now."""
        model = self.model
        return token_losses(model.module, examples, model.device, model.facts.vocab_size, self.progress, model.dtype)

    @cached_property
    def item_clusters(self) -> dict[tuple[str, str], Clusters]:
        """The clusters of each prompt set's sides, by prompt set and side."""
        return {
            (prompt_set, side): found
            for prompt_set, sides in self.prompts.items()
            for side, found in clusters_by_side(
                {side: [item.cluster for item in items] for side, items in sides.items()}
            ).items()
        }

    @cached_property
    def block_clusters(self) -> dict[str, Clusters]:
        """The clusters of each training subset's blocks: their documents."""
        return {name: clusters_of([block.cluster for block in packed.blocks]) for name, packed in self.subsets.items()}

    def clusters(self, part: ExampleSet) -> Clusters:
        """The clusters of a side of a prompt set, or of some training blocks."""
        if not part.subset:
            return self.item_clusters[part.prompt_set, part.side]
        return clusters_of([block.cluster for block in part.examples])

    def key(
        self,
        method: str,
        settings: Any,
        seed: int,
        parts: Sequence[ExampleSet],
        more: Any = (),
        drawn: Sequence[ExampleSet] = (),
    ) -> str:
        """The hash of all that a cell's result depends on: also names, as they stand in its table.

        ``settings`` and ``more``: what JSON can hold; ``drawn``: those of which clusters are drawn, or dealt out.
        """
        clusters = [self.clusters(part).digest for part in drawn]
        content: dict[str, Any] = {
            "numerics": NUMERICS,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "model": asdict(self.identity),
            "method": method,
            "settings": settings,
            "seed": seed,
            "parts": [self._fingerprint(part) for part in parts],
            "more": more,
        }
        content |= {"clusters": clusters} if any(clusters) else {}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def prompt_parts(self) -> list[ExampleSet]:
        """Every side of every prompt set."""
        return [
            ExampleSet(items, "", prompt_set, side)
            for prompt_set, sides in self.prompts.items()
            for side, items in sides.items()
        ]

    def subset_parts(self) -> list[ExampleSet]:
        """Every training subset."""
        return [ExampleSet(packed.blocks, subset) for subset, packed in self.subsets.items()]

    def digest(self, examples: Sequence[Example]) -> str:
        """The content hash of one of the study's own lists, computed once: every cell asks for the same ones."""
        known = id(examples)
        if known not in self._digests:
            self._digests[known] = examples_digest(examples)
        return self._digests[known]

    def _fingerprint(self, part: ExampleSet) -> list[str]:
        return [part.subset, part.prompt_set, part.side, self.digest(part.examples)]


@dataclass
class ControlContext(AttributionContext):
    """The same model and prompts, asked of negative controls alone: no number of the run itself changes.

    The curvature is that of the run.
    """

    whole: AttributionContext | None = None
    """The study of the run."""

    def preconditioner(self, trainable: Trainable, samples: int, damping: float) -> KroneckerPreconditioner:
        """That of the run, from its own training text."""
        if self.whole is None:
            return super().preconditioner(trainable, samples, damping)
        return self.whole.preconditioner(trainable, samples, damping)

    def key(
        self,
        method: str,
        settings: Any,
        seed: int,
        parts: Sequence[ExampleSet],
        more: Any = (),
        drawn: Sequence[ExampleSet] = (),
    ) -> str:
        """As of any study, with the text that the curvature comes from."""
        text = "" if self.whole is None else self.whole.digest(self.whole.all_blocks)
        return super().key(method, settings, seed, parts, ["controls", text, more], drawn)


def control_context(study: AttributionContext, subsets: Mapping[str, Packed]) -> ControlContext:
    """The study of some controls beside a run's."""
    return ControlContext(
        study.identity, lambda: study.model, study.prompt_data, study.prompts, study.subset_data, dict(subsets),
        study.seeds, study.progress, whole=study,
    )  # fmt: skip


class Method(Protocol):
    """A way to estimate influence."""

    name: ClassVar[str]
    inverse: ClassVar[bool]
    """Whether the examples that it watches are those of the training subsets; else those of the prompt sets."""
    unit: ClassVar[str]
    """Of its numbers, in a few words."""

    @property
    def subsample(self) -> float:
        """The share of what is unlearned, or asked for, that each seed draws."""

    def cells(self, study: AttributionContext) -> list[Cell]:
        """The independent pieces of work, in the order of the spec."""

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """One row per kept step and watched example; see :func:`cell_frame` and :func:`score_frame`."""


Change = tuple[int, float, Losses]
"""A kept step, its loss increase in nats per token, and each watched example's change of loss in nats."""


def cell_frame(
    changes: Sequence[Change], before: Losses, eval_sets: Sequence[ExampleSet], *, collapsed: bool, ended: str
) -> pd.DataFrame:
    """A cell's result as a table: one row per kept step and watched example.

    ``eval_sets`` is in the order of ``before``. Losses and changes are sums over an example's tokens, in nats;
    ``example`` counts within its part; ``collapsed`` and ``ended`` are the cell's own.
    """
    parts = []
    for step, loss_increase, change in changes:
        start = 0
        for part in eval_sets:
            stop = start + len(part.examples)
            parts.append(
                pd.DataFrame(
                    {
                        "step": step,
                        "loss_increase": loss_increase,
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
    return pd.concat(parts, ignore_index=True).assign(collapsed=collapsed, ended=ended)


Scores = Mapping[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]
"""(Subset, prompt set, side) to scores a token and tokens, each of shape (examples,)."""


def score_frame(scores: Scores) -> pd.DataFrame:
    """The cell of a method that unlearns nothing, in the form of :func:`cell_frame`: one step, no loss increase.

    An example is a part of a subset: a block, or a fold of blocks. A score that is no number makes the cell collapsed.
    """
    parts = [
        pd.DataFrame(
            {
                "step": 1,
                "loss_increase": 0.0,
                "subset": subset,
                "prompt_set": prompt_set,
                "side": side,
                "example": range(len(values)),
                "loss_before": 0.0,
                "change": values * tokens,
                "tokens": tokens.astype(np.int64),
            }
        )
        for (subset, prompt_set, side), (values, tokens) in scores.items()
    ]
    frame = pd.concat(parts, ignore_index=True)
    sound = bool(np.isfinite(frame["change"]).all())
    ended = "one pass" if sound else "ended in numbers that are none"
    return frame.assign(collapsed=not sound, ended=ended)


def failed_frame(why: str) -> pd.DataFrame:
    """The cell of a method that does not work here: no rows but one, which says why."""
    row = dict.fromkeys(("step", "loss_increase", "example", "loss_before", "change", "tokens"), 0)
    names = dict.fromkeys(("subset", "prompt_set", "side"), "")
    return pd.DataFrame([row | names | {"collapsed": True, "ended": why}])


def make_method(spec: MethodSpec) -> Method:
    """The method that a spec names; :class:`InputError` for settings that it does not have."""
    made: Method = ATTRIBUTION[spec.name].make()(spec)
    return made
