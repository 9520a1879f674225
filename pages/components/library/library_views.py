"""The library as the pages show it: a table, the entry that the address names, and what can be done with one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.errors import attempt, fault
from pages.components.layout.labels import ago, shown_as
from untrac_core.engine.library.entries import TITLES, Entry
from untrac_core.engine.library.library import Library
from untrac_core.paths import data_home
from untrac_core.text.labels import plain

TABLE_ROWS = 12
KNOWN = "known_entry"
OWN = "own"
"""In Trace's address, in place of a subset's id: all of one's own subsets, and own prompt sets if there are any."""


def library() -> Library:
    """The library of the data home that this server works in."""
    return Library(data_home())


def named(entries: Mapping[str, Entry]) -> Callable[[Any], str]:
    """For a choice whose options are ids: what to show for each."""
    return shown_as({one: entry.name for one, entry in entries.items()})


def _heading(text: str) -> None:
    """A name as a heading; one that could hold markup, as plain text."""
    if plain(text) == text:
        st.subheader(text, anchor=False)
    else:
        st.text(text)


def facts(pairs: Mapping[str, str], *, across: int = 4) -> None:
    """Names and values in tiles; the values may hold a user's words, so they are plain text."""
    shown = list(pairs.items())
    for start in range(0, len(shown), across):
        for place, (name, value) in zip(st.columns(across), shown[start : start + across], strict=False):
            with place.container(gap=None):
                st.caption(name)
                st.text(value)


def chosen(kind: str, entries: Sequence[Entry]) -> Entry | None:
    """The entry that the address names; says so where there is none with that id."""
    wanted = st.query_params.get(kind)
    if wanted is None:
        return None
    found = next((entry for entry in entries if entry.id == wanted), None)
    if found is None:
        st.warning(f"The library has no {TITLES[kind]} with the id in this address. It may have been removed.")
    return found


def table(
    kind: str,
    entries: Sequence[Entry],
    columns: Mapping[str, Iterable[Any]],
    config: dict[str, Any],
    *,
    name_width: int = 170,
) -> None:
    """All entries, one per row; its button puts the entry's id into the address."""
    key = f"table_{kind}"

    def open_row() -> None:
        row = st.session_state[f"{key}_open"]["row"]
        if 0 <= row < len(entries):
            st.query_params[kind] = entries[row].id

    frame = pd.DataFrame(
        {
            "open": ["Show"] * len(entries),
            "name": [entry.name for entry in entries],
            **{name: list(values) for name, values in columns.items()},
        }
    )
    layout = {
        "open": st.column_config.ButtonColumn("", width=70, type="secondary", key=f"{key}_open", on_click=open_row),
        "name": st.column_config.TextColumn("Name", width=name_width),
        **config,
    }
    height: Any = 35 * (TABLE_ROWS + 1) + 3 if len(entries) > TABLE_ROWS else "auto"
    st.dataframe(
        frame, hide_index=True, column_config=layout, key=key, height=height, alt=f"Every {TITLES[kind]} of the library"
    )


def known_already(entry: Entry, wanted: str, began: float) -> bool:
    """Whether what was added had been in the library before; its card then says so, and offers the name that was typed.

    ``began``: when adding began, in seconds since 1970.
    """
    if not entry.builtin and entry.added >= began:
        return False
    st.session_state[KNOWN] = (entry.id, wanted)
    return True


def _say_known(entry: Entry) -> None:
    held = st.session_state.get(KNOWN)
    if not held or held[0] != entry.id:
        return
    wanted = held[1]
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(f"It was in the library already, as {entry.name!r}; nothing was added.")
        other = wanted and wanted != entry.name and not entry.builtin
        if other and st.button("Use the name that I typed", icon=":material/edit:", key=f"known_{entry.id}"):
            del st.session_state[KNOWN]
            attempt(lambda: library().rename(entry.kind, entry.id, wanted))
        if st.button("Fine", key=f"fine_{entry.id}", type="tertiary"):
            del st.session_state[KNOWN]
            st.rerun()


def next_step(page: str, label: str, **query: str) -> None:
    """The way on to the next page of the walk; ``query``: what its form begins with."""
    st.page_link(page, label=label, icon=":material/arrow_forward:", width="content", query_params=query or None)


def card_head(entry: Entry) -> None:
    """The first row of an entry's card: its name, the way to trace it, rename and remove."""
    _say_known(entry)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container():
            _heading(entry.name)
        if st.button("Trace it", type="primary", icon=":material/conversion_path:", key=f"trace_{entry.kind}"):
            st.switch_page("pages/trace.py", query_params={entry.kind: entry.id})
        _manage(entry)


def _manage(entry: Entry) -> None:
    """Rename and remove; the demo's own entries stay."""
    if entry.builtin:
        return
    with st.popover("Rename", icon=":material/edit:"):
        name = st.text_input("New name", value=entry.name, max_chars=80, key=f"rename_{entry.id}")
        if st.button("Rename it", key=f"renamed_{entry.id}", type="primary"):
            attempt(lambda: library().rename(entry.kind, entry.id, name.strip()))
    with st.popover("Remove", icon=":material/delete:"):
        st.markdown(f"The {TITLES[entry.kind]} leaves the library. Runs that used it keep what they need.")
        if st.button("Remove it", key=f"removed_{entry.id}", type="primary"):
            st.query_params.pop(entry.kind, None)
            attempt(lambda: library().remove(entry.kind, entry.id))


def origin(entry: Entry) -> None:
    """Where an entry comes from, and what was said when it was added; as plain text."""
    if entry.problem:
        fault(entry.problem)
    with st.container(gap=None):
        if entry.origin:
            added = f" · added {ago(entry.added)}" if entry.added else ""
            st.text(entry.origin[:1].upper() + entry.origin[1:] + added)
        for note in entry.notes:
            st.text(note)
