"""The tables of the benchmark, from the results that lie beside it; free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
BEFORE, REFERENCE, OTHER = "as it is", "retrained", "another retrained model"
COLUMNS: dict[str, tuple[str, int]] = {
    "kl_forget": ("KL, forget set", 2),
    "kl_retain": ("KL, retain set", 3),
    "loss_forget": ("Loss, forget set", 2),
    "loss_retain": ("Loss, retain set", 3),
    "auc": ("Membership", 2),
    "relearning": ("Steps to relearn", 0),
    "steps": ("Steps", 0),
    "seconds": ("Seconds", 1),
}
"""A measure, its heading, and the digits behind the point."""


def results(bed: str) -> dict[str, Any]:
    """What is committed of a testbed; ``FileNotFoundError`` where nothing is."""
    found: dict[str, Any] = json.loads((RESULTS / f"{bed}.json").read_text(encoding="utf-8"))
    return found


def means(bed: str) -> dict[str, dict[str, float]]:
    """Each subject's measures, the means over its seeds."""
    return {
        subject: {name: fmean(values[name] for values in by.values()) for name in next(iter(by.values()))}
        for subject, by in results(bed)["found"].items()
    }


def table(bed: str) -> str:
    """The subjects as lines of Markdown, the nearest to the retrained model on the forget set first."""
    found = results(bed)["found"]
    shown = [name for name in COLUMNS if any(name in values for by in found.values() for values in by.values())]
    order = sorted(found, key=lambda subject: fmean(each.get("kl_forget", 0.0) for each in found[subject].values()))
    lines = ["| Model | " + " | ".join(COLUMNS[name][0] for name in shown) + " |", "|" + " --- |" * (len(shown) + 1)]
    seeds = max(map(len, found.values()))
    for subject in order:
        cells = [_cell(found[subject], name) for name in shown]
        fewer = f", {len(found[subject])} of {seeds} seeds" if len(found[subject]) < seeds else ""
        lines.append(f"| {_title(subject, found[subject])}{fewer} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _title(subject: str, by: Mapping[str, Mapping[str, float]]) -> str:
    gone = sum(bool(values.get("collapsed")) for values in by.values())
    words = subject if subject in (BEFORE, REFERENCE, OTHER) else f"`{subject}`"
    return f"{words}, {gone} of {len(by)} collapsed" if gone else words


def _cell(by: Mapping[str, Mapping[str, float]], name: str) -> str:
    """The mean over seeds, and from where to where they reach where that shows."""
    values = [each[name] for each in by.values() if each.get(name) is not None]
    if not values:
        return ""
    mean, low, high = (number(value, COLUMNS[name][1]) for value in (fmean(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


def number(value: float, digits: int) -> str:
    """A number as the tables have it: without the zero before the point."""
    text = f"{value:,.{digits}f}"
    return text.removeprefix("0") if text.startswith("0.") else text
