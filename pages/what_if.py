"""What if: sliders over the mix of the training, and what retraining on it would do to every prompt set."""

from __future__ import annotations

import streamlit as st

from pages.components.layout.context import context, look_at
from pages.components.layout.labels import ago, shown_as
from pages.components.layout.results import cached_result
from pages.components.layout.run_from_url import readable
from pages.components.layout.shell import shell, title
from pages.components.what_if import data, view
from untrac_core.engine import DEMO_RUN, Run, Store
from untrac_core.errors import InputError
from untrac_core.explore.tables import Mixing

NAME = "What if"
QUESTION = "What would retraining on another mix change?"
PURPOSE = (
    "Drop or reweight subsets and see at once how each prompt set's loss would move. It is told from models that were "
    "retrained without each subset; retrain before you act on it."
)


def nothing(store: Store, run: Run | None, why: str) -> None:
    """No retrainings to tell from: say what would bring them."""
    title(NAME, QUESTION, why)
    if run is not None:
        st.text(run.name)
    with st.container(horizontal=True):
        if run is not None and run.kind == "trace" and run.id != DEMO_RUN:
            st.page_link(
                "pages/validate.py", label="Retrain without each subset", icon=":material/verified:",
                query_params={"trace": run.id},
            )  # fmt: skip
        if any(one.run.id == DEMO_RUN for one in data.with_retrainings(store)) and st.button(
            "Open the demo", type="primary", icon=":material/play_arrow:", key="open_demo"
        ):
            other(DEMO_RUN)


def other(run_id: str) -> None:
    """Show another run's, with every slider where it begins."""
    view.forget()
    st.query_params["run"] = run_id
    st.rerun()


def chosen(store: Store, known: list[data.Retrainings]) -> Run | None:
    """The run whose retrainings are asked: that of the address, else that which is looked at, else the latest."""
    run_id = st.query_params.get("run")
    named = run_id or context().run
    try:
        run = store.run(named) if named else None
    except InputError:
        run = None
        if run_id:
            nothing(store, None, "There is no run with the id in this address; it may have been deleted.")
            return None
    found = data.about(run, known) if run is not None else None
    if found is None and run is not None and run_id:
        nothing(store, run, "Nobody has retrained without this run's subsets, so nothing can be told of other mixes.")
        return None
    if found is None and not known:
        nothing(store, run, "There are no retrainings yet. Validate retrains without each subset.")
        return None
    return found or next((one.run for one in known if one.run.id == DEMO_RUN), known[0].run)


def source(run: Run, known: list[data.Retrainings]) -> None:
    """Whose retrainings are asked, and the choice of others."""
    told = {one.run.id: f"{one.run.name} · {one.told} · {ago(one.run.created)}" for one in known}
    if len(told) < 2:
        st.text(told.get(run.id, run.name))
        return
    ids = list(told)
    picked = st.selectbox(
        "Retrainings of", ids, index=ids.index(run.id), format_func=shown_as(told), key=f"of_{run.id}", width=560
    )
    if picked != run.id:
        other(picked)


@st.fragment
def page(run: Run, mixing: Mixing) -> None:
    """All that a slider moves, so that it draws no more than this anew."""
    prompts = cached_result(run).spec.prompts
    left, right = st.columns([2, 3], gap="large")
    with left:
        times = view.sliders(mixing)
    try:
        found = mixing.ask(times)
    except InputError as error:
        right.text(str(error))
        return
    titled = data.titled(found.table, prompts)
    with right:
        view.answer(found, prompts, context().prompt_set)
        view.figure(found, titled)
        view.left(found)
    view.numbers(found, titled)
    with readable():
        view.limits(run.spec, data.checked_here(run))


def main() -> None:
    store = shell(NAME)
    known = data.with_retrainings(store)
    run = chosen(store, known)
    if run is None:
        return
    try:
        mixing = data.law_of(run)
    except (InputError, OSError) as error:
        nothing(store, run, "These retrainings tell nothing of other mixes. Choose another result.")
        st.text(str(error))
        return
    if mixing is None:
        nothing(store, run, "Nobody has retrained without this run's subsets, so nothing can be told of other mixes.")
        return
    look_at(run.id)
    title(NAME, QUESTION, PURPOSE)
    source(run, known)
    page(run, mixing)


main()
