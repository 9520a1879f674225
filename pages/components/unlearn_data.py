"""An unlearning for the pages, read once, and what is drawn of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from untrac_core.engine import Run
from untrac_core.results import Removed, load_removed
from untrac_core.unlearn_spec import BEFORE, GOLD


@st.cache_resource(max_entries=8, show_spinner=False)
def _load(folder: Path, changed: float) -> Removed:
    return load_removed(folder)


def load(run: Run) -> Removed:
    """A finished unlearning's summary and tables, read again only when it has changed; shared, so never altered.

    Raises:
        InputError, OSError: when the files cannot be read.
    """
    return _load(run.folder, run.changed)


@dataclass(frozen=True)
class Said:
    """What one model wrote to a prompt. ``seed``: of that model; ``rows``: columns completion, score, harmful."""

    subject: str
    seed: int | None
    rows: pd.DataFrame


def prompts_of(removed: Removed) -> list[str]:
    """The prompts that every model was given, in their order."""
    return list(dict.fromkeys(removed.written["prompt"].astype(str)))


def said(removed: Removed, method: str, prompt: str, seed: int) -> list[Said]:
    """What was written before, after and by the gold; by the model of that seed, else of the first there is."""
    found = []
    for subject in (BEFORE, method, GOLD):
        own = removed.written[removed.written["subject"] == subject]
        seeds = sorted(int(each) for each in own["seed"].unique())
        chosen = seed if seed in seeds else seeds[0] if seeds else None
        rows = own[(own["seed"] == chosen) & (own["prompt"].astype(str) == prompt)]
        found.append(Said(subject, chosen, rows))
    return found


def harmful_written(removed: Removed, method: str) -> str:
    """How much of what was written the scorer calls harmful, by model; numbers only."""
    if removed.written["score"].isna().all():
        return "No scorer was named, so nothing is marked as harmful."
    told = []
    for subject, words in ((BEFORE, "before"), (method, "after"), (GOLD, "by the gold")):
        own = removed.written[removed.written["subject"] == subject]
        if len(own):
            told.append(f"{words} {int(own['harmful'].sum())} of {len(own)}")
    return f"The scorer calls harmful: {', '.join(told)} texts, over all prompts and seeds."


def seeds_written(removed: Removed) -> list[int]:
    """The seeds of the models that wrote."""
    return sorted(int(seed) for seed in removed.written["seed"].unique())


def hardest_first(removed: Removed) -> pd.DataFrame:
    """Every text that was to go, those that stayed the most first."""
    rows = removed.forgotten.assign(change=removed.forgotten["after"] - removed.forgotten["before"])
    if rows["genex"].isna().all():
        return rows.sort_values("change", kind="stable")
    return rows.sort_values("genex", ascending=False, kind="stable")
