"""The result of a finished run, read once for all pages and visits, and its figures, drawn once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.layout.shell import is_dark
from untrac_core.engine import Run, load_finished

TRACES, OTHERS = 4, 24
"""Results that are held: traces, of which large ones are tens of MB, as many as stand side by side; others together."""
FIGURES = 48
"""Figures that are held: those of a side take as long to draw as all else on its page."""


@st.cache_resource(max_entries=TRACES, show_spinner=False)
def _trace(folder: Path, changed: float) -> Any:
    return load_finished("trace", folder)


@st.cache_resource(max_entries=OTHERS, show_spinner=False)
def _other(kind: str, folder: Path, changed: float) -> Any:
    return load_finished(kind, folder)


def cached_folder(kind: str, folder: Path, changed: float) -> Any:
    """The result of this kind in a folder whose summary was last changed then; shared, so never altered."""
    return _trace(folder, changed) if kind == "trace" else _other(kind, folder, changed)


def cached_result(run: Run) -> Any:
    """A finished run's result, of its kind, read again only when its summary has changed; shared, so never altered.

    Raises:
        InputError, OSError: when the files cannot be read.
    """
    return cached_folder(run.kind, run.folder, run.changed)


@st.cache_resource(max_entries=FIGURES, show_spinner=False)
def _figure(of: tuple[Hashable, ...], dark: bool, _draw: Callable[..., Any]) -> Any:
    return _draw(dark=dark)


def drawn_once(draw: Callable[..., Any], *of: Hashable) -> Any:
    """The figure of ``draw(dark=)``, drawn once for all visits; shared, so never altered.

    ``of``: its name, and what it depends on beside the theme, as a run's folder and when it was last changed.
    """
    return _figure(of, is_dark(), draw)
