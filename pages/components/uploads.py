"""Files that a user uploads to the trace form: saved at once, listed in the draft, read for their columns."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components.words import mask
from untrac_core.data.sources import SUFFIXES, read_records
from untrac_core.engine import save_upload
from untrac_core.errors import InputError
from untrac_core.home import data_home

SAVED = re.compile(r"[0-9a-f]{16,64}\.(csv|tsv|jsonl|txt)")
VALUES_MOST = 50
PREVIEW = 5
KINDS = ("prompts", "subsets")


@dataclass(frozen=True)
class Look:
    """What the form needs to know of a file: its columns, how many records, the first ones, and the values of each."""

    columns: list[str]
    count: int
    first: list[dict[str, str]]
    values: dict[str, list[str]]


@st.cache_data(max_entries=200, show_spinner=False)
def look(path: str, name: str) -> Look:
    """Read a file once; its name in the store is the hash of its content, so the answer does not age."""
    records = read_records(Path(path), where=name)
    values = {}
    for column in records.columns:
        counted = Counter(row.get(column, "") for row in records.rows)
        values[column] = [value for value, _ in counted.most_common(VALUES_MOST) if value]
    return Look(records.columns, len(records.rows), records.rows[:PREVIEW], values)


def saved_path(entry: dict) -> Path:
    """Where an upload of the draft lies; the draft's word is not trusted."""
    name = str(entry.get("file"))
    if not SAVED.fullmatch(name):
        raise InputError("this upload cannot be found", mend="remove it and upload it again")
    return data_home() / "uploads" / name


def label_of(name: str) -> str:
    """A first name for a set, from the name of its file."""
    stem = re.sub(r"[\x00-\x1f\x7f]", "", Path(name.replace("\0", "")).stem).strip()
    return stem[:80] or "uploaded"


def _take(kind: str, widget: str) -> None:
    """Save what the uploader holds, append it to the list of ``kind``, and empty the uploader."""
    listed: list[dict] = list(st.session_state.get(f"t_{kind}_files", []))
    faults = []
    for upload in st.session_state.get(widget) or []:
        path = None
        try:
            path = save_upload(upload.name, upload.getvalue())
            look(str(path), upload.name)
        except InputError as error:
            faults.append(str(error).replace(path.name, upload.name) if path else str(error))
            continue
        number = int(st.session_state.get("t_uploads", 0)) + 1
        st.session_state["t_uploads"] = number
        listed.append({"id": number, "file": path.name, "name": upload.name[:200]})
    st.session_state[f"t_{kind}_files"] = listed
    st.session_state[f"faults_{kind}"] = faults
    st.session_state[f"turn_{kind}"] = int(st.session_state.get(f"turn_{kind}", 0)) + 1


def _drop(kind: str, number: int) -> None:
    listed = st.session_state.get(f"t_{kind}_files", [])
    st.session_state[f"t_{kind}_files"] = [entry for entry in listed if entry["id"] != number]
    for key in [key for key in st.session_state if str(key).startswith(f"t_{kind}_{number}_")]:
        del st.session_state[key]


def uploader(kind: str, label: str) -> list[dict]:
    """A place to drop files; returns the list of those that were taken, oldest first."""
    widget = f"up_{kind}_{st.session_state.get(f'turn_{kind}', 0)}"
    st.file_uploader(
        label,
        type=list(SUFFIXES),
        accept_multiple_files=True,
        key=widget,
        on_change=_take,
        args=(kind, widget),
        help="csv, tsv, jsonl or txt, UTF-8, up to 20 MB each",
    )
    for text in st.session_state.get(f"faults_{kind}", []):
        fault(text)
    return list(st.session_state.get(f"t_{kind}_files", []))


def remove_button(kind: str, entry: dict) -> None:
    """Takes an upload off the list."""
    st.button(
        "Remove", icon=":material/close:", key=f"drop_{kind}_{entry['id']}", on_click=_drop, args=(kind, entry["id"])
    )


def preview(found: Look, columns: list[str], *, key: str) -> None:
    """The first records, their words hidden until asked for."""
    shown = st.toggle("Show the texts (they may be harmful)", key=key)
    rows = [{name: str(row.get(name, ""))[:300] for name in columns} for row in found.first]
    if not shown:
        rows = [{name: mask(text, 60) for name, text in row.items()} for row in rows]
    st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True, alt="The first records of the file")


def named(text: str) -> str:
    """A message in which the stored names of uploads are replaced by those that the user knows."""
    for kind in KINDS:
        for entry in st.session_state.get(f"t_{kind}_files", []):
            text = text.replace(entry["file"], entry["name"])
    return text


def fault(text: str) -> None:
    """One line that says what is wrong, at the field; as plain text, since it may quote the user's words."""
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="top", wrap=False):
        st.markdown(":red[:material/error:]", width="content")
        st.text(text, width="stretch")
