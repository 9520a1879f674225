"""What the influence page draws of a result, kept between visits; nothing here draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components.layout.results import cached_folder
from untrac_core.engine import Run
from untrac_core.explore.tables import trace_frames as frames
from untrac_core.specs.catalogue import method_title


@dataclass(frozen=True)
class Picture:
    """What is drawn of one side of a prompt set: frames as those of :mod:`untrac_core.tasks.trace.frames`.

    ``key``: what a cache knows it by. ``ranks``: by the method and by each baseline. ``agreement``: how far each
    baseline agrees with the ranking, in words that may be a user's (show as text). ``numbers``: the ranking with the
    truth beside it.
    """

    key: tuple[Path, float, str, str]
    ranked: pd.DataFrame
    groups: list[list[str]] | None
    beside: pd.DataFrame
    ranks: pd.DataFrame
    agreement: list[str]
    path: pd.DataFrame
    retrained: pd.DataFrame
    planted: pd.DataFrame
    numbers: pd.DataFrame


@st.cache_resource(max_entries=32, show_spinner=False)
def _picture(folder: Path, changed: float, prompt_set: str, side: str) -> Picture:
    result = cached_folder("trace", folder, changed)
    own = method_title(result.spec.method.name)
    ranked = frames.ranking(result.summary, prompt_set, side)
    beside = frames.baselines(result.summary, prompt_set, side)
    agreement = frames.of_side(result.summary.get("agreement", []), prompt_set, side)
    retrained = frames.with_ground_truth(ranked, result.ground_truth, prompt_set, side)
    planted = frames.with_planted(ranked, result.planted, prompt_set, side)
    return Picture(
        key=(folder, changed, prompt_set, side),
        ranked=ranked,
        groups=frames.groups(result.summary, prompt_set, side),
        beside=beside,
        ranks=pd.DataFrame() if beside.empty else frames.rank_table(ranked, beside, own),
        agreement=[frames.agreement_in_words(row, beside, own) for row in agreement],
        path=frames.trajectory(result.influence, prompt_set, side),
        retrained=retrained,
        planted=planted,
        numbers=_numbers(ranked, true=retrained, planted=planted),
    )


def _numbers(ranked: pd.DataFrame, **truths: pd.DataFrame) -> pd.DataFrame:
    table = ranked.assign(separable=["yes" if settled else "no" for settled in ranked["separable"]])
    for name, pairs in truths.items():
        if not pairs.empty:
            table = table.merge(pairs[["subset", "truth"]].rename(columns={"truth": name}), on="subset", how="left")
    return table[["rank", *[name for name in table.columns if name != "rank"]]]


def picture(run: Run, prompt_set: str, side: str) -> Picture:
    """The frames of one side, computed once for all visits, so that switching sides is quick; never to be altered."""
    return _picture(run.folder, run.changed, prompt_set, side)
