"""Warnings of an unlearning: rules that say when one of its numbers misleads.

All are about one method, in what was measured of it, of the model before, and of the retrained model, the models
that never saw the forget set. Sensitivity of this model under this procedure, never proof of erasure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from untrac_core.unlearning.metrics.summary import FORGET, RETAIN, MetricValues

NEAR_NATS = 0.15
"""Losses per token that are as close as this count as the same."""
BEHAVIOUR_LEFT = 0.5
"""How much of the distance to the retrained model may be left where the loss alone says that it is forgotten."""
CHANCE = 0.06
"""About .5, an AUC says nothing; this far below the retrained model's, a method has gone too far."""
DESTROYED = 1.5
"""A model whose loss of the retain set is so many times what it was has lost more than the forget set."""
SHALLOW = 0.75
"""Fewer than this share of the retrained model's steps to relearn is less than forgotten."""


@dataclass(frozen=True)
class MethodSummary:
    """What was measured: of a method (the mean over its seeds), of the model before, and of the retrained model.

    Of the retrained model: mean, lowest and highest over its seeds; empty without one.
    """

    title: str
    after: MetricValues
    before: MetricValues
    retrained: MetricValues
    seed_noise: Mapping[tuple[str, str], float]
    """How far two retrained models are apart, by measure."""
    collapsed: bool = False
    distinguishable: bool | None = None
    """Whether a test tells the method's truth ratios (or losses) from the retrained model's."""
    retrained_distinguishable: bool | None = None
    """Whether it tells two retrained models apart."""


def warnings_for(told: MethodSummary) -> list[str]:
    """Everything that a reader must know before the numbers are believed."""
    if told.collapsed:
        return [f"{told.title}: the model collapsed. It knows nothing any more, so its numbers say nothing."]
    rules = (_destroyed, _loss_hides_behaviour, _over_unlearned, _below_the_floor, _always_distinguishable, _shallow)
    found = [rule(told) for rule in rules]
    return [f"{told.title}: {text}" for text in found if text]


def is_destroyed(told: MethodSummary) -> bool:
    """Whether the model has lost far more than the forget set."""
    after, before = told.after.get(("loss", RETAIN), math.nan), told.before.get(("loss", RETAIN), math.nan)
    return told.collapsed or after > DESTROYED * before


def _destroyed(told: MethodSummary) -> str:
    """Membership tests and RelEx read as perfect on a model that knows nothing."""
    if not is_destroyed(told):
        return ""
    auc, relex = told.after.get(("auc", FORGET)), told.after.get(("relex", FORGET))
    perfect = []
    if auc is not None and abs(auc - 0.5) < CHANCE:
        perfect.append(f"a membership AUC of {auc:.2f}")
    if relex is not None and abs(relex) < abs(told.before.get(("relex", FORGET), math.inf)) / 4:
        perfect.append(f"a relative exposure of {relex:.1f} bits")
    loss, was = told.after["loss", RETAIN], told.before["loss", RETAIN]
    text = f"the retain set went from {was:.2f} to {loss:.2f} nats per token: the model is damaged"
    return text + (
        f". {' and '.join(perfect).capitalize()} would look perfect, and mean nothing here." if perfect else "."
    )


def _loss_hides_behaviour(told: MethodSummary) -> str:
    """The mean loss is that of the retrained model, while the model still behaves as before."""
    loss, retrained = told.after.get(("loss", FORGET)), told.retrained.get(("loss", FORGET))
    if loss is None or retrained is None or loss < retrained - NEAR_NATS:
        return ""
    left = _left(told, ("kl", FORGET))
    if left is not None and left > BEHAVIOUR_LEFT:
        return (
            f"the texts are as unlikely as to the retrained model ({loss:.2f} nats per token), but next-token "
            "probabilities are "
            f"still {left:.0%} as far from the retrained model's as before: a mean loss does not show what the model "
            "says instead."
        )
    for metric in ("toxic", "contrast"):
        for place in [key for key in told.after if key[0] == metric]:
            left = _left(told, place)
            if left is not None and left > BEHAVIOUR_LEFT:
                return (
                    f"the texts are as unlikely as to the retrained model, but the behaviour ({metric}, {place[1]}) "
                    "is still "
                    f"{left:.0%} as far from the retrained model's as before."
                )
    return ""


def _left(told: MethodSummary, place: tuple[str, str]) -> float | None:
    """The share of a metric's distance to the retrained model that is left; ``None`` where there was hardly any."""
    after, before = told.after.get(place), told.before.get(place)
    retrained = 0.0 if place[0] == "kl" else told.retrained.get(place)
    if after is None or before is None or retrained is None:
        return None
    was, seed_noise = abs(before - retrained), told.seed_noise.get(place, 0.0)
    return abs(after - retrained) / was if was > 3 * seed_noise and was > 0 else None


def _over_unlearned(told: MethodSummary) -> str:
    """A text that is unlikelier than one that was never seen tells that it was there."""
    auc, retrained = told.after.get(("auc", FORGET)), told.retrained.get(("auc", FORGET))
    if (
        auc is not None
        and retrained is not None
        and auc < retrained - max(CHANCE, 2 * told.seed_noise.get(("auc", FORGET), 0.0))
    ):
        return (
            f"the texts are less likely than unseen ones (AUC {auc:.2f}, the retrained model {retrained:.2f}): "
            "forgotten too much, "
            "which gives them away as surely as too little."
        )
    genex = told.after.get(("genex", FORGET))
    was = told.before.get(("genex", FORGET))
    if genex is not None and was is not None and genex < -abs(was) / 2:
        return (
            f"the texts are less likely than to the retrained model (generalised exposure {genex:.1f} bits): "
            "forgotten too much."
        )
    return ""


def _below_the_floor(told: MethodSummary) -> str:
    """Nothing can be closer to the retrained model than the retrained model is to itself."""
    place = ("kl", FORGET)
    after, seed_noise, before = told.after.get(place), told.seed_noise.get(place), told.before.get(place, 0.0)
    if after is not None and seed_noise is not None and after < seed_noise < before:
        return (
            f"its distance to the retrained model ({after:.3f}) is within what two retrained models differ by "
            f"({seed_noise:.3f}): "
            "closer than that cannot be told. It is the distance to the first seed's, from whose initial weights the "
            "model itself may have been trained."
        )
    return ""


def _always_distinguishable(told: MethodSummary) -> str:
    """A significance test as a score would fail everyone."""
    if told.distinguishable and told.retrained_distinguishable:
        return (
            "a test tells it from the retrained model, but it tells two retrained models apart as well: "
            "that is no fault of the method."
        )
    return ""


def _shallow(told: MethodSummary) -> str:
    """What comes back at once was hidden, not gone."""
    own, retrained = told.after.get(("relearning", FORGET)), told.retrained.get(("relearning", FORGET))
    if own == 0:
        loss, was = told.after.get(("loss", FORGET), math.nan), told.before.get(("loss", FORGET), math.nan)
        return f"the texts were not forgotten: {loss:.2f} nats per token, and {was:.2f} before."
    if own is not None and retrained is not None and own < SHALLOW * retrained:
        return (
            f"{own:.0f} steps on the texts bring them back, and {retrained:.0f} teach them to a model that never saw "
            "them: "
            "some of it was hidden, not gone."
        )
    return ""
