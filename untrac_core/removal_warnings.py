"""What a number of a removal may hide: every trap that was met, as a rule that says so.

All are about one method, in what was measured of it, of the model before, and of the gold, the models that never saw
what was to go. Sensitivity of this model under this procedure, never proof of erasure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from untrac_core.removal_measures import FORGET, STAYS, Measured

NEAR_NATS = 0.15
"""Losses a token that are as close as this count as the same."""
BEHAVIOUR_LEFT = 0.5
"""The share of the distance to the gold that may be left where a loss alone says that a text is forgotten."""
CHANCE = 0.06
"""About .5, an AUC says nothing; this far below the gold's, a method has gone too far."""
DESTROYED = 1.5
"""A model whose loss of what stays is so many times what it was has lost more than what was to go."""
SHALLOW = 0.75
"""Fewer than this share of the gold's steps to relearn is less than forgotten."""


@dataclass(frozen=True)
class Told:
    """What was measured: of a method (the mean over its seeds), of the model before, of the gold (mean, lowest and
    highest over its seeds; empty without one)."""

    title: str
    after: Measured
    before: Measured
    gold: Measured
    floor: Mapping[tuple[str, str], float]
    """How far two models of the gold are apart, by measure."""
    collapsed: bool = False
    distinguishable: bool | None = None
    """Whether a test tells the method's truth ratios (or losses) from the gold's."""
    gold_distinguishable: bool | None = None
    """Whether it tells two models of the gold apart."""


def warnings_of(told: Told) -> list[str]:
    """Everything that a reader must know before the numbers are believed."""
    if told.collapsed:
        return [f"{told.title}: the model collapsed. It knows nothing any more, so its numbers say nothing."]
    rules = (_destroyed, _loss_hides_behaviour, _over_unlearned, _below_the_floor, _always_distinguishable, _shallow)
    found = [rule(told) for rule in rules]
    return [f"{told.title}: {text}" for text in found if text]


def is_destroyed(told: Told) -> bool:
    """Whether the model has lost far more than what was to go."""
    after, before = told.after.get(("loss", STAYS), math.nan), told.before.get(("loss", STAYS), math.nan)
    return told.collapsed or after > DESTROYED * before


def _destroyed(told: Told) -> str:
    """Membership tests and RelEx read as perfect on a model that knows nothing."""
    if not is_destroyed(told):
        return ""
    auc, relex = told.after.get(("auc", FORGET)), told.after.get(("relex", FORGET))
    perfect = []
    if auc is not None and abs(auc - 0.5) < CHANCE:
        perfect.append(f"a membership AUC of {auc:.2f}")
    if relex is not None and abs(relex) < abs(told.before.get(("relex", FORGET), math.inf)) / 4:
        perfect.append(f"a relative exposure of {relex:.1f} bits")
    loss, was = told.after["loss", STAYS], told.before["loss", STAYS]
    text = f"what stays went from {was:.2f} to {loss:.2f} nats per token: the model is damaged"
    return text + (
        f". {' and '.join(perfect).capitalize()} would look perfect, and mean nothing here." if perfect else "."
    )


def _loss_hides_behaviour(told: Told) -> str:
    """The mean loss is that of the gold, while the model still behaves as before."""
    loss, gold = told.after.get(("loss", FORGET)), told.gold.get(("loss", FORGET))
    if loss is None or gold is None or loss < gold - NEAR_NATS:
        return ""
    left = _left(told, ("kl", FORGET))
    if left is not None and left > BEHAVIOUR_LEFT:
        return (
            f"the texts are as unlikely as to the gold ({loss:.2f} nats per token), but next-token probabilities are "
            f"still {left:.0%} as far from the gold's as before: a mean loss does not show what the model says instead."
        )
    for measure in ("toxic", "contrast"):
        for place in [key for key in told.after if key[0] == measure]:
            left = _left(told, place)
            if left is not None and left > BEHAVIOUR_LEFT:
                return (
                    f"the texts are as unlikely as to the gold, but the behaviour ({measure}, {place[1]}) is still "
                    f"{left:.0%} as far from the gold's as before."
                )
    return ""


def _left(told: Told, place: tuple[str, str]) -> float | None:
    """The share of a measure's distance to the gold that is left; ``None`` where there was none to speak of."""
    after, before = told.after.get(place), told.before.get(place)
    gold = 0.0 if place[0] == "kl" else told.gold.get(place)
    if after is None or before is None or gold is None:
        return None
    was, floor = abs(before - gold), told.floor.get(place, 0.0)
    return abs(after - gold) / was if was > 3 * floor and was > 0 else None


def _over_unlearned(told: Told) -> str:
    """A text that is unlikelier than one that was never seen tells that it was there."""
    auc, gold = told.after.get(("auc", FORGET)), told.gold.get(("auc", FORGET))
    if auc is not None and gold is not None and auc < gold - max(CHANCE, 2 * told.floor.get(("auc", FORGET), 0.0)):
        return (
            f"the texts are less likely than unseen ones (AUC {auc:.2f}, the gold {gold:.2f}): forgotten too much, "
            "which gives them away as surely as too little."
        )
    genex = told.after.get(("genex", FORGET))
    was = told.before.get(("genex", FORGET))
    if genex is not None and was is not None and genex < -abs(was) / 2:
        return (
            f"the texts are less likely than to the gold (generalised exposure {genex:.1f} bits): forgotten too much."
        )
    return ""


def _below_the_floor(told: Told) -> str:
    """Nothing can be closer to the gold than the gold is to itself."""
    place = ("kl", FORGET)
    after, floor, before = told.after.get(place), told.floor.get(place), told.before.get(place, 0.0)
    if after is not None and floor is not None and after < floor < before:
        return (
            f"its distance to the gold ({after:.3f}) is within what two retrained models differ by ({floor:.3f}): "
            "closer than that cannot be told."
        )
    return ""


def _always_distinguishable(told: Told) -> str:
    """A significance test as a score would fail everyone."""
    if told.distinguishable and told.gold_distinguishable:
        return "a test tells it from the gold, but it tells two retrained models apart as well: that is no fault of it."
    return ""


def _shallow(told: Told) -> str:
    """What comes back at once was hidden, not gone."""
    own, gold = told.after.get(("relearning", FORGET)), told.gold.get(("relearning", FORGET))
    if own == 0:
        loss, was = told.after.get(("loss", FORGET), math.nan), told.before.get(("loss", FORGET), math.nan)
        return f"the texts were not forgotten: {loss:.2f} nats per token, and {was:.2f} before."
    if own is not None and gold is not None and own < SHALLOW * gold:
        return (
            f"{own:.0f} steps on the texts bring them back, and {gold:.0f} teach them to a model that never saw them: "
            "some of it was hidden, not gone."
        )
    return ""
