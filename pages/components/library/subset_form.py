"""Adding training subsets: from files, a folder, a data set on the hub, or one data set split by a column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.forms.source_picker import (
    ask_hub,
    hub_set,
    library_lock,
    local_file,
    local_folder,
    name_field,
    option,
)
from pages.components.forms.source_preview import NUMBERS, Given, data_files, label_of, look, of_numbers
from pages.components.forms.uploads import drop, drop_all, given_of, listed, uploader
from pages.components.layout.errors import fault, faults_in_a_box
from pages.components.layout.labels import bytes_in_words
from pages.components.layout.masked_tables import masked_table
from pages.components.library.subset_adding import Part, add_parts, add_split, settled
from untrac_core.engine import Store
from untrac_core.engine.library.sources import Preview, guess_split, guess_text, unique_names
from untrac_core.errors import InputError
from untrac_core.paths import within_roots
from untrac_core.text.labels import plain
from untrac_core.text.numbers import count

PREFIX = "s_"
WAYS = {"upload": "Upload", "file": "A file here", "folder": "A folder here", "hub": "Hugging Face Hub"}
MAKES = {
    "one": "One subset",
    "files": "One subset per file",
    "column": "Split by a column",
    "configs": "One subset per config",
    "splits": "One subset per split",
}
CHOICES = {
    "file": ["one", "column"],
    "folder": ["files", "one", "column"],
    "hub": ["one", "column", "configs", "splits"],
}
NONE = "(none)"
ROWS_MOST = 12
PREVIEW_ROWS = 5
VALUES_MOST = 50
PARTS_MOST = 100
SAMPLING = """
A subset of up to 64 MB of text is kept whole. Of a larger one, one pass reads at most 4 GB of text (1 GB from the
Hugging Face Hub) and keeps a fixed random sample of its documents, every one as likely as the others; the same source
gives the same sample every time. A data set of several files that is
larger than that is read in a random order of files.

A run then takes a fixed random number of blocks of each subset, so more text than that only adds variety. What was read
and kept is written down with the subset.
"""


def form(store: Store) -> None:
    """The whole form."""
    faults = settled(PREFIX)
    st.subheader("Add training subsets", anchor=False)
    faults_in_a_box(faults)
    option(f"{PREFIX}way", list(WAYS), "upload")
    with st.container(border=True, key="add_subsets"):
        way = st.segmented_control(
            "Where are the texts?", list(WAYS), format_func=WAYS.get, key=f"{PREFIX}way", required=True
        )
        if way == "upload":
            uploader(PREFIX, "Files with training texts, each a subset")
            uploaded(store)
        elif way in CHOICES:
            library_lock(lambda: _source(store, str(way)))
        with st.expander("How large data are read"):
            st.markdown(SAMPLING)


def _source(store: Store, way: str) -> None:
    """A file, a folder or a data set on the hub, and what is to be made of it."""
    choices = CHOICES[way]
    option(f"{PREFIX}{way}_make", choices, choices[0])
    make = st.segmented_control("Import as", choices, format_func=MAKES.get, key=f"{PREFIX}{way}_make", required=True)
    if way == "file":
        given = local_file(PREFIX)
    elif way == "folder":
        given = local_folder(PREFIX)
    else:
        given = hub_set(PREFIX, by={"configs": "config", "splits": "split"}.get(str(make), ""))
    if given is None:
        return
    prefix = f"{PREFIX}{way}_"
    if make == "files":
        files(store, given, prefix)
    elif make == "column":
        split(store, given, prefix, None)
    elif make in ("configs", "splits"):
        hub_parts(store, given, str(make), prefix)
    else:
        one(store, given, prefix)


def text_columns(found: Preview, prefix: str) -> dict[str, Any]:
    """Choices for the text column, and one that is given and not scored."""
    left, right = st.columns(2)
    option(f"{prefix}text", found.columns, guess_text(found.columns, found.first))
    text = left.selectbox("Text", found.columns, key=f"{prefix}text")
    if of_numbers(found, str(text)):
        st.warning(NUMBERS, icon=":material/tag:")
    option(f"{prefix}prompt", [NONE, *found.columns], NONE)
    prompt = right.selectbox(
        "Prompt (not scored)",
        [NONE, *found.columns],
        key=f"{prefix}prompt",
        help="For instruction data: a record is then one example of its own, not running text.",
    )
    return {"text": text, "prompt": None if prompt in (NONE, text) else prompt}


def preview(found: Preview, values: dict[str, Any], key: str) -> None:
    """The first documents, masked until asked for."""
    rows = found.first[:PREVIEW_ROWS]
    columns = {"Text": [row.get(values["text"], "") for row in rows]}
    if values.get("prompt"):
        columns = {"Given": [row.get(values["prompt"], "") for row in rows], **columns}
    masked_table(columns, words=list(columns), key=key, alt="The first documents")
    rows_seen = f"{count(found.count, 'row')}" if found.whole else f"the first {found.count:,} rows were looked at"
    st.caption(f"{rows_seen} · {bytes_in_words(found.size)} in {count(len(found.files), 'file')}")


def one(store: Store, given: Given, prefix: str) -> None:
    """The whole source as one subset."""
    found = look(given, paragraphs=True)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = name_field(left, prefix, given)
    place = right.empty()
    values = text_columns(found, prefix)
    preview(found, values, f"show_{prefix}")
    if place.button("Add", type="primary", key=f"b_{prefix}add", width="stretch"):
        add_parts(store, PREFIX, [Part(name, given, values)])


def files(store: Store, given: Given, prefix: str) -> None:
    """Every data file of a folder as a subset of its own, those that are chosen."""
    paths = data_files(Path(given.source["folder"]))
    if not paths:
        raise InputError("there is no data file in it", field=f"folder {given.shown!r}", hint="name another folder")
    names = [path.name for path in paths][:PARTS_MOST]
    key = f"{prefix}files"
    if key in st.session_state:
        st.session_state[key] = [name for name in st.session_state[key] if name in names] or names
    else:
        st.session_state[key] = names
    picked = st.multiselect("Files that become subsets", names, key=key)
    chosen = [path for path in paths if path.name in picked]
    st.dataframe(
        pd.DataFrame(
            {
                "Subset": [label_of(path.name) for path in chosen],
                "File": [path.name for path in chosen],
                "Size": [bytes_in_words(path.stat().st_size) for path in chosen],
            }
        ),
        hide_index=True,
        alt="The subsets that will be made",
    )
    if len(paths) > PARTS_MOST:
        st.caption(f"The first {PARTS_MOST} of {len(paths)} files are offered.")
    values: dict[str, Any] = {"text": None, "prompt": None}
    if chosen:
        first = chosen[0]
        given = Given({"file": str(within_roots(first, where="file"))}, label_of(first.name), first.name, None)
        found = look(given, paragraphs=True)
        options = ["(guess for each file)", *found.columns]
        option(f"{prefix}text", options, options[0])
        text = st.selectbox("Text column", options, key=f"{prefix}text")
        values["text"] = None if text == options[0] else text
        st.caption(f"The first file, {plain_name(first.name)}:")
        preview(found, {"text": values["text"] or guess_text(found.columns, found.first)}, f"show_{prefix}")
    parts = [
        Part(label_of(path.name), Given({"file": str(path)}, "", path.name, path.stat().st_size), dict(values))
        for path in chosen
    ]
    if st.button(f"Add {count(len(parts), 'subset')}", type="primary", key=f"b_{prefix}add", disabled=not parts):
        add_parts(store, PREFIX, parts)


def plain_name(name: str) -> str:
    """A file's name where it cannot hold markup."""
    return plain(label_of(name)) or "as it is"


def split(store: Store, given: Given, prefix: str, upload: int | None) -> None:
    """One data set, its rows parted by the values of a column, those that are chosen."""
    found = look(given, paragraphs=True)
    values = text_columns(found, prefix)
    others = [column for column in found.columns if column not in (values["text"], values["prompt"])]
    if not others:
        raise InputError("it has no other column to split by", field=given.shown, hint="take it as one subset")
    guess = guess_split(others, found.values)
    option(f"{prefix}column", others, guess or others[0])
    column = st.selectbox("Split by", others, key=f"{prefix}column")
    counts = found.values.get(str(column), {})
    if not counts:
        raise InputError(f"the column {str(column)!r} has no values", field=given.shown, hint="choose another")
    st.dataframe(
        pd.DataFrame({"Value": list(counts), "Rows": list(counts.values())}),
        hide_index=True,
        height="auto" if len(counts) <= 6 else 240,
        alt="The values of the column and how many rows have them",
    )
    seen = "all rows" if found.whole else f"the first {found.count:,} rows"
    listed_only = f"; the {len(counts)} most common values are listed" if len(counts) >= VALUES_MOST else ""
    st.caption(f"Counted over {seen}{listed_only}.")
    whole = (
        st.toggle("Take the largest values of the whole data set, also those that come later", key=f"{prefix}later")
        if not found.whole
        else False
    )
    if whole:
        st.session_state.setdefault(f"{prefix}most", 10)
        most = st.number_input("At most so many subsets", min_value=2, max_value=500, step=1, key=f"{prefix}most")
        if st.button("Add them", type="primary", key=f"b_{prefix}add_all"):
            add_split(store, PREFIX, given, str(column), values, int(most))
        return
    key = f"{prefix}values_{column}"[:200]
    usual = [value for value, rows in counts.items() if rows >= 2][:20] or list(counts)[:20]
    kept = [value for value in st.session_state.get(key, usual) if value in counts]
    st.session_state[key] = kept
    picked = st.multiselect("Values that become subsets", list(counts), key=key, format_func=str)
    preview(found, values, f"show_{prefix}")
    parts = [
        Part(name, given, {**values, "where": {"column": column, "value": value}})
        for name, value in zip(unique_names(picked), picked, strict=True)
    ]
    if st.button(f"Add {count(len(parts), 'subset')}", type="primary", key=f"b_{prefix}add", disabled=not parts):
        add_parts(store, PREFIX, parts, upload=upload)


def hub_parts(store: Store, given: Given, make: str, prefix: str) -> None:
    """The configs or the splits of a data set on the hub, those that are chosen, each a subset."""
    repository, revision = given.source["hub"], given.source["revision"]
    word = make.removesuffix("s")
    if word == "config":
        names = list(ask_hub("configs", repository, revision))
    else:
        names = list(ask_hub("splits", repository, given.source["config"], revision))
    key = f"{prefix}{make}"
    st.session_state[key] = [name for name in st.session_state.get(key, names[:20]) if name in names]
    picked = st.multiselect(f"{make.capitalize()} that become subsets", names, key=key)
    left, right = st.columns(2)
    for name in ("part_text", "part_split"):
        st.session_state.setdefault(f"{prefix}{name}", "" if name == "part_text" else "train")
    text = left.text_input("Text column", key=f"{prefix}part_text", placeholder="guess for each", max_chars=200).strip()
    source = dict(given.source)
    if word == "config":
        source["split"] = right.text_input("Split of each", key=f"{prefix}part_split", max_chars=200).strip() or None
    parts = [
        Part(name[:80], Given({**source, word: name}, name, repository, None), {"text": text or None, "prompt": None})
        for name in picked
    ]
    if st.button(f"Add {count(len(parts), 'subset')}", type="primary", key=f"b_{prefix}add", disabled=not parts):
        add_parts(store, PREFIX, parts)


def uploaded(store: Store) -> None:
    """What was uploaded: a line for each file, or, where there is one file, also its parts."""
    entries = listed(PREFIX)
    if not entries:
        return
    make = "one"
    if len(entries) == 1:
        option(f"{PREFIX}upload_make", ["one", "column"], "one")
        picked = st.segmented_control(
            "Import as", ["one", "column"], format_func=MAKES.get, key=f"{PREFIX}upload_make", required=True
        )
        make = str(picked)
    if make == "column":
        number = entries[0]["id"]
        library_lock(lambda: split(store, given_of(entries[0]), f"{PREFIX}{number}_", number))
        st.button("Remove", key=f"b_{PREFIX}{number}_drop", on_click=drop, args=(PREFIX, number))
        return
    parts = []
    for number, entry in enumerate(entries):
        try:
            parts.append(_line(entry) if number < ROWS_MOST else _guessed(entry))
        except InputError as error:
            fault(str(error))
            st.button("Remove", key=f"b_{PREFIX}{entry['id']}_drop", on_click=drop, args=(PREFIX, entry["id"]))
    if len(entries) > ROWS_MOST:
        st.caption(f"{len(entries) - ROWS_MOST} more files take their own names and guessed text columns.")
    with st.container(horizontal=True):
        if st.button(
            f"Add {count(len(parts), 'subset')}", type="primary", key=f"b_{PREFIX}upload_add", disabled=not parts
        ):
            add_parts(store, PREFIX, parts)
        st.button("Remove all", key=f"b_{PREFIX}upload_clear", on_click=drop_all, args=(PREFIX,))


def _line(entry: dict[str, Any]) -> Part:
    """An upload as one line of the form: name, text column, and a way to take it off."""
    given, prefix = given_of(entry), f"{PREFIX}{entry['id']}_"
    found = look(given, paragraphs=True)
    first, second, third = st.columns([4, 3, 2], vertical_alignment="bottom")
    name = name_field(first, prefix, given)
    option(f"{prefix}text", found.columns, guess_text(found.columns, found.first))
    text = second.selectbox(f"Text of {count(found.count, 'row')}", found.columns, key=f"{prefix}text")
    third.button(
        "Remove",
        icon=":material/close:",
        key=f"b_{prefix}drop",
        on_click=drop,
        args=(PREFIX, entry["id"]),
        width="stretch",
    )
    return Part(name, given, {"text": text, "prompt": None}, entry["id"])


def _guessed(entry: dict[str, Any]) -> Part:
    given = given_of(entry)
    return Part(given.label, given, {"text": None, "prompt": None}, entry["id"])
