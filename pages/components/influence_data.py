"""What the influence page draws of a result, kept between visits; nothing here draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from untrac_core import result_frames as frames
from untrac_core.engine import Run
from untrac_core.results import Result, load_result


@st.cache_resource(max_entries=4, show_spinner=False)  # as many as stand side by side; large ones are tens of MB
def load_folder(folder: Path, changed: float) -> Result:
    """The result in a folder whose summary was last changed then; shared, so never altered."""
    return load_result(folder)


def load(run: Run) -> Result:
    """A finished run's frames, read again only when its summary has changed; shared, so never altered.

    Raises:
        InputError, OSError: when the files cannot be read.
    """
    return load_folder(run.folder, run.changed)


@dataclass(frozen=True)
class Picture:
    """What is drawn of one side of a prompt set: frames as those of :mod:`untrac_core.result_frames`.

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
    result = load_folder(folder, changed)
    ranked = frames.ranking(result.summary, prompt_set, side)
    return Picture(
        ranked=ranked,
        groups=frames.groups(result.summary, prompt_set, side),
        beside=frames.baselines(result.summary, prompt_set, side),
        agreement=frames.of_side(result.summary.get("agreement", []), prompt_set, side),
        path=frames.trajectory(result.influence, prompt_set, side),
        retrained=frames.beside_truth(ranked, result.truth, prompt_set, side),
        planted=frames.beside_doses(ranked, result.doses, prompt_set, side),
    )


def picture(run: Run, prompt_set: str, side: str) -> Picture:
    """The frames of one side, computed once for all visits, so that switching sides is quick; never to be altered."""
    return _picture(run.folder, run.changed, prompt_set, side)
