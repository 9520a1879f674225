"""The right-hand side of a form: the run's name, its cost, Start, and the same request as YAML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.layout.errors import Spots
from untrac_core.engine import Store, submit
from untrac_core.engine.checks import Check, check
from untrac_core.errors import InputError
from untrac_core.specs import RunSpec, TraceSpec, UnlearnSpec, ValidateSpec
from untrac_core.specs.build import build
from untrac_core.specs.files import to_yaml


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What differs between the kinds of run.

    ``prefix``: of the form's keys. ``costs`` and ``remarks`` show what the check of a request found, above and below
    Start. ``tell`` shows an error at its field, or in the place given last. ``start``: what the button says. ``page``:
    where the run is watched.
    """

    spec: type[TraceSpec] | type[ValidateSpec] | type[UnlearnSpec]
    prefix: str
    costs: Callable[[Any], None]
    remarks: Callable[[Any], None]
    tell: Callable[[InputError, Spots, Any], None]
    start: str = "Start"
    page: str = "pages/runs.py"


@st.cache_resource(max_entries=64, ttl=600, show_spinner="Checking the request")  # shared: nobody alters a check
def checked(text: str, rates: tuple[tuple[str, float], ...], _spec: RunSpec) -> Check:
    """What a request will do and cost; ``text``, its canonical JSON, tells it from others. No error is remembered."""
    return check(_spec, rates=dict(rates))


def summary(launch: Launch, store: Store, values: dict[str, Any], faults: list[InputError], spots: Spots) -> None:
    """Check the request, show what it will cost, start it when asked; ``faults`` are shown at their fields already."""
    st.subheader("Before you start", anchor=False)
    values["name"] = st.text_input("Name of the run", key=f"{launch.prefix}name", max_chars=80).strip()
    spots["name"] = st.empty()
    fallback = st.container()
    spec, found = None, None
    if not faults:
        try:
            spec = build(launch.spec, values, where="request")
            found = checked(spec.model_dump_json(), tuple(sorted(store.rates().items())), spec)
        except InputError as error:
            launch.tell(error, spots, fallback)
    if found is not None:
        launch.costs(found)
    else:
        st.caption("Fix the highlighted fields; the cost of the run is shown here as soon as the request is complete.")
    start = st.button(
        launch.start, type="primary", icon=":material/play_arrow:", disabled=found is None, key="start", width="stretch"
    )
    if found is not None:
        launch.remarks(found)
    if spec is not None:
        with st.expander("The same as YAML"):
            st.code(to_yaml(spec), language="yaml")
    if start and spec is not None:
        try:
            run_id = submit(spec, store)
        except InputError as error:
            launch.tell(error, spots, fallback)
            return
        draft.keep(launch.prefix)
        st.switch_page(launch.page, query_params={"run": run_id})
