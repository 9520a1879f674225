"""An unlearning that is under way, or that did not end: what it does, how far it is, and the curves so far."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.components.layout.errors import attempt, fault
from pages.components.layout.run_cards import badge, bar, happening, remaining, silence, take_up, wake
from pages.components.layout.shell import is_dark
from untrac_core.engine import Run, Store, describe_run
from untrac_core.errors import InputError
from untrac_core.figures.base import LETTERS, TOP, assemble, ink_of
from untrac_core.figures.labels import spread
from untrac_core.figures.palette import HARMFUL, HARMLESS, UNDECIDED
from untrac_core.results.folders import read_frame
from untrac_core.specs import PromptSet, UnlearnSpec
from untrac_core.specs.catalogue import UNLEARNING
from untrac_core.text.labels import labels
from untrac_core.text.numbers import UNIT, count, duration, safe, signed

HISTORY = Path(".work") / "history.parquet"
"""Of a run's folder: the evaluations of the unlearning that is under way (:mod:`untrac_core.tasks.unlearn.models`)."""
CURVES_EVERY = 3.0
"""Seconds."""
HEIGHT = 300
NAMED = 18
LINES_MOST, SINGLE_MOST = 12, 40
GREEN = "#009E73"


def watch(store: Store, run: Run) -> None:
    """Draw the run anew as long as it is under way; asks for a whole new page when its status changes.

    The curves are drawn less often: they change only with an evaluation, and drawing takes time from the run itself.
    """
    wake([run])
    with st.container(border=True, key="state"):
        st.fragment(_live, run_every=1.0 if run.active else None)(store, run.id, run.status)
    st.fragment(_curves, run_every=CURVES_EVERY if run.active else None)(run)


def _live(store: Store, run_id: str, was: str) -> None:
    try:
        run = store.run(run_id)
    except InputError:  # deleted elsewhere
        st.rerun()
    if run.status != was:
        st.rerun()
    _state(store, run)


def _state(store: Store, run: Run) -> None:
    """The status with its buttons, what is done now, how far it is and how long it takes."""
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(run)
        st.caption(describe_run(run.spec), width="stretch")
        if run.status in ("queued", "running") and st.button("Stop", icon=":material/stop_circle:", key="cancel"):
            store.cancel(run.id)
            st.rerun()
        if run.status in ("failed", "cancelled"):
            _resume(store, run)
        st.page_link("pages/runs.py", label="Log", icon=":material/view_list:", query_params={"run": run.id})
    bar(run)
    told = _named(happening(run), run)
    if run.status == "failed":
        fault(told)
    elif run.status == "cancelled":
        st.caption("It was stopped. What is finished is kept: Resume goes on from there.")
    elif told:
        st.text(told)
    facts = [f"{run.cells_done} of {count(run.cells_total, 'model')} made and measured"] if run.cells_total else []
    facts += [f"running for {duration(time.time() - run.started)}"] if run.status == "running" and run.started else []
    left = remaining(run)
    facts += [left if run.active else f"ran for {left}"] if left else []
    if facts:
        st.caption(" · ".join(facts))
    silence(run)


def _named(text: str, run: Run) -> str:
    """What it does now, with the method as people call it."""
    title = text.partition(", seed")[0]
    return _title(title, run) + text[len(title) :]


def _title(title: str, run: Run) -> str:
    methods = run.spec.methods if run.spec.kind == "unlearn" else []
    known = {method.title: method for method in methods}
    if title not in known or known[title].label is not None:
        return title
    return UNLEARNING[known[title].name].title + title.removeprefix(known[title].name)


def _resume(store: Store, run: Run) -> None:
    if st.button("Resume", type="primary", icon=":material/resume:", key="resume"):
        attempt(partial(take_up, store, run))


# --- the curves -------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=4, show_spinner=False)
def _read(path: str, changed: float) -> pd.DataFrame:
    return means(read_frame(Path(path)))


def means(history: pd.DataFrame) -> pd.DataFrame:
    """An unlearning's evaluations as means over tokens: columns kind, name, side, step, loss (nats per token), change.

    ``attrs``: ``of``, the method and its seed; ``level``, the loss of the forget set at which the rule stops, or NaN.
    """
    rows = history[(history["quantity"] == "loss") & (history["kind"] != "run")]
    places = ["kind", "name", "side"]
    sums = rows.groupby([*places, "step"], sort=False)[["value", "tokens"]].sum()
    found = (sums["value"] / sums["tokens"]).rename("loss").reset_index().sort_values("step", kind="stable")
    found["change"] = found["loss"] - found.groupby(places)["loss"].transform("first")
    found.attrs["of"] = (str(history["method"].iloc[0]), int(history["seed"].iloc[0])) if len(history) else ("", 0)
    found.attrs["level"] = float(history["level"].iloc[0]) if len(history) else math.nan
    return found


def _course(run: Run) -> pd.DataFrame | None:
    path = run.folder / HISTORY
    try:
        return _read(str(path), path.stat().st_mtime)
    except (OSError, ValueError, KeyError):  # none yet, or it is being replaced
        return None


def _curves(run: Run) -> None:
    """What is forgotten and what that costs, at every evaluation so far."""
    spec = run.spec
    if spec.kind != "unlearn":
        return
    eval_points = _course(run)
    if eval_points is None or eval_points["step"].nunique() < 2:
        if run.active:
            first = "Models that never saw it are trained first, and the" if spec.training else "The"
            st.caption(f"{first} curves begin with the second look of an unlearning.")
        return
    method, seed = eval_points.attrs["of"]
    st.text(f"The history of {_title(method, run)}, seed {seed}, up to step {int(eval_points['step'].max())}")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Forget-set loss", anchor=False)
        going = _going(eval_points)
        level = float(eval_points.attrs["level"])
        figure = lines_figure(going, "loss", f"loss, {UNIT}", dark=is_dark(), level=level)
        st.plotly_chart(
            figure, config={"displayModeBar": False}, key="going",
            alt="Loss of the forget set, and of the holdout set, over the steps",
        )  # fmt: skip
        told = "" if math.isnan(level) else " Dotted: where the rule stops."
        st.caption(f"Higher: the model finds it less likely.{told}")
    with right:
        st.subheader("Retain-set loss", anchor=False)
        rest, left_out = _rest(eval_points, spec)
        title = f"change of the loss, {UNIT}"
        figure = lines_figure(rest, "change", title, dark=is_dark(), thin=_single(eval_points))
        st.plotly_chart(
            figure, config={"displayModeBar": False}, key="rest",
            alt="Change of the loss of every subset that is to stay and of every prompt set, over the steps",
        )  # fmt: skip
        told = f" The first {LINES_MOST} of {LINES_MOST + left_out} sides of prompt sets." if left_out else ""
        st.markdown(
            ":small[:green[■] the retain set: the mean, and thin each subset · :orange[■] harmful side · :blue[■] "
            "harmless "
            f"side of a prompt set. Flat: nothing else is lost.{told}]"
        )


Line = tuple[str, str, pd.DataFrame]
"""Name, colour, looks."""


def _going(eval_points: pd.DataFrame) -> list[Line]:
    """The forget set, and the holdout set."""
    wanted = (("forget", "the forget set", ""), ("holdout", "unseen text", UNDECIDED))
    return [(name, tint, rows) for kind, name, tint in wanted if len(rows := eval_points[eval_points["kind"] == kind])]


def _rest(eval_points: pd.DataFrame, spec: UnlearnSpec) -> tuple[list[Line], int]:
    """The sides of the prompt sets, and the mean of the retain set; how many lines are left out."""
    sets = {prompts.name: prompts for prompts in spec.prompts}
    found: list[Line] = []
    for (kind, name, side), rows in eval_points.groupby(["kind", "name", "side"], sort=False):
        if kind == "prompts":
            tint = HARMFUL if side == "harmful" else HARMLESS
            found.append((_side(sets.get(str(name)), str(name), str(side)), tint, rows))
    subsets = eval_points[eval_points["kind"] == "subset"]
    left_out = max(0, len(found) - LINES_MOST)
    found = found[:LINES_MOST]
    if len(subsets):
        mean = subsets.groupby("step", as_index=False)[["loss", "change"]].mean()
        found.append(("the retain set", GREEN, mean))
    return found, left_out


def _single(eval_points: pd.DataFrame) -> list[Line]:
    """Every subset that is to stay by itself, the first of them."""
    subsets = eval_points[eval_points["kind"] == "subset"]
    return [(str(name), GREEN, rows) for name, rows in subsets.groupby("name", sort=False)][:SINGLE_MOST]


def _side(prompts: PromptSet | None, name: str, side: str) -> str:
    if prompts is None or len(prompts.sides) < 2:
        return name
    return labels(prompts)[side == "harmless"]


def lines_figure(
    lines: list[Line], column: str, title: str, *, dark: bool, thin: Sequence[Line] = (), level: float = math.nan
) -> go.Figure:
    """One line per set, named at its end; those of ``thin`` only say their names when pointed at; ``level``: dotted."""
    ink = ink_of(dark)
    every = [*thin, *lines]
    values = pd.concat([rows[column] for _, _, rows in every]) if every else pd.Series([0.0])
    least, most = float(np.nanmin([values.min(), level])), float(np.nanmax([values.max(), level]))
    if column == "change":
        least, most = min(least, 0.0), max(most, 0.0)
    pad = (most - least) * 0.12 or 1.0
    low, high = least - pad, most + pad
    last = max((int(rows["step"].iloc[-1]) for _, _, rows in every), default=0) or 1
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "lines+markers" if place >= len(thin) else "lines",
            "x": rows["step"].tolist(), "y": rows[column].tolist(),
            "line": {"color": tint or ink, "width": 2 if place >= len(thin) else 0.6}, "marker": {"size": 4},
            "text": [f"{safe(name)}, step {step}: {_number(value, column)} {UNIT}"
                     for step, value in zip(rows["step"], rows[column], strict=True)],
            "hoverinfo": "text",
        }
        for place, (name, tint, rows) in enumerate(every)
    ]  # fmt: skip
    if not math.isnan(level):
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": [0, last], "y": [level, level], "hoverinfo": "text",
                "line": {"color": ink, "width": 1.5, "dash": "dot"},
                "text": [f"the rule stops at {_number(level, column)} {UNIT}"] * 2,
            }
        )  # fmt: skip
    gap = (high - low) * (LETTERS + 3) / (HEIGHT - TOP - 4 * LETTERS)
    places = spread([float(rows[column].iloc[-1]) for _, _, rows in lines], gap, low + gap / 2, high - gap / 2)
    notes = [
        {
            "x": last, "y": y, "text": f'<span style="color:{tint or ink}">━</span> {safe(name, NAMED)}',
            "showarrow": False, "xanchor": "left", "xshift": 7,
            "font": {"color": ink, "size": LETTERS},
        }
        for (name, tint, _), y in zip(lines, places, strict=True)
    ]  # fmt: skip
    widest = max((len(safe(name, NAMED)) for name, _, _ in lines), default=0)
    return assemble(
        traces,
        {"title": {"text": "unlearning step"}, "range": [0, last], "zeroline": False},
        {"title": {"text": title}, "range": [low, high], "zeroline": column == "change"},
        dark=dark,
        height=HEIGHT,
        annotations=notes,
        margin={"l": 8, "r": 34 + 7 * widest, "t": TOP // 2, "b": 4 * LETTERS},
    )


def _number(value: float, column: str) -> str:
    return signed(value) if column == "change" else f"{value:.2f}"
