"""What the influence page draws of a result, kept between visits; nothing here draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.results import cached_folder
from untrac_core.engine import Run
from untrac_core.explore.tables import trace_frames as frames


@dataclass(frozen=True)
class Picture:
    """What is drawn of one side of a prompt set: frames as those of :mod:`untrac_core.tasks.trace.frames`.

    ``agreement``: the summary's rows on how far each baseline agrees with the ranking.
    """

    ranked: pd.DataFrame
    groups: list[list[str]] | None
    beside: pd.DataFrame
    agreement: list[dict[str, Any]]
    path: pd.DataFrame
    retrained: pd.DataFrame
    planted: pd.DataFrame


@st.cache_resource(max_entries=32, show_spinner=False)
def _picture(folder: Path, changed: float, prompt_set: str, side: str) -> Picture:
    result = cached_folder("trace", folder, changed)
    ranked = frames.ranking(result.summary, prompt_set, side)
    return Picture(
        ranked=ranked,
        groups=frames.groups(result.summary, prompt_set, side),
        beside=frames.baselines(result.summary, prompt_set, side),
        agreement=frames.of_side(result.summary.get("agreement", []), prompt_set, side),
        path=frames.trajectory(result.influence, prompt_set, side),
        retrained=frames.with_ground_truth(ranked, result.ground_truth, prompt_set, side),
        planted=frames.with_planted(ranked, result.planted, prompt_set, side),
    )


def picture(run: Run, prompt_set: str, side: str) -> Picture:
    """The frames of one side, computed once for all visits, so that switching sides is quick; never to be altered."""
    return _picture(run.folder, run.changed, prompt_set, side)
