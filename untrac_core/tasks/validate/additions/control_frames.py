"""The frame of a validation's controls, from its summary: what pages, reports and the shell show of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from untrac_core.tasks.validate.frames import titles
from untrac_core.text.numbers import percent

HEADING = "Negative controls"
RETRAINING = "Retraining"
NAMES = {"doubled": "One subset under two names", "mixed": "A random mix of all subsets"}
MEANING = {
    "doubled": "One subset under two names: its documents are dealt into two halves, whose influence must be the same, "
    "so their difference zero and their shares equal.",
    "mixed": "A random mix: documents drawn from all subsets in their proportions, whose influence must be zero.",
}
NUMBERS = ["found", "low", "high", "largest", "share"]


def controls(summary: dict[str, Any]) -> pd.DataFrame:
    """Every control as each answers it: control, of, place, verdict, found, low, high, largest, share (per cent).

    ``found`` must be zero, in the unit of the method; ``largest``: the largest influence of a subset there. Retraining
    comes first. Holds a user's words; empty where no control was asked for.
    """
    names, rows = titles(summary), []
    for row in summary.get("controls", []):
        of = RETRAINING if row["method"] is None else names[row["method"]]
        place = f"{row['prompt_set']}: {row['side']}"
        share = None if row["share"] is None else 100 * row["share"]
        verdict = "no interval" if row["passed"] is None else "passed" if row["passed"] else "failed"
        rows.append(
            row | {"control": NAMES[row["control"]], "of": of, "place": place, "share": share, "verdict": verdict}
        )
    columns = ["control", "of", "place", "verdict", *NUMBERS]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(NUMBERS, float))


def in_words(summary: dict[str, Any]) -> list[str]:
    """How many answers each control passed, as one sentence a control; none without controls."""
    said = []
    for control in dict.fromkeys(row["control"] for row in summary.get("controls", [])):
        rows = [row for row in summary["controls"] if row["control"] == control and row["passed"] is not None]
        failed = [row for row in rows if not row["passed"]]
        truth = [row for row in rows if row["method"] is None]
        passed = sum(bool(row["passed"]) for row in truth)
        text = f"{NAMES[control]}: retraining passes on {passed} of {len(truth)} prompt sets"
        asked = [row for row in rows if row["method"] is not None]
        if asked:
            passed = sum(bool(row["passed"]) for row in asked)
            text += f", methods in {passed} of {len(asked)} answers ({percent(passed / len(asked))})"
        if failed:
            names = titles(summary)
            which = dict.fromkeys(RETRAINING if row["method"] is None else names[row["method"]] for row in failed)
            text += f"; failed: {', '.join(which)}"
        said.append(f"{text}. One in twenty fails by chance.")
    return said


def meaning(summary: dict[str, Any]) -> str:
    """What the controls are, and how they are told."""
    asked = dict.fromkeys(row["control"] for row in summary.get("controls", []))
    return " ".join(
        [
            *(MEANING[control] for control in asked),
            "Numbers are in the unit of each method, beside the largest influence of any subset there: an interval as "
            "wide as that says little. Each answer's prompt sets share one level of 95 %.",
        ]
    )
