"""Putting training subsets into the library: at once where they are small and here, else in the background."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms.jobs import fetch, launch
from pages.components.forms.source_preview import INLINE_BYTES, Given, look
from pages.components.forms.uploads import drop, listed, origin_of, users_words
from pages.components.layout.errors import fault, faults_in_a_box
from pages.components.library.library_views import known_already, library
from untrac_core.engine import Store
from untrac_core.engine.library.sources import guess_text, load_subsets
from untrac_core.errors import InputError
from untrac_core.specs import Collection, FetchSpec, Subset
from untrac_core.specs.build import build


@dataclass(frozen=True)
class Part:
    """A subset to be: its name, its source, its columns (``text`` ``None``: guessed), the upload it comes from."""

    name: str
    given: Given
    columns: dict[str, Any]
    upload: int | None = None


def settled(prefix: str) -> list[str]:
    """Take the uploads that were added off the list, before anything is drawn; what was wrong with the others."""
    for number in st.session_state.pop(f"dropped_{prefix}", []):
        drop(prefix, number)
    return list(st.session_state.pop(f"said_{prefix}", []))


def subset_of(part: Part) -> Subset:
    """The subset as a spec. Raises :class:`InputError` with the name that the user knows."""
    columns = dict(part.columns)
    if columns.get("text") is None:
        found = look(part.given, paragraphs=True)
        columns["text"] = guess_text(found.columns, found.first)
    values = {"name": part.name, "source": part.given.source, **columns}
    return build(Subset, values, where=f"subset {part.name!r}")


def add_parts(store: Store, prefix: str, parts: list[Part], upload: int | None = None) -> None:
    """Add all of them; what cannot be added is said, a line each, and stays in the form."""
    faults: list[str] = []
    made: list[tuple[Part, Subset]] = []
    with st.spinner("Looking into the data"):
        for part in parts:
            try:
                made.append((part, subset_of(part)))
            except InputError as error:
                faults.append(users_words(str(error), part.given))
    if made and _large(made):
        _fetch(store, prefix, made, faults)
        return
    added, done = [], []
    with st.spinner("Reading the texts"):
        for part, entry_id, said in _read(made):
            if entry_id:
                added.append(entry_id)
                done.append(part)
            else:
                faults.append(users_words(said, part.given))
    _finish(prefix, added, done, faults, upload)


def _read(made: list[tuple[Part, Subset]]) -> list[tuple[Part, str, str]]:
    """Read and keep each; subsets of one source cost one pass over it. The entry's id, or what is wrong."""
    results, began = [], time.time()
    groups: dict[str, list[tuple[Part, Subset]]] = {}
    for part, spec in made:
        groups.setdefault(spec.source.model_dump_json(), []).append((part, spec))
    for group in groups.values():
        loaded: dict[str, Any] = {}
        if len({spec.name for _, spec in group}) == len(group) > 1:
            try:
                loaded = load_subsets([spec for _, spec in group])
            except InputError:  # one of them is at fault: each says its own below
                loaded = {}
        for part, spec in group:
            try:
                origin = origin_of(part.given, part.upload)
                entry = library().add_subset(spec, origin=origin, data=loaded.get(spec.name))
                known_already(entry, part.name, began)
                results.append((part, entry.id, ""))
            except InputError as error:
                results.append((part, "", str(error)))
    return results


def _large(made: list[tuple[Part, Subset]]) -> bool:
    """Whether reading them would keep the page waiting."""
    sizes = {spec.source.model_dump_json(): part.given.size for part, spec in made}
    return any(size is None for size in sizes.values()) or sum(size or 0 for size in sizes.values()) > INLINE_BYTES


def _fetch(store: Store, prefix: str, made: list[tuple[Part, Subset]], faults: list[str]) -> None:
    """Let a run read them; what cannot be added stays, and is said after the form was drawn anew."""
    name = made[0][1].name if len(made) == 1 else f"{len(made)} subsets of {made[0][0].given.shown}"
    try:
        spec = build(FetchSpec, {"name": f"Fetch {name}"[:80], "subsets": [one for _, one in made]}, where="subsets")
    except InputError as error:
        faults_in_a_box([*faults, str(error)])
        return
    if not launch(spec, store):
        faults_in_a_box(faults)
        return
    st.session_state[f"dropped_{prefix}"] = [part.upload for part, _ in made if part.upload is not None]
    st.session_state[f"said_{prefix}"] = faults
    if not faults:
        draft.empty(prefix)
    st.rerun()


def add_split(store: Store, prefix: str, given: Given, column: str, values: dict[str, Any], most: int) -> None:
    """Let a run find the largest values of a column in the whole data set, and add each as a subset."""
    try:
        collection = build(
            Collection,
            {"source": given.source, "split_by": "column", "column": column, "max_subsets": most, **values},
            where="subsets",
        )
        fetch(store, prefix, f"{given.shown} by {column}", collections=[collection])
    except InputError as error:
        fault(str(error))


def _finish(prefix: str, added: list[str], done: list[Part], faults: list[str], upload: int | None) -> None:
    """Empty the form of what was added; where all of it was, show the library."""
    if faults:
        faults_in_a_box(faults)
    if not added:
        return
    st.session_state[f"dropped_{prefix}"] = [part.upload for part in done if part.upload is not None]
    if upload is not None and not faults:
        st.session_state[f"dropped_{prefix}"] = [upload]
    st.session_state[f"said_{prefix}"] = faults
    if not faults and len(listed(prefix)) <= len(st.session_state[f"dropped_{prefix}"]):
        draft.empty(prefix)
    if len(added) == 1:
        st.query_params["subset"] = added[0]
    else:
        st.query_params.pop("subset", None)
    st.rerun()
