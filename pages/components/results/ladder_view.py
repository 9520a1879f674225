"""The ladder under a ranking: the same question by a method that is closer to retraining, with its price."""

from __future__ import annotations

import streamlit as st

from pages.components.forms.launch_panel import checked
from untrac_core.engine import Run, Store, submit
from untrac_core.engine.checks import Rung, check_unchanged, large_or_undecided, rungs
from untrac_core.errors import InputError
from untrac_core.results.folders import TraceFiles
from untrac_core.text.numbers import duration


def ladder(run: Run, result: TraceFiles, store: Store, prompt_set: str, side: str) -> None:
    """A switch, and behind it every rung above the result's method."""
    above = rungs(result.spec)
    if not above or not st.toggle("Ask again by a method that is closer to retraining", key="ladder"):
        return
    above = rungs(result.spec, _asked(result, prompt_set, side))
    for rung in above:
        with st.container(border=True, key=f"rung_{rung.spec.method.name}"):
            _rung(run, rung, store)
    st.caption(
        "Each asks about the same model, texts and seeds, and is a run of its own, which can then be blended with this "
        "one here. The page Compare sets two of them side by side; Validate says which of them agrees with retraining "
        "on texts like these."
    )


def _asked(result: TraceFiles, prompt_set: str, side: str) -> list[str] | None:
    """The subsets that are asked about again: each, or the large and the undecided ones."""
    chosen = large_or_undecided(result, prompt_set, side)
    if not 0 < len(chosen) < len(result.spec.subsets):
        return None
    few = st.segmented_control(
        "About",
        ["all subsets", "the large and the undecided ones"],
        default="all subsets",
        required=True,
        key="ladder_about",
        help="Large: more than a fifth of the training. Undecided: those that cannot be told from a neighbour in rank. "
        "The others stay in the mix, and are blended in afterwards.",
    )
    if few == "all subsets":
        return None
    st.text(", ".join(chosen))
    return chosen


def _rung(run: Run, rung: Rung, store: Store) -> None:
    st.markdown(f"**{rung.title}**: {rung.adds}.")
    try:
        found = checked(rung.spec.model_dump_json(), tuple(sorted(store.rates().items())), rung.spec)
    except InputError as error:
        st.text(str(error))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        wanted = st.button("Start", icon=":material/play_arrow:", key=f"start_{rung.spec.method.name}")
        st.caption(f"about {duration(found.seconds)} on this machine")
    if not wanted:
        return
    try:
        check_unchanged(rung.spec, run.folder)
        made = submit(rung.spec, store)
    except InputError as error:
        st.text(str(error))
        return
    st.switch_page("pages/runs.py", query_params={"run": made})
