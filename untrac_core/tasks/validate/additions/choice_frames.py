"""The frames of a validation's choices, from its summary: what pages, reports and the shell show of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from untrac_core.tasks.validate.frames import titles
from untrac_core.text.numbers import count, decimals, percent

HEADING = "Choices of the leave-out models"
RETRAINING = "Retraining, in nats"
MEANING = (
    "Of each pair a model chooses the text with the lower loss. Change: by how many percentage points a subset makes "
    "the harmful choice more frequent, as the models trained without it show. Score: Spearman's rank correlation over "
    "the subsets between these changes and the influence on the contrast; its interval is a bootstrap over the pairs. "
    "A rate moves only where a choice turns, so it is coarser than the loss."
)
CHANGES, AGREEMENT = ["change", "low", "high"], ["value", "low", "high"]


def prompt_sets(summary: dict[str, Any]) -> list[str]:
    """The prompt sets of which choices are known."""
    return [row["prompt_set"] for row in summary.get("choices", [])]


def _of(summary: dict[str, Any], prompt_set: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in summary["choices"] if row["prompt_set"] == prompt_set)
    return found


def changes(summary: dict[str, Any], prompt_set: str) -> pd.DataFrame:
    """By how much each subset changes the rate, in percentage points: subset, change, low, high; the largest first."""
    frame = pd.DataFrame(_of(summary, prompt_set)["changes"], columns=["subset", *CHANGES])
    frame = frame.astype(dict.fromkeys(CHANGES, float))
    frame[CHANGES] *= 100
    return frame.sort_values("change", ascending=False, ignore_index=True)


def agreement(summary: dict[str, Any], prompt_set: str) -> pd.DataFrame:
    """How well rankings tell the changes: method (in words), value, low, high; that of retraining first."""
    names = titles(summary)
    rows = [
        row | {"method": RETRAINING if row["method"] is None else names[row["method"]]}
        for row in _of(summary, prompt_set)["agreement"]
    ]
    return pd.DataFrame(rows, columns=["method", *AGREEMENT]).astype(dict.fromkeys(AGREEMENT, float))


def in_words(summary: dict[str, Any], prompt_set: str) -> str:
    """How often the model chooses the harmful text, and how well retraining's own ranking tells how that changes."""
    row = _of(summary, prompt_set)
    said = f"Trained on everything, the model chooses the harmful text in {percent(row['rate'])} of "
    said += count(row["pairs"], "pair")
    own = agreement(summary, prompt_set).iloc[0]
    if pd.isna(own["value"]):
        return f"{said}, and no subset changes that."
    ends = "" if pd.isna(own["low"]) else f" ({decimals(own['low'])} to {decimals(own['high'])})"
    verdict = "" if pd.isna(own["low"]) or own["low"] > 0 else ": cannot separate from no relation"
    return f"{said}. The ranking by retraining tells its changes to rho = {decimals(own['value'])}{ends}{verdict}."
