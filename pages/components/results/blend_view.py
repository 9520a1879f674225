"""A ranking, closer looks at the same question and retrainings as one, and what each bar is made of."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.downloads import chart_config
from pages.components.layout.results import cached_folder, drawn_once
from untrac_core.engine import Run, Store
from untrac_core.errors import InputError
from untrac_core.explore.tables import Blended, blended, closer, same_question, trace_frames
from untrac_core.figures import ranking as figures
from untrac_core.results.folders import TraceFiles
from untrac_core.specs.catalogue import method_title

RUNS_MOST = 40
"""That are looked at, from the latest on, for some that ask the same."""
DRAWN = (24, 12)
Found = tuple[Path, float]


@st.cache_resource(max_entries=32, show_spinner=False)
def _blended(
    folder: Found, rungs: tuple[Found, ...], validation: Found | None, prompt_set: str, side: str
) -> Blended | None:
    truth = cached_folder("validate", *validation).ground_truth if validation else None
    result = cached_folder("trace", *folder)
    return blended(result, [cached_folder("trace", *rung) for rung in rungs], prompt_set, side, truth)


def _about_the_same(run: Run, result: TraceFiles, store: Store) -> tuple[dict[str, Run], list[Run]]:
    """Finished traces that are closer looks at the question, the latest by each method; and validations of it."""
    traces: dict[str, Run] = {}
    validations = []
    for other in store.runs()[:RUNS_MOST]:
        if other.status != "done" or other.id == run.id:
            continue
        spec: Any = other.spec  # not its result, which is read only where it is blended
        if other.kind == "trace" and closer(result.spec, spec):
            traces.setdefault(spec.method.name, other)
        elif other.kind == "validate" and same_question(result.spec, spec):
            validations.append(other)
    return traces, validations


def blend(run: Run, result: TraceFiles, store: Store, prompt_set: str, side: str) -> None:
    """A switch, where there is something to blend with; behind it the ranking of all sources together."""
    traces, validations = _about_the_same(run, result, store)
    truth = result.ground_truth is not None or validations
    if not traces and not truth:
        return
    sources = [method_title(name) for name in traces] + (["retraining"] if truth else [])
    if not st.toggle(f"Blend with {' and '.join(sources)}", key="blend"):
        return
    validation = validations[0] if validations and result.ground_truth is None else None
    try:
        found = _blended(
            (run.folder, run.changed),
            tuple((one.folder, one.changed) for one in traces.values()),
            (validation.folder, validation.changed) if validation else None,
            prompt_set,
            side,
        )
    except (InputError, OSError) as error:
        st.text(f"One of these results cannot be read: {error}")
        return
    if found is None:
        st.caption(
            "These cannot be blended on this side: fewer than three subsets are shared, or the answers have nothing "
            "to do with each other."
        )
        return
    _draw(run, found, prompt_set, side, (*traces.values(), *([validation] if validation else [])))


def _draw(run: Run, found: Blended, prompt_set: str, side: str, others: tuple[Run, ...]) -> None:
    ranked = found.scale.ranked
    shown = trace_frames.shown(ranked, DRAWN)
    key = (run.folder, run.changed, prompt_set, side, *((one.folder, one.changed) for one in others))
    draw = partial(figures.ranked_bars, shown, side=side, groups=(), unit=found.scale.unit)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.plotly_chart(
            drawn_once(draw, "blend", *key),
            config=chart_config(f"{prompt_set}-{side}-blend"),
            key=f"blend_{prompt_set}_{side}",
            alt="Ranked bars: the influence of each training subset, blended of all sources, with its interval",
        )
    with right:
        st.markdown("**What each bar is made of**")
        _weights(found.weights)
    st.caption(found.scale.said)


def _weights(weights: pd.DataFrame) -> None:
    titles = [str(name) for name in weights.columns[1:]]
    config = {
        "subset": st.column_config.TextColumn("Subset", width=104),
        **{name: st.column_config.NumberColumn(name, format="percent", width=76) for name in titles},
    }
    st.dataframe(
        weights.round(2),
        hide_index=True,
        column_config=config,
        height="content" if len(weights) <= 12 else 460,
        alt="For each subset, how much of its number comes from each source",
        key="weights",
    )
