"""Adding a named probe: what it is, under which terms, and where its data are read."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms.jobs import fetch
from pages.components.forms.source_picker import library_lock, local_file, local_folder, option
from pages.components.forms.source_preview import Given
from pages.components.layout.errors import fault
from pages.components.library.library_views import facts, library
from untrac_core.engine import Store
from untrac_core.engine.library.sources import probes
from untrac_core.errors import InputError
from untrac_core.specs import PromptSet
from untrac_core.specs.build import build

COPIES = {"hub": "Hugging Face Hub", "file": "A local file", "folder": "A local folder"}


def probe_way(prefix: str, store: Store) -> None:
    """Choose a published test set, read its terms, and add it."""
    names = probes.probe_names()
    option(f"{prefix}probe", names, names[0] if names else None)
    name = st.selectbox("Probe", names, format_func=_title, key=f"{prefix}probe")
    try:
        found = probes.probe(str(name))
    except InputError as error:
        fault(str(error))
        return
    st.text(" ".join(found.about.split()))
    if found.warning:
        st.warning("Content warning: " + found.warning.replace("$", "\\$"), icon=":material/visibility_off:")
    sides = f"{found.harmful or 'one side'}{f' / {found.harmless}' if found.harmless else ''}"
    facts(
        {
            "Sides": sides,
            "Groups": found.groups or "none",
            "On the Hugging Face Hub": found.hub,
            "Licence": found.licence,
        },
        across=4,
    )
    with st.container(gap=None):
        st.caption("Please cite")
        st.text(" ".join(found.citation.split()))
    option(f"{prefix}copy", list(COPIES), "hub")
    copy = st.segmented_control(
        "Read from",
        list(COPIES),
        format_func=COPIES.get,
        key=f"{prefix}copy",
        required=True,
        help="A local copy may have the columns of the original, or prompt, completion, group, label, id and cluster.",
    )
    given = None
    if copy != "hub":
        given = library_lock(lambda: local_file(f"{prefix}c_") if copy == "file" else local_folder(f"{prefix}c_"))
    st.session_state.setdefault(f"{prefix}probe_name", "")
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    label = left.text_input("Name", key=f"{prefix}probe_name", placeholder=str(name), max_chars=80).strip()
    ready = copy == "hub" or given is not None
    if right.button("Add", type="primary", key=f"b_{prefix}probe_add", width="stretch", disabled=not ready):
        values: dict[str, Any] = {"name": label or str(name), "probe": str(name)}
        _add(prefix, values | ({"source": given.source} if given else {}), given, store)


def _title(name: str) -> str:
    try:
        return probes.probe(name).title
    except InputError:
        return name


def _add(prefix: str, values: dict[str, Any], given: Given | None, store: Store) -> None:
    try:
        spec = build(PromptSet, values, where="probe")
        if given is None or given.large:
            fetch(store, prefix, spec.name, prompts=[spec])
            return
        with st.spinner("Reading the items"):
            entry = library().add_prompts(spec)
    except InputError as error:
        fault(str(error))
        return
    draft.empty(prefix)
    st.query_params["prompts"] = entry.id
    st.rerun()
