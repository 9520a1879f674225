"""Files that a user gives to a form: saved at once under the hash of their content, and listed in the form's draft."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.forms.source_preview import Given, label_of, look
from pages.components.layout.errors import faults_in_a_box
from pages.components.layout.labels import shown_as
from untrac_core.engine import save_upload
from untrac_core.engine.library.uploads import SUFFIXES
from untrac_core.errors import InputError
from untrac_core.paths import data_home

SAVED = re.compile(r"[0-9a-f]{16,64}\.(csv|tsv|jsonl|txt)")
FILES_MOST = 200
PASTE_CHARACTERS = 2_000_000
PASTE_LINES = 20
"""Of a pasted text, by which it is recognised."""
COLUMN = re.compile(r"\w[\w .?-]{0,39}")
"""A column's name, as against the first half of a sentence with a comma."""
PASTES = {
    "": "recognised by itself",
    "txt": "one text per line",
    "csv": "csv with a header",
    "jsonl": "one JSON object per line",
}

Listed = dict[str, Any]
"""An upload in a draft: ``id`` (a number), ``file`` (its name in the store), ``name`` (as the user knows it)."""


def saved_path(entry: Listed) -> Path:
    """Where an upload of the draft lies; the draft's word is not trusted."""
    name = str(entry.get("file"))
    path = data_home() / "uploads" / name
    if not SAVED.fullmatch(name) or not path.is_file():
        raise InputError("this upload cannot be found", hint="remove it and upload it again")
    return path


def given_of(entry: Listed) -> Given:
    """An upload of the draft as a source."""
    path = saved_path(entry)
    return Given({"file": str(path)}, label_of(entry["name"]), entry["name"], path.stat().st_size)


def origin_of(given: Given, upload: int | None) -> str:
    """Where an entry of the library came from, where that was an upload; else its source tells."""
    return f"upload {given.shown}"[:200] if upload is not None else ""


def users_words(text: str, given: Given) -> str:
    """A message with the name of the file that the user knows, not that of its copy here."""
    stored = str(given.source.get("file", "")).rsplit("/", 1)[-1]
    return text.replace(stored, given.shown) if stored else text


def listed(prefix: str) -> list[Listed]:
    """The uploads of a form, oldest first; what a draft from elsewhere holds instead is left out."""
    entries = st.session_state.get(f"{prefix}files", [])
    sound = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [entry for entry in sound if isinstance(entry.get("id"), int) and isinstance(entry.get("name"), str)]


def take(prefix: str, name: str, data: bytes, faults: list[str]) -> None:
    """Save one file and put it on the form's list; what is wrong with it goes to ``faults``."""
    entries = listed(prefix)
    name = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", name).split())[:200]  # it will stand in lines of text
    path = None
    try:
        if len(entries) >= FILES_MOST:
            raise InputError(
                f"the list has {FILES_MOST} files", field=name[:80], hint="add or remove some of them first"
            )
        path = save_upload(name, data)
        look(Given({"file": str(path)}, "", name[:80], len(data)))
    except InputError as error:
        said = str(error)
        if path is not None:
            path.unlink(missing_ok=True)  # nothing can use it
            said = said.replace(path.name, name[:80]).replace(f"{name[:80]}: {name[:80]} ", f"{name[:80]} ", 1)
        faults.append(said)
        return
    number = int(st.session_state.get(f"{prefix}uploads", 0)) + 1
    st.session_state[f"{prefix}uploads"] = number
    entries.append({"id": number, "file": path.name, "name": name})
    st.session_state[f"{prefix}files"] = entries


def _take_all(prefix: str, widget: str) -> None:
    """Save what the uploader holds, append it to the list, and empty the uploader."""
    faults: list[str] = []
    for upload in st.session_state.get(widget) or []:
        take(prefix, upload.name, upload.getvalue(), faults)
    st.session_state[f"faults_{prefix}"] = faults
    st.session_state[f"turn_{prefix}"] = int(st.session_state.get(f"turn_{prefix}", 0)) + 1


def drop(prefix: str, number: int) -> None:
    """Take an upload off the list, and the fields of its card with it."""
    st.session_state[f"{prefix}files"] = [entry for entry in listed(prefix) if entry["id"] != number]
    for key in [key for key in st.session_state if str(key).startswith(f"{prefix}{number}_")]:
        del st.session_state[key]


def drop_all(prefix: str) -> None:
    """Take every upload off the list."""
    for entry in listed(prefix):
        drop(prefix, entry["id"])


def uploader(prefix: str, label: str) -> None:
    """A place to drop files; what was wrong with the last ones is said below it, a line each."""
    widget = f"up_{prefix}{st.session_state.get(f'turn_{prefix}', 0)}"
    st.file_uploader(
        label,
        type=list(SUFFIXES),
        accept_multiple_files=True,
        key=widget,
        on_change=_take_all,
        args=(prefix, widget),
    )
    st.caption("UTF-8 text, up to 20 MB per file. Larger ones, parquet, .gz: put them on this machine, choose 'here'.")
    faults_in_a_box([str(text) for text in st.session_state.get(f"faults_{prefix}", [])])


def paste(prefix: str, *, label: str, help_text: str) -> None:
    """A field for a few texts; what is pasted becomes a file like any other."""
    st.selectbox("The pasted text is", list(PASTES), format_func=shown_as(PASTES), key=f"{prefix}paste_form")
    st.session_state.setdefault(f"{prefix}paste", "")
    st.text_area(label, key=f"{prefix}paste", height=160, max_chars=PASTE_CHARACTERS, placeholder=help_text)
    st.button("Read it", key=f"b_{prefix}paste_read", on_click=_paste, args=(prefix,))
    faults_in_a_box([str(text) for text in st.session_state.get(f"faults_{prefix}paste", [])])


def recognised(text: str) -> str:
    """What a pasted text most likely is: ``jsonl`` or ``csv`` where its first lines are one, else ``txt``."""
    first = [line for line in text.splitlines() if line.strip()][:PASTE_LINES]
    if all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in first):
        return "jsonl"
    rows = list(csv.reader(first))
    header = [name.strip() for name in rows[0]]
    named = len(set(header)) == len(header) > 1 and all(COLUMN.fullmatch(name) for name in header)
    return "csv" if named and len(rows) > 1 and all(len(row) == len(header) for row in rows) else "txt"


def _paste(prefix: str) -> None:
    text, form = str(st.session_state.get(f"{prefix}paste", "")), st.session_state.get(f"{prefix}paste_form")
    faults: list[str] = []
    if form not in PASTES:
        faults.append("Choose what the pasted text is.")
    elif len(text) > PASTE_CHARACTERS:
        faults.append("The pasted text is too long: upload it as a file.")
    elif not text.strip():
        faults.append("Nothing is pasted yet.")
    else:
        before = len(listed(prefix))
        take(prefix, f"pasted.{form or recognised(text)}", text.encode("utf-8", "replace"), faults)
        if len(listed(prefix)) > before:
            st.session_state[f"{prefix}paste"] = ""
    st.session_state[f"faults_{prefix}paste"] = faults
