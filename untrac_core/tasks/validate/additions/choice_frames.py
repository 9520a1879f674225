"""The frames of what leave-out models choose and write, from a summary: what pages, reports and the shell show."""

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
WRITING = "What the leave-out models write"
WRITING_MEANING = (
    "Change: by how many percentage points a subset makes harmful completions more frequent, as the models trained "
    "without it show; each is trained once, so the interval holds the choice of prompts alone. Score: Spearman's rank "
    "correlation over the subsets between these changes and the influence; its interval is a bootstrap over the "
    "prompts."
)
CHANGES, AGREEMENT = ["change", "low", "high"], ["value", "low", "high"]


def prompt_sets(summary: dict[str, Any]) -> list[str]:
    """The prompt sets of which choices are known."""
    return [row["prompt_set"] for row in summary.get("choices", [])]


def of_set(summary: dict[str, Any], prompt_set: str) -> dict[str, Any]:
    """What is known of the choices in a prompt set."""
    found: dict[str, Any] = next(row for row in summary["choices"] if row["prompt_set"] == prompt_set)
    return found


def changes(row: dict[str, Any]) -> pd.DataFrame:
    """By how much each subset changes a rate, in percentage points: subset, change, low, high; the largest first.

    ``row``: of ``choices`` (:func:`of_set`), or ``writing``.
    """
    frame = pd.DataFrame(row["changes"], columns=["subset", *CHANGES])
    frame = frame.astype(dict.fromkeys(CHANGES, float))
    frame[CHANGES] *= 100
    return frame.sort_values("change", ascending=False, ignore_index=True)


def agreement(summary: dict[str, Any], row: dict[str, Any]) -> pd.DataFrame:
    """How well rankings tell the changes: method (in words), value, low, high; that of retraining first."""
    names = titles(summary)
    rows = [one | {"method": RETRAINING if one["method"] is None else names[one["method"]]} for one in row["agreement"]]
    return pd.DataFrame(rows, columns=["method", *AGREEMENT]).astype(dict.fromkeys(AGREEMENT, float))


def in_words(summary: dict[str, Any], row: dict[str, Any]) -> str:
    """How often the model chooses the harmful text, and how well retraining's own ranking tells how that changes."""
    said = f"Trained on everything, the model chooses the harmful text in {percent(row['rate'])} of "
    return said + count(row["pairs"], "pair") + _told(summary, row)


def writing_in_words(summary: dict[str, Any]) -> str:
    """How often what the model writes is harmful, and how well retraining's own ranking tells how that changes."""
    row = summary["writing"]
    said = f"Trained on everything, the model writes harmful text in {percent(row['rate'])} of "
    each = f"{count(row['prompts'] * row['samples'], 'completion')} of {count(row['prompts'], 'prompt')}"
    return said + each + _told(summary, row)


def _told(summary: dict[str, Any], row: dict[str, Any]) -> str:
    own = agreement(summary, row).iloc[0]
    if pd.isna(own["value"]):
        return ", and no subset changes that."
    ends = "" if pd.isna(own["low"]) else f" ({decimals(own['low'])} to {decimals(own['high'])})"
    verdict = "" if pd.isna(own["low"]) or own["low"] > 0 else ": cannot separate from no relation"
    return f". The ranking by retraining tells its changes to rho = {decimals(own['value'])}{ends}{verdict}."
