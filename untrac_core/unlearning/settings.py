"""The settings behind each removal method, and how a spec changes them; free of torch, so that a check can price them.

Where the published defaults were made for models of billions of parameters, a model below :data:`SMALL` has its own
(measured in ``reference`` laboratories of 0.1 million parameters, as the README of the benchmarks says).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from untrac_core.errors import InputError
from untrac_core.spec_parts import Moves
from untrac_core.unlearn_spec import RemovalSpec

SMALL = 10_000_000
"""Parameters below which a model counts as small."""
BATCH_TOKENS = 600
"""Of the texts of a step, unless their number is named: with few short texts the noise of what is retained decides."""
FEWEST, MOST = 8, 64
NATS_HELD = 5.0
"""NPO's beta is this over a text's tokens unless it is named: .5 for ten tokens, .1 for fifty, as published for
answers of that length. NPO sees the summed loss of a text, so the same beta lets a long one go far sooner."""
_COMMON = frozenset({"learning_rate", "batch", "moves"})
_WEIGHTS = frozenset({"forget_weight", "retain", "retain_weight"})
TAKES: dict[str, frozenset[str]] = {
    "npo": _COMMON | _WEIGHTS | {"beta"},
    "sim-npo": _COMMON | _WEIGHTS | {"beta"},
    "grad-diff": _COMMON | _WEIGHTS | {"cap"},
    "ascent": _COMMON,
    "grin": _COMMON | _WEIGHTS | {"beta", "cap", "objective", "refusal", "mask", "share", "noise"},
    "retain-only": _COMMON | {"retain"},
    "retrain": frozenset(),
    "sisa": frozenset({"shards", "slices"}),
}
"""The settings of a spec that each method has."""


@dataclass(frozen=True)
class RemovalSettings:
    """How an unlearning goes; what is ``None`` depends on the texts (:func:`settled`)."""

    learning_rate: float
    batch: int | None
    """``None``: :data:`BATCH_TOKENS` over the mean number of tokens of a text to forget."""
    beta: float | None
    """``None``: :data:`NATS_HELD` over the mean number of tokens of a text to forget."""
    retain: str
    retain_weight: float
    forget_weight: float | None
    """``None``: 1 over the mean number of tokens of a text to forget. NPO sums over a text's tokens, and what is
    retained counts by the token: with weight 1 a long text outweighs the rest until it is forgotten far too much."""
    cap: float | None
    objective: str
    refusal: str | None
    mask: str
    share: float
    noise: float
    noise_is_relative: bool
    """In deviations of the tensor that it is added to."""
    shards: int
    slices: int
    moves: Moves


def removal_settings(spec: RemovalSpec, parameters: int) -> RemovalSettings:
    """The settings of a method on a model of so many parameters.

    Raises:
        InputError: where a setting would have no effect, or one is missing.
    """
    given: dict[str, Any] = spec.model_dump(exclude={"name", "label"}, exclude_none=True)
    where = f"method {spec.title!r}"
    for name in given:
        if name not in TAKES[spec.name]:
            raise InputError(f"{name!r} has no effect with method {spec.name!r}", where=where, mend="remove it")
    if spec.objective == "po" and spec.refusal is None:
        raise InputError("'objective: po' needs a 'refusal'", where=where, mend="write the answer that is to come")
    if spec.refusal is not None and spec.objective != "po":
        raise InputError("'refusal' has no effect without 'objective: po'", where=where, mend="remove one of the two")
    small = parameters < SMALL
    rate = 1e-3 if small else 1e-5
    values: dict[str, Any] = {
        # Plain ascent has nothing that holds it back: in larger steps the last one before a stop overshoots.
        "learning_rate": rate / 10 if spec.name == "ascent" else rate,
        "batch": None,
        "beta": 2.5 if spec.name == "sim-npo" else None,
        "retain": "nll",
        "retain_weight": 0.0 if spec.name == "ascent" else 1.0,
        # SimNPO's own balance (Fan et al., 2024): its loss is per token, a text's gradient as large as ascent's.
        "forget_weight": {"sim-npo": 0.125, "retain-only": 0.0, "npo": None}.get(spec.name, 1.0),
        "cap": None,
        "objective": "npo" if spec.name == "grin" else spec.name,
        "refusal": None,
        "mask": "gradient-ratio",
        "share": 0.3 if small else 0.1,
        "noise": 0.5 if small else 0.01,
        "noise_is_relative": small,
        "shards": 4,
        "slices": 2,
        "moves": "all",
    }
    if spec.name == "grin" and spec.objective in (None, "npo"):
        values["forget_weight"] = None
    return RemovalSettings(**(values | given))


def settled(settings: RemovalSettings, tokens: float) -> RemovalSettings:
    """The settings with nothing left open: a text to forget has so many tokens on average."""
    batch = settings.batch or round(min(MOST, max(FEWEST, BATCH_TOKENS / tokens)))
    weight = 1 / tokens if settings.forget_weight is None else settings.forget_weight
    return replace(settings, batch=batch, forget_weight=weight, beta=settings.beta or NATS_HELD / tokens)
