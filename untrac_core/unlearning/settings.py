"""The settings of each unlearning method, and how a spec changes them; free of torch, so that a check can price them.

Where the published defaults were made for models of billions of parameters, a model below :data:`SMALL` has its own
(measured on the synthetic model of 0.1 million parameters in ``tests/helpers/unlearning_lab.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from untrac_core.specs.methods import AscentOnlySettings, UnlearningMethodSpec
from untrac_core.specs.parts import Trainable

SMALL = 10_000_000
"""Parameters below which a model counts as small."""
BATCH_TOKENS = 600
"""Of the texts of a step, unless their number is named: with few short texts the noise of what is retained decides."""
FEWEST, MOST = 8, 64
FLOW_TOKENS = 4_000
"""Of the texts to retain in a step of the rest flow, unless their number is named: the noise of fewer makes it run away
(on the laboratory's model 128 texts of ten tokens after 16 to 43 steps)."""
NATS_HELD = 5.0
"""NPO's beta is this over a text's tokens unless it is named: .5 for ten tokens, .1 for fifty, as published for
answers of that length. NPO sees the summed loss of a text, so the same beta lets a long one go far sooner."""


@dataclass(frozen=True)
class UnlearningConfig:
    """How an unlearning goes; what is ``None`` depends on the texts (:func:`settled`)."""

    learning_rate: float
    mask_fraction: float
    noise: float
    noise_is_relative: bool
    """In deviations of the tensor that it is added to."""
    batch_size: int | None = None
    """``None``: :data:`BATCH_TOKENS` over the mean number of tokens of a text to forget."""
    beta: float | None = None
    """``None``: :data:`NATS_HELD` over the mean number of tokens of a text to forget."""
    retain: str = "nll"
    compensate: str = "none"
    retain_weight: float = 1.0
    forget_weight: float | None = 1.0
    """``None``: 1 over the mean number of tokens of a text to forget. NPO sums over a text's tokens, and what is
    retained counts by the token: with weight 1 a long text outweighs the rest until it is forgotten far too much."""
    max_forget_loss: float | None = None
    objective: str = "npo"
    refusal: str | None = None
    mask: str = "gradient-ratio"
    shards: int = 4
    slices: int = 2
    steps: int = 8
    damping: float = 0.1
    samples: int = 300
    relative_step: float = 0.5
    flows: bool = False
    """Whether steps are those of the rest flow, which takes larger batches."""
    trainable: Trainable = "all"


def unlearning_config(spec: UnlearningMethodSpec, parameters: int) -> UnlearningConfig:
    """The settings of a method on a model of so many parameters; what it does not have stands at the common value."""
    small = parameters < SMALL
    rate = 1e-3 if small else 1e-5
    open_values = {
        # Plain ascent has nothing that holds it back: in larger steps the last one before a stop overshoots.
        "learning_rate": rate / 10 if isinstance(spec, AscentOnlySettings) else rate,
        "mask_fraction": 0.3 if small else 0.1,
        "noise": 0.5 if small else 0.01,
    }
    given = spec.settings() | {name: value for name, value in open_values.items() if getattr(spec, name, None) is None}
    if given.get("objective", "npo") != "npo" and given["forget_weight"] is None:
        given["forget_weight"] = 1.0
    return UnlearningConfig(noise_is_relative=small, **(given | spec.fixed))


def settled(settings: UnlearningConfig, tokens: float) -> UnlearningConfig:
    """The settings with nothing left open: a text to forget has so many tokens on average."""
    least = round(max(FEWEST, FLOW_TOKENS / tokens)) if settings.flows else 0
    batch = settings.batch_size or least or round(min(MOST, max(FEWEST, BATCH_TOKENS / tokens)))
    weight = 1 / tokens if settings.forget_weight is None else settings.forget_weight
    return replace(settings, batch_size=batch, forget_weight=weight, beta=settings.beta or NATS_HELD / tokens)
