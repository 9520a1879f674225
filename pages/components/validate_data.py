"""A validation for the pages, read once."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from untrac_core.engine import Run
from untrac_core.results import Validation, load_validation


@st.cache_resource(max_entries=8, show_spinner=False)
def _load(folder: Path, changed: float) -> Validation:
    return load_validation(folder)


def load(run: Run) -> Validation:
    """A finished validation's summary and tables, read again only when it has changed; shared, so never altered.

    Raises:
        InputError, OSError: when the files cannot be read.
    """
    return _load(run.folder, run.changed)
