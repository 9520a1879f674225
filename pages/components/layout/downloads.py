"""Taking a result away: the report, the tables, the files, the pictures, a link to this view, how to run it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from pages.components.layout.shell import presenting
from untrac_core.engine import Run
from untrac_core.results.export import file_part, guarded_csv, pretty, zipped
from untrac_core.results.folders import TraceFiles, ValidateFiles
from untrac_core.specs.files import to_yaml

PICTURES = "pictures"
KINDS = ("png", "svg")
CHART = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoom2d", "pan2d", "autoScale2d"]}
Table = Callable[[], pd.DataFrame]


def chart_config(name: str, run_id: str | None = None) -> dict[str, Any]:
    """What ``st.plotly_chart(config=)`` takes: the camera saves a PNG or SVG that says run and figure in its name.

    ``name``: of the figure, which may hold a user's words. ``run_id``: else that of the address. In a presentation
    there are no buttons.
    """
    if presenting():
        return {"displaylogo": False, "displayModeBar": False}
    kind = st.session_state.get(PICTURES)
    picture = {"format": kind if kind in KINDS else KINDS[0], "scale": 2}
    run = file_part(run_id or st.query_params.get("run", ""))
    return {**CHART, "toImageButtonOptions": {**picture, "filename": f"untrac-{run}-{file_part(name)}"}}


def export_section(run: Run, found: TraceFiles | ValidateFiles, tables: Mapping[str, Table]) -> None:
    """All that can be taken home. ``tables``: what a table is called, and how it is made; each becomes a CSV."""
    folder, stem = found.folder, f"untrac-{run.id}"
    with st.container(horizontal=True):
        report_download(run)
        _download("Everything (.zip)", partial(zipped, folder), f"{stem}.zip", "application/zip")
        for name, table in tables.items():
            _download(f"{name} (CSV)", partial(_csv, table), f"{stem}-{file_part(name).lower()}.csv", "text/csv")
        _download("Summary (JSON)", partial(pretty, found.summary), f"{stem}.json", "application/json")
        _download("Request (YAML)", partial(to_yaml, found.spec), f"{stem}.yaml", "application/yaml")
    st.caption(
        "The report is one HTML file: figures, tables, method and limits, with the training texts masked; it needs no "
        "network. The .zip holds the result's own files, with its texts as they are."
    )
    st.segmented_control(
        "Pictures as",
        KINDS,
        format_func=str.upper,
        default=KINDS[0],
        required=True,
        help="What the camera in a figure's corner saves",
        key=PICTURES,
        persist_state="session",
    )
    st.markdown("**A link to this view**")
    st.code(address(), language=None, wrap_lines=True)
    st.markdown("**Run it again**")
    kind = found.spec.kind
    st.code(
        f"untrac run {kind}.yaml --out result\nuntrac report {run.id} --out {stem}.html",
        language="bash",
    )
    st.caption("The first runs the request below, saved under that name; the second writes the report of this run.")
    st.code(_request(folder, run.changed, found), language="yaml", height=320)


def report_download(run: Run) -> None:
    """The run's report, made when it is asked for."""
    changed = run.changed
    make = partial(_report, run.folder, changed, run.id, run.finished)
    _download("Report (HTML)", make, f"untrac-{run.id}.html", "text/html", primary=True)


def address() -> str:
    """The address of the page with all that is chosen on it."""
    chosen = urlencode([(name, value) for name in st.query_params for value in st.query_params.get_all(name)])
    return f"{st.context.url or ''}?{chosen}" if chosen else str(st.context.url or "")


def _download(label: str, make: Callable[[], Any], name: str, mime: str, *, primary: bool = False) -> None:
    st.download_button(
        label,
        make,
        file_name=name,
        mime=mime,
        on_click="ignore",
        icon=":material/download:",
        type="primary" if primary else "secondary",
        key=name,
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _request(folder: Path, changed: float, _found: TraceFiles | ValidateFiles) -> str:
    """The request of 200 subsets takes longer to write than the page."""
    return to_yaml(_found.spec)


@st.cache_resource(max_entries=2, show_spinner=False)
def _report(folder: Path, changed: float, run_id: str, finished: float | None) -> bytes:
    from untrac_core.report import report

    return report(folder, finished=finished, run_id=run_id)


def _csv(table: Table) -> bytes:
    return guarded_csv(table())
