"""The frames of a validation's random halves, from its summary: what pages, reports and the shell show of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from untrac_core.tasks.validate.frames import titles
from untrac_core.text.numbers import count, decimals

HEADING = "Linear datamodeling score"
MEANING = (
    "Spearman's rank correlation over the random halves: the loss of a model trained on a half, against the sum of the "
    "influences of the subsets that it lacks. 1: sums of influence put the models in the right order; 0: they say "
    "nothing about it. The interval is a bootstrap over the halves. A few dozen halves are needed for a narrow one."
)


OF_DOCUMENTS = "Linear datamodeling score of single texts"
DOCUMENTS_MEANING = (
    "Spearman's rank correlation over the random halves of the documents: the loss of a model trained on a half, "
    "against the sum of the influences of the documents that it lacks. Methods that have no number for single texts "
    "are not in the table. The interval is a bootstrap over the halves."
)


def scores(summary: dict[str, Any], scope: str, of: str = "halves") -> pd.DataFrame:
    """Each method's score over ``scope``: method (in words), value, low, high, sides; the best first.

    ``scope``: as of :func:`untrac_core.tasks.validate.frames.scopes`. ``of``: ``halves``, ``document_halves`` or
    ``pairs``. Empty where none were trained.
    """
    names = titles(summary)
    rows = [
        row | {"method": names[row["method"]]}
        for row in summary.get(of, {}).get("scores", [])
        if scope == (row["side"] if row["prompt_set"] is None else f"{row['prompt_set']}: {row['side']}")
    ]
    frame = pd.DataFrame(rows, columns=["method", "value", "low", "high", "sides"])
    frame = frame.astype(dict.fromkeys(("value", "low", "high"), float))
    return frame.sort_values("value", ascending=False, na_position="last").reset_index(drop=True)


def score_in_words(row: Any) -> str:
    """A score with its interval, as '0.83 (0.70 to 0.91)'."""
    if pd.isna(row.value):
        return "–"
    ends = "" if pd.isna(row.low) else f" ({decimals(row.low)} to {decimals(row.high)})"
    return decimals(row.value) + ends


def trained_in_words(summary: dict[str, Any]) -> str:
    """What was trained for the score, as a sentence."""
    halves = summary["halves"]
    return (
        f"{count(halves['count'], 'training')} by seed {halves['seed']}, each without "
        f"{count(halves['without'], 'subset')} drawn at random."
    )


def documents_in_words(summary: dict[str, Any]) -> str:
    """What was trained for the score of single texts, as a sentence."""
    halves = summary["document_halves"]
    read = "" if halves["read"] > 0.999 else f" Methods have looked at {halves['read']:.0%} of their text."
    return (
        f"{count(halves['count'], 'training')} by seed {halves['seed']}, each without a random half of every subset's "
        f"documents, {halves['documents']:,} in all.{read}"
    )
