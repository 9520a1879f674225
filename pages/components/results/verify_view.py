"""The verification of the examples page: does it hold when each of the first texts is unlearned alone?"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.components.forms import jobs as background
from pages.components.layout.downloads import chart_config
from pages.components.layout.errors import fault
from pages.components.layout.labels import about
from pages.components.layout.results import cached_result
from pages.components.layout.shell import is_dark
from pages.components.results import verify_data as data
from untrac_core.engine import Run, Store
from untrac_core.errors import InputError
from untrac_core.figures.verify import alone_scatter, ranks_in_words
from untrac_core.results.folders import TraceFiles, VerifyFiles
from untrac_core.specs import PromptSet
from untrac_core.text.labels import labels
from untrac_core.text.limits import ALONE_LIMITS
from untrac_core.text.numbers import duration

QUESTION = "Verify examples"


def section(store: Store, run: Run, result: TraceFiles, prompts: PromptSet, side: str, rows: pd.DataFrame) -> None:
    """What a verification found of the first texts of the list ``rows``, how far it is, or what it would be."""
    st.subheader(QUESTION, anchor=False)
    texts = data.first_of(rows)
    found = data.newest(store, run, prompts.name, texts)
    if found is not None and found.run.status == "done":
        _finished(found.run, run, prompts, side)
    elif found is not None:
        background.watch(store, found.run)
        st.page_link("pages/runs.py", label="See the run", icon=":material/view_list:", query_params=_of(found.run))
    settled = found is not None and found.same and (found.run.active or found.run.status == "done")
    if not settled:
        if found is not None and not found.same:
            st.caption("That is a check of other texts than those that stand first in this list.")
        _offer(store, run, result, prompts, texts)


def _of(run: Run) -> dict[str, str]:
    return {"run": run.id}


def _offer(store: Store, run: Run, result: TraceFiles, prompts: PromptSet, texts: data.Texts) -> None:
    """What the check is, how long it takes, and the button that asks for it."""
    st.caption(
        "A score is read off the prompts: they were unlearned, and each text watched. The check goes the other way: it "
        f"unlearns each text alone, and {data.FIRST} others drawn at random from the same subsets, and watches the "
        "prompts."
    )
    number = "ten" if len(texts) == data.FIRST else str(len(texts))
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            f"Check the first {number} of this list", icon=":material/rule:", key="verify", disabled=not texts
        )
        st.caption(f"Time: {about(duration(data.about_seconds(result, prompts.name, len(texts), store.rates())))}.")
    if not pressed:
        return
    try:
        spec = data.request(run, result, prompts.name, texts)
    except InputError as error:
        fault(str(error))
        return
    if background.launch(spec, store, watch_it=False):
        st.rerun()


def _finished(check: Run, run: Run, prompts: PromptSet, side: str) -> None:
    """What the check found: the sentence, the scatter and the numbers."""
    try:
        found: VerifyFiles = cached_result(check)
        points = data.points(check, run, prompts.name, side)
    except (InputError, OSError) as error:
        st.caption("The files of this check cannot be read. Ask for it again, or look at its run.")
        st.text(str(error))
        return
    told = [row["text"] for row in found.summary.get("sides", []) if row["side"] == side]
    if points.empty or not told:
        st.caption("The check has no numbers for this side.")
        return
    st.text(told[0])
    left, right = st.columns([5, 4], gap="large")
    with left:
        st.plotly_chart(
            alone_scatter(points, side=side, dark=is_dark()),
            config=chart_config(f"{prompts.name}-{side}-alone"),
            key=f"alone_{check.id}_{side}",
            alt="Each checked text: its score across, its influence when it is unlearned alone upwards",
        )
        st.markdown(f":small[{_key(prompts, side)}]")
    with right:
        st.markdown(ranks_in_words(points))
        _limits(check, found, prompts, side)
    with st.expander("The numbers"):
        _numbers(points)


def _limits(check: Run, found: VerifyFiles, prompts: PromptSet, side: str) -> None:
    for text in found.summary.get("warnings", []):
        st.text(text)
    harmful, harmless = labels(prompts)
    moved = {"contrast": f"{harmful} prompts less likely, more so than {harmless} ones"}.get(
        side, f"{harmful if side == 'harmful' else harmless} prompts less likely"
    )
    st.caption(
        f"Upwards: positive, without this text alone the {moved}; its interval is over the "
        "prompts, as a single text has no seeds."
    )
    st.caption(ALONE_LIMITS)
    st.page_link("pages/runs.py", label="See the run", icon=":material/view_list:", query_params=_of(check))


def _key(prompts: PromptSet, side: str) -> str:
    """The key to the colours, as markdown in the theme's own colours."""
    harmful, harmless = labels(prompts)
    if side == "contrast":
        marks = f":orange[●] chosen, towards {harmful} · :blue[●] chosen, towards {harmless}"
    else:
        marks = f"{':orange' if side == 'harmful' else ':blue'}[●] chosen"
    return f"{marks} · :gray[●] chosen, zero is inside the interval · :gray[○] drawn at random"


def _numbers(points: pd.DataFrame) -> None:
    """The checked texts as a table, those with the greatest influence first."""
    shown = points.sort_values("influence", ascending=False)
    columns = ["role", "subset", "id", "score", "influence", "low", "high"]
    config = {
        "role": st.column_config.TextColumn("", width=80),
        "subset": st.column_config.TextColumn("Subset", width=110),
        "id": st.column_config.TextColumn("Text", width=150),
        "score": st.column_config.NumberColumn("Score", format="%+.2g", help="by UnTrac-Inv, in its own unit"),
        "influence": st.column_config.NumberColumn("Alone", format="%+.2g", help="nats per token"),
        "low": st.column_config.NumberColumn("95% CI low", format="%+.2g", help="lower end, over the prompts"),
        "high": st.column_config.NumberColumn("95% CI high", format="%+.2g", help="upper end, over the prompts"),
    }
    st.dataframe(
        shown[columns].reset_index(drop=True),
        hide_index=True,
        column_config=config,
        alt="The checked texts with their score and their influence when unlearned alone",
        key="alone_numbers",
    )
