"""The settings behind each method's presets, and how a spec changes them.

``paper``: Isonuma and Titov (ACL 2024), section 5: Adam, rate 5e-5 constant, no clipping; UnTrac: batch 1, one epoch;
UnTrac-Inv: all test examples as one batch, 5 steps; with dropout, as its code unlearns in train mode; each seed of
UnTrac on a fresh sample of 10,000 sequences of every subset, or five eighths of a smaller one; and models that collapse
are ranked. ``robust``, UnTrac: a curvature-scaled flow in which the rest of the training text holds the model
(:mod:`untrac_core.attribution.rest_flow`), each seed on a random half of every subset; UnTrac-Inv: the limit of smaller
and smaller steps, which takes none.

Free of torch, so that a check can plan and price an unlearning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from untrac_core.errors import InputError
from untrac_core.specs import MethodSpec, Optimizer, Trainable
from untrac_core.specs.methods import ContinuationSettings
from untrac_core.training.batches import batch_rule

SAME_BATCH = (
    "Every seed unlearns the whole prompt set as one batch, so seeds differ in dropout alone, if at all: the intervals "
    "cover other training texts, not other prompts, and are too narrow."
)
MATRICES_ONLY = "the curvature is one of weight matrices: vectors and position tables stay put"


@dataclass(frozen=True)
class AscentSettings:
    """How an unlearning goes; one of ``steps`` and ``epochs`` is set."""

    optimizer: Optimizer
    learning_rate: float | None
    """Of Adam and SGD."""
    target_loss_increase: float | None
    damping: float | None
    samples: int | None
    """Of the curvature-scaled step; see :func:`untrac_core.training.preconditioner.step_size`."""
    batch_size: int | None
    """Examples per step; ``None``: all of them."""
    steps: int | None
    epochs: int | None
    subsample: float
    """Share of the examples that a seed draws, without replacement; see :meth:`share`."""
    sequences: int | None
    """Examples that a seed draws, at most."""
    dropout: bool
    """Whether gradients are taken in train mode, with masks that the seed draws; losses never are."""
    past_collapse: bool
    """Whether the ascent goes on where the model collapses, and is ranked."""
    two_sided: bool
    max_loss_increase: float | None
    """Nats per token by which the set's own loss may rise."""
    eval_points: int
    trainable: Trainable
    """Which parameters may move; see :attr:`moving` for what this optimiser makes of it."""

    @property
    def effective_trainable(self) -> Trainable:
        """The parameters that do move: the curvature-scaled step is one of weight matrices."""
        return "matrices" if self.optimizer == "kronecker" and self.trainable == "all" else self.trainable

    def share(self, examples: int) -> float:
        """The share of so many examples that a seed draws: ``subsample``, or less where that is over ``sequences``."""
        return self.subsample if self.sequences is None else min(self.subsample, self.sequences / max(1, examples))

    @property
    def notes(self) -> list[str]:
        """What the settings leave out, in words."""
        if self.effective_trainable == self.trainable:
            return []
        return [MATRICES_ONLY]


def plan_steps(count: int, settings: AscentSettings) -> int:
    """How many steps an ascent over ``count`` drawn examples takes."""
    if settings.steps is not None:
        return settings.steps
    return max(1, (settings.epochs or 1) * math.ceil(count / (settings.batch_size or count)))


def evaluation_steps(steps: int, eval_points: int) -> list[int]:
    """The steps after which losses are kept: evenly spread, the last step among them."""
    return sorted({round(steps * part / eval_points) for part in range(1, eval_points + 1)} - {0})


SEQUENCES, LARGEST_SHARE = 10_000, 0.625
"""What a seed of preset ``paper`` draws of each subset: 10,000 sequences, as the paper, which had 16,000 or more.

Of a subset with fewer it is the same share, five eighths: a seed that drew all of it would say nothing of other texts.
"""
_PAPER = AscentSettings(
    optimizer="adam",
    learning_rate=5e-5,
    target_loss_increase=None,
    damping=None,
    samples=None,
    batch_size=1,
    steps=None,
    epochs=1,
    subsample=LARGEST_SHARE,
    sequences=SEQUENCES,
    dropout=True,
    past_collapse=True,
    two_sided=False,
    max_loss_increase=None,
    eval_points=5,
    trainable="all",
)
TARGET, DAMPING, SAMPLES = 0.05, 0.1, 300
"""Of the curvature-scaled step: nats per token, share of the mean eigenvalue, micro-batches."""
PRESETS: dict[tuple[str, str], AscentSettings] = {
    ("untrac", "paper"): _PAPER,
    ("untrac-inv", "paper"): replace(_PAPER, batch_size=None, steps=5, epochs=None, subsample=1.0, sequences=None),
}


@dataclass(frozen=True)
class LinearSettings:
    """Of UnTrac-Inv to first order (:mod:`untrac_core.attribution.linear`)."""

    samples: int
    """Micro-batches of training text for the curvature."""
    damping: float
    """Share of the mean eigenvalue that is added to each factor."""
    effective_trainable: Trainable
    """The parameters whose gradients count: weight matrices, as no others have a curvature."""


@dataclass(frozen=True)
class FlowSettings:
    """Of UnTrac in which the rest holds the model (:mod:`untrac_core.attribution.rest_flow`)."""

    samples: int
    """Micro-batches of training text for the curvature."""
    damping: float
    """Share of the mean eigenvalue that is added to each factor."""
    steps: int
    batch_size: int | None
    """Blocks of every subset in a step; ``None``: 16, of a smaller subset a quarter of what is drawn."""
    relative_step: float
    """Length of a step, in units of the longest that stays in a quadratic valley."""
    subsample: float
    """Share of every subset that a seed draws, without replacement."""
    eval_points: int
    effective_trainable: Trainable
    """The parameters that move: weight matrices, as no others have a curvature."""
    leave_out: tuple[str, ...] | None = None
    """The subsets that are unlearned in turn; ``None``: each."""

    def batch_of(self, blocks: int) -> int:
        """Blocks in a step of a subset that has so many."""
        return self.batch_size or batch_rule(int(blocks * self.subsample))


FLOW_HELD = 5
"""Vectors in memory besides those of the subsets: weights, a gradient, their sum, and what is being scaled."""
FLOW_ROWS = 4
"""Vectors that a subset needs: where it is, its speed, its ascent, and its gradient at the start."""
FLOW = FlowSettings(
    samples=SAMPLES,
    damping=1.0,
    steps=20,
    batch_size=None,
    relative_step=1.0,
    subsample=0.5,
    eval_points=4,
    effective_trainable="matrices",
)
STEP_SETTINGS = (
    "optimizer",
    "learning_rate",
    "target_loss_increase",
    "batch_size",
    "steps",
    "epochs",
    "subsample",
    "sequences",
    "dropout",
    "two_sided",
    "max_loss_increase",
    "eval_points",
)
"""Settings of a method that takes steps."""
_OF_FLOW = ("relative_step", "leave_out")
_OF_KRONECKER = ("target_loss_increase", "damping", "samples")


def ascent_settings(spec: MethodSpec) -> AscentSettings:
    """The preset with the spec's own values in it; :class:`InputError` where a setting would have no effect."""
    given = _given(spec)
    _refuse(given, _OF_FLOW, "an ascent")
    settings = PRESETS[spec.name, given.pop("preset")]
    optimizer = given.get("optimizer", settings.optimizer)
    foreign = ("learning_rate",) if optimizer == "kronecker" else _OF_KRONECKER
    for name in foreign:
        if name in given:
            raise InputError(
                f"{name!r} has no effect with optimizer {optimizer!r}", field="method", hint="remove one of the two"
            )
    if optimizer == "kronecker":
        defaults: dict[str, Any] = dict(zip(_OF_KRONECKER, (TARGET, DAMPING, SAMPLES), strict=True))
        defaults |= {"learning_rate": None}
    else:
        defaults = {
            "target_loss_increase": None,
            "damping": None,
            "samples": None,
            "learning_rate": _PAPER.learning_rate,
        }
    if optimizer != settings.optimizer:
        settings = replace(settings, **defaults)
    if "epochs" in given:
        given["steps"] = None
    if "steps" in given and given["steps"] is not None:
        given["epochs"] = None
    return replace(settings, **given)


def linear_settings(spec: MethodSpec) -> LinearSettings:
    """The preset ``robust`` of UnTrac-Inv with the spec's own values; :class:`InputError` for a setting of steps."""
    given = _given(spec)
    _refuse(given, (*STEP_SETTINGS, *_OF_FLOW), "UnTrac-Inv with preset 'robust', which takes no steps")
    return LinearSettings(
        samples=given.get("samples", SAMPLES),
        damping=given.get("damping", DAMPING),
        effective_trainable=_matrices(given),
    )


def flow_settings(spec: MethodSpec) -> FlowSettings:
    """The preset ``robust`` of UnTrac with the spec's own values; :class:`InputError` for a setting of an ascent."""
    given = _given(spec)
    names = ("samples", "damping", "steps", "batch_size", "relative_step", "subsample", "eval_points")
    _refuse(given, set(STEP_SETTINGS) - set(names), "UnTrac with preset 'robust', in which the rest holds the model")
    values = {name: given[name] for name in names if name in given}
    chosen = tuple(given["leave_out"]) if "leave_out" in given else None
    return replace(FLOW, effective_trainable=_matrices(given), leave_out=chosen, **values)


def _refuse(given: Mapping[str, Any], names: Iterable[str], what: str) -> None:
    for name in names:
        if name in given:
            raise InputError(
                f"{name!r} has no effect on {what}", field="method", hint="remove it, or set 'preset: paper'"
            )


def _matrices(given: Mapping[str, Any]) -> Trainable:
    trainable: Trainable = given.get("trainable", "matrices")
    return "matrices" if trainable == "all" else trainable


def _given(spec: MethodSpec) -> dict[str, Any]:
    return {name: value for name, value in spec.settings().items() if value is not None}


def notes_of(spec: MethodSpec) -> list[str]:
    """What a method's settings leave out, in words."""
    if spec.takes_steps:
        return ascent_settings(spec).notes
    return [MATRICES_ONLY] if spec.unlearns and getattr(spec, "trainable", None) == "all" else []


def trainable_of(spec: MethodSpec) -> Trainable:
    """The parameters that a method needs gradients of."""
    if spec.takes_steps:
        return ascent_settings(spec).effective_trainable
    return _smooth(spec).effective_trainable if spec.unlearns else getattr(spec, "trainable", "all")


def _smooth(spec: MethodSpec) -> LinearSettings | FlowSettings:
    return linear_settings(spec) if spec.name == "untrac-inv" else flow_settings(spec)


def settings_priced(spec: MethodSpec) -> AscentSettings | LinearSettings | FlowSettings:
    """What a method's cost is told from: its own settings, or one step of unlearning for any other method."""
    if spec.unlearns:
        return ascent_settings(spec) if spec.takes_steps else _smooth(spec)
    one_step = replace(PRESETS["untrac-inv", "paper"], optimizer="sgd", steps=1, eval_points=1, subsample=0.5)
    if isinstance(spec, ContinuationSettings):
        one_step = replace(one_step, optimizer="adam")
    return replace(one_step, trainable=trainable_of(spec))
