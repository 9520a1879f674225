"""The settings behind each method's presets, and how a spec changes them.

``paper``: Isonuma and Titov (ACL 2024), section 5: Adam, rate 5e-5 constant, no clipping; UnTrac: batch 1, one epoch;
UnTrac-Inv: all test examples as one batch, 5 steps. ``robust``, UnTrac: a small curvature-scaled step to both sides
(see :mod:`untrac_core.training.preconditioner`), each seed on a random half of the set, ended before the model
collapses; UnTrac-Inv: the limit of smaller and smaller such steps, which takes none.

Free of torch, so that a check can plan and price an unlearning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from untrac_core.errors import InputError
from untrac_core.specs import MethodSpec, Optimizer, Trainable
from untrac_core.specs.methods import ContinuationSettings

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
    """Share of the examples that a seed draws, without replacement."""
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


_PAPER = AscentSettings(
    optimizer="adam",
    learning_rate=5e-5,
    target_loss_increase=None,
    damping=None,
    samples=None,
    batch_size=1,
    steps=None,
    epochs=1,
    subsample=1.0,
    two_sided=False,
    max_loss_increase=None,
    eval_points=5,
    trainable="all",
)
_ROBUST = AscentSettings(
    optimizer="kronecker",
    learning_rate=None,
    target_loss_increase=0.05,
    damping=0.1,
    samples=300,
    batch_size=None,
    steps=2,
    epochs=None,
    subsample=0.5,
    two_sided=True,
    max_loss_increase=0.5,
    eval_points=2,
    trainable="matrices",
)
PRESETS: dict[tuple[str, str], AscentSettings] = {
    ("untrac", "paper"): _PAPER,
    ("untrac-inv", "paper"): replace(_PAPER, batch_size=None, steps=5, epochs=None),
    ("untrac", "robust"): _ROBUST,
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


STEP_SETTINGS = (
    "optimizer",
    "learning_rate",
    "target_loss_increase",
    "batch_size",
    "steps",
    "epochs",
    "subsample",
    "two_sided",
    "max_loss_increase",
    "eval_points",
)
"""Settings of a method that takes steps."""
_OF_KRONECKER = ("target_loss_increase", "damping", "samples")


def ascent_settings(spec: MethodSpec) -> AscentSettings:
    """The preset with the spec's own values in it; :class:`InputError` where a setting would have no effect."""
    given = _given(spec)
    settings = PRESETS[spec.name, given.pop("preset")]
    optimizer = given.get("optimizer", settings.optimizer)
    foreign = ("learning_rate",) if optimizer == "kronecker" else _OF_KRONECKER
    for name in foreign:
        if name in given:
            raise InputError(
                f"{name!r} has no effect with optimizer {optimizer!r}", field="method", hint="remove one of the two"
            )
    if optimizer == "kronecker":
        defaults = {name: getattr(_ROBUST, name) for name in _OF_KRONECKER} | {"learning_rate": None}
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
    for name in STEP_SETTINGS:
        if name in given:
            raise InputError(
                f"{name!r} has no effect on UnTrac-Inv with preset 'robust', which takes no steps",
                field="method",
                hint="remove it, or set 'preset: paper'",
            )
    trainable = given.get("trainable", _ROBUST.trainable)
    return LinearSettings(
        samples=given.get("samples", _ROBUST.samples or 1),
        damping=given.get("damping", _ROBUST.damping or 0.1),
        effective_trainable="matrices" if trainable == "all" else trainable,
    )


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
    return linear_settings(spec).effective_trainable if spec.unlearns else getattr(spec, "trainable", "all")


def settings_priced(spec: MethodSpec) -> AscentSettings | LinearSettings:
    """What a method's cost is told from: its own settings, or one step of unlearning for any other method."""
    if spec.unlearns:
        return ascent_settings(spec) if spec.takes_steps else linear_settings(spec)
    one_step = replace(PRESETS["untrac-inv", "paper"], optimizer="sgd", steps=1, eval_points=1, subsample=0.5)
    if isinstance(spec, ContinuationSettings):
        one_step = replace(one_step, optimizer="adam")
    return replace(one_step, trainable=trainable_of(spec))
