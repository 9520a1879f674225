"""What a verification found: each text's influence with its interval, and the chosen texts against the controls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from untrac_core.results.folders import VERIFIED_COLUMNS
from untrac_core.specs import PromptSet
from untrac_core.stats.bootstrap import CONTRAST
from untrac_core.stats.clusters import Clusters
from untrac_core.stats.intervals import Array, Estimate, around, estimate, excludes_zero, items_margin, student_margin
from untrac_core.tasks.verify.check import VerifiedExample
from untrac_core.text.labels import texts_of

Sides = Mapping[str, Sequence[Estimate]]
"""Side to one estimate per text, in the order of the texts."""


def side_estimates(
    changes: Mapping[str, Array], tokens: Mapping[str, Array], clusters: Mapping[str, Clusters] | None = None
) -> dict[str, list[Estimate]]:
    """Every text's influence on each side, the contrast first where there are two sides.

    ``changes``: by side, shape (texts, items), each item's change of loss in nats; ``tokens``: by side, (items,);
    ``clusters``: by side, of the items, each for itself where none are given.
    """
    found = {}
    for side, changes_of in changes.items():
        of_side = None if clusters is None else clusters[side]
        population = "both sides" if of_side is not None and of_side.paired else side
        found[side] = [estimate(change[None], tokens[side], population, clusters=of_side) for change in changes_of]
    if len(found) < 2:
        return found
    pairs = zip(found["harmful"], found["harmless"], strict=True)
    return {CONTRAST: [harmful - harmless for harmful, harmless in pairs]} | found


def check_frame(texts: Sequence[VerifiedExample], sides: Sides, loss_increases: Sequence[float]) -> pd.DataFrame:
    """The table of ``verified_examples.parquet``: one row per side and text; no influence where the model broke."""
    rows = []
    for side, estimates in sides.items():
        for text, found, loss_increase in zip(texts, estimates, loss_increases, strict=True):
            reach = items_margin(found)
            value = found.value if math.isfinite(found.value) else math.nan
            rows.append((text.subset, text.id, text.role, side, value, value - reach, value + reach, loss_increase))
    return pd.DataFrame(rows, columns=VERIFIED_COLUMNS)


def comparison_rows(texts: Sequence[VerifiedExample], sides: Sides, prompts: PromptSet) -> list[dict[str, Any]]:
    """For each side: do the chosen texts move the prompts more than the controls, with its interval and in words.

    The difference of the two means. Its interval is over both: which items the prompt set has, which the two means
    share, and which texts were chosen and drawn.
    """
    rows = []
    for side, estimates in sides.items():
        by_role = {
            role: [
                found
                for text, found in zip(texts, estimates, strict=True)
                if text.role == role and math.isfinite(found.value)
            ]
            for role in ("chosen", "control")
        }
        means = {role: _mean(found) for role, found in by_role.items()}
        chosen, control = means["chosen"], means["control"]
        difference = None if chosen is None or control is None else chosen - control
        interval = None
        if difference is not None and len(by_role["control"]) > 1:
            margins = [items_margin(difference)]
            margins += [
                student_margin(np.array([one.value for one in found])) for found in by_role.values() if len(found) > 1
            ]
            ends = around(difference.value, margins)
            interval = None if math.isnan(ends[0]) else ends
        rows.append(
            {
                "side": side,
                "chosen": None if chosen is None else chosen.value,
                "control": None if control is None else control.value,
                "difference": None if difference is None else difference.value,
                "low": interval[0] if interval else None,
                "high": interval[1] if interval else None,
                "texts": len(by_role["chosen"]),
                "controls": len(by_role["control"]),
                "clear": excludes_zero(interval),
            }
        )
        rows[-1]["text"] = in_words(rows[-1], prompts)
    return rows


def _mean(found: Sequence[Estimate]) -> Estimate | None:
    if not found:
        return None
    total = found[0]
    for one in found[1:]:
        total = total + one
    return total * (1 / len(found))


def in_words(row: Mapping[str, Any], prompts: PromptSet) -> str:
    """A row of :func:`comparison_rows` as a sentence; holds a user's words (show as text)."""
    if row["chosen"] is None:
        return "Nothing can be said: the model broke while each of the chosen texts was unlearned."
    if row["control"] is None:
        return "No control has a number, so nothing says what any other text would do."
    moved = texts_of(prompts, row["side"])
    if row["low"] is None:
        return f"Cannot separate: one control, or one item, says nothing about its own noise ({moved})."
    size = f"{row['difference']:+.2g} nats per token, 95% interval {row['low']:+.2g} to {row['high']:+.2g}"
    over = f"{row['texts']} chosen and {row['controls']} others"
    if not row["clear"]:
        return (
            "Cannot separate: unlearned alone, the chosen texts cannot be told from texts drawn at random in what they "
            f"do to {moved} (difference {size}; {over})."
        )
    way = "less likely" if row["difference"] > 0 else "likelier"
    return (
        f"Unlearned alone, the chosen texts make {moved} {way} than texts drawn at random from the same "
        f"subsets do ({size}; {over})."
    )
