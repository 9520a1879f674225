"""What is told of the texts of an unlearning: what the models wrote, and the forget set, text by text."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from untrac_core.results.folders import UnlearnFiles
from untrac_core.specs.unlearn import BEFORE, RETRAINED


@dataclass(frozen=True)
class Said:
    """What one model wrote to a prompt. ``seed``: of that model; ``rows``: columns completion, score, harmful."""

    subject: str
    seed: int | None
    rows: pd.DataFrame


def prompts_of(result: UnlearnFiles) -> list[str]:
    """The prompts that every model was given, in their order."""
    return list(dict.fromkeys(result.generations["prompt"].astype(str)))


def said(result: UnlearnFiles, method: str, prompt: str, seed: int) -> list[Said]:
    """What was written before, after and by the retrained model of that seed, else of the first seed."""
    found = []
    for subject in (BEFORE, method, RETRAINED):
        own = result.generations[result.generations["subject"] == subject]
        seeds = sorted(int(each) for each in own["seed"].unique())
        chosen = seed if seed in seeds else seeds[0] if seeds else None
        rows = own[(own["seed"] == chosen) & (own["prompt"].astype(str) == prompt)]
        found.append(Said(subject, chosen, rows))
    return found


def harmful_written(result: UnlearnFiles, method: str) -> str:
    """How much of what was written the scorer calls harmful, by model; numbers only."""
    if result.generations["score"].isna().all():
        return "No scorer was named, so nothing is marked as harmful."
    told = []
    for subject, words in ((BEFORE, "before"), (method, "after"), (RETRAINED, "by the retrained model")):
        own = result.generations[result.generations["subject"] == subject]
        if len(own):
            told.append(f"{words} {int(own['harmful'].sum())} of {len(own)}")
    return f"The scorer calls harmful: {', '.join(told)} texts, over all prompts and seeds."


def seeds_written(result: UnlearnFiles) -> list[int]:
    """The seeds of the models that wrote."""
    return sorted(int(seed) for seed in result.generations["seed"].unique())


def hardest_first(result: UnlearnFiles) -> pd.DataFrame:
    """Every text that was to go, those that stayed the most first."""
    rows = result.forget_examples.assign(change=result.forget_examples["after"] - result.forget_examples["before"])
    if rows["genex"].isna().all():
        return rows.sort_values("change", kind="stable")
    return rows.sort_values("genex", ascending=False, kind="stable")
