"""Texts that may be harmful, in tables: their words hidden until they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from untrac_core.engine import Run
from untrac_core.results.export import guarded_csv
from untrac_core.results.folders import COMPLETIONS, read_frame
from untrac_core.text.masking import mask
from untrac_core.text.numbers import count

CUT = 400
MASKED_CUT = 90
TEXT = st.column_config.TextColumn


def masked_table(columns: Mapping[str, Sequence[str]], *, words: Sequence[str], key: str, alt: str) -> bool:
    """A table whose columns ``words`` are masked until the switch above it is on; whether it is."""
    shown = st.toggle("Show the texts (they may be harmful)", key=key)
    frame = pd.DataFrame({name: [str(value)[:CUT] for value in values] for name, values in columns.items()})
    if not shown:
        frame = frame.assign(**{name: [mask(text, MASKED_CUT) for text in frame[name]] for name in words})
    config = {
        name: TEXT(name, width="small" if name not in words else "medium" if name.startswith("Given") else "large")
        for name in frame.columns
    }
    st.dataframe(frame, hide_index=True, column_config=config, alt=alt)
    return shown


@st.cache_data(max_entries=16, show_spinner=False)
def _completions(path: str, changed: float) -> pd.DataFrame:
    return read_frame(Path(path))


def completions(run: Run) -> pd.DataFrame:
    """What a finished ``generate`` run wrote; raises OSError or ValueError when it cannot be read."""
    path = run.folder / COMPLETIONS
    return _completions(str(path), path.stat().st_mtime)


def completions_table(run: Run, *, key: str, most: int = 200) -> None:
    """The completions of a run, those that were scored highest first."""
    try:
        frame = completions(run)
    except (OSError, ValueError):
        st.text("What this run wrote cannot be read. Run it again.")
        return
    scored = bool((frame["label"] != "").any())
    if scored:
        toxic = int((frame["label"] == "toxic").sum())
        st.text(f"{count(toxic, 'completion')} of {len(frame):,} scored as toxic.")
        frame = frame.sort_values("score", ascending=False, kind="stable")
    first = frame.head(most)
    columns = {"Given": first["prompt"].tolist(), "The model wrote": first["completion"].tolist()}
    if scored:
        columns |= {"Label": first["label"].tolist(), "Score": [f"{value:.2g}" for value in first["score"]]}
    shown = masked_table(columns, words=["Given", "The model wrote"], key=key, alt="Prompts and what the model wrote")
    if len(frame) > most:
        st.caption(f"The first {most} of {len(frame):,}.")
    if shown:
        st.download_button(
            "Completions (CSV)",
            guarded_csv(frame),
            f"completions-{run.id}.csv",
            "text/csv",
            on_click="ignore",
            key=f"{key}_csv",
        )
