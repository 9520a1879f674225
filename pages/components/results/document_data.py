"""The documents that the texts of a result were cut from, read again from where the subset lies; nothing here draws."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.forms.source_preview import INLINE_BYTES, Stamp, stamp
from pages.components.library.library_views import library
from untrac_core.engine.library.sources import Document, Passage, load_subset, passage, row_of
from untrac_core.errors import InputError
from untrac_core.paths import within_roots
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import Subset

AROUND = 400
"""Characters of the document to each side of a text, unless the whole document is asked for."""
WHOLE_MOST = 12_000
"""Characters to each side that are drawn at most."""


@st.cache_resource(max_entries=8, show_spinner="Reading the document")
def _documents(subset: str, files: Stamp) -> list[Document]:
    return load_subset(Subset.model_validate_json(subset)).documents


def _subset(result: TraceFiles, name: str) -> Subset | None:
    return next((subset for subset in result.spec.subsets if subset.name == name), None)


def passage_of(result: TraceFiles, row: pd.Series) -> tuple[Passage | None, str]:
    """A text of the list in its document; where it cannot be had, ``None`` and why, in words of ours."""
    subset = _subset(result, str(row["subset"]))
    if subset is None:
        return None, "The request has no such subset."
    source = subset.source
    if source.hub is not None:
        return None, "The document is on the Hugging Face Hub and is not fetched again."
    try:
        if place := source.file or source.folder:
            within_roots(place, where="subset")
        files = stamp(source)
        if not files:
            return None, "The document's file is no longer here."
        if sum(size for _, size, _ in files) > INLINE_BYTES:
            return None, "The document's file is too large to be read while the page waits."
        found = passage(_documents(subset.model_dump_json(), files), str(row["id"]), str(row["text"]))
    except (InputError, OSError):
        return None, "The document's file cannot be read here."
    return found, "" if found else "The document is not in its file any more as it was."


def file_of(result: TraceFiles, row: pd.Series) -> str:
    """The file that a text is from, as its user knows it; of what the library keeps, where that came from."""
    reference = str(row["reference"]).rpartition(", line ")[0] or str(row["reference"])
    subset = _subset(result, str(row["subset"]))
    if subset is None or subset.source.kept is None:
        return reference
    for entry in library().entries("subset"):
        value = entry.value
        if isinstance(value, Subset) and value.source.kept == subset.source.kept and entry.origin:
            return entry.origin.removeprefix("upload ").removeprefix("file ")
    return reference


def line_of(result: TraceFiles, row: pd.Series) -> int | None:
    """The line of the file that a text begins in; ``None`` where its lines are those of the library's own copy."""
    subset, line = _subset(result, str(row["subset"])), str(row["reference"]).rpartition(", line ")[2]
    return int(line) if subset is not None and subset.source.kept is None and line.isdecimal() else None


def where_from(result: TraceFiles, row: pd.Series) -> str:
    """File, line and row of a text; holds a user's words (show as text)."""
    line, name = line_of(result, row), row_of(str(row["id"]))
    parts = [file_of(result, row), *([f"line {line}"] if line else [])]
    return ", ".join(parts if name == f"line {line}" else [*parts, f"row {name}"])


def around(found: Passage, *, whole: bool) -> tuple[str, str, int]:
    """What is drawn before and after a text, cut between words, and how many characters are left out."""
    most = WHOLE_MOST if whole else AROUND
    before, after = found.before[-most:], found.after[:most]
    if len(before) < len(found.before):
        before = "…" + before[max(0, before.find(" ")) :]
    if len(after) < len(found.after):
        after = after[: after.rfind(" ") + 1 or None] + "…"
    return before, after, max(0, len(found.before) - most) + max(0, len(found.after) - most)


def with_surroundings(spans: pd.DataFrame, before: str, after: str) -> pd.DataFrame:
    """The pieces of a text, between those of the document around it."""
    edges = [pd.DataFrame({"text": [text], "scored": [False], "outside": [True]}) for text in (before, after)]
    return pd.concat([edges[0], spans.assign(outside=False), edges[1]], ignore_index=True)


def as_one_piece(row: pd.Series) -> pd.DataFrame:
    """A text that was not looked at token by token, as one piece with the change of all of it."""
    names = (("change", "influence"), ("low", "low"), ("high", "high"))
    numbers = {name: [row[key] * row["tokens"]] for name, key in names}
    return pd.DataFrame({"text": [str(row["text"])], "scored": [True], **numbers})


def rows_of(rows: pd.DataFrame) -> dict[str, list[str]]:
    """By subset, the rows of its source that texts of the list begin in."""
    found: dict[str, list[str]] = {}
    for subset, block in zip(rows["subset"], rows["id"], strict=True):
        found.setdefault(str(subset), []).append(row_of(str(block)))
    return {subset: list(dict.fromkeys(ids)) for subset, ids in found.items()}


def exported(result: TraceFiles, rows: pd.DataFrame) -> bytes:
    """The texts as jsonl, one line each, in the order of the list: where each stands, and its influence."""
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in _lines(result, rows)).encode()


def _lines(result: TraceFiles, rows: pd.DataFrame) -> Iterable[dict[str, Any]]:
    for rank, (_, row) in enumerate(rows.iterrows(), 1):
        ends = {name: None if pd.isna(row[name]) else float(row[name]) for name in ("low", "high")}
        yield {
            "rank": rank,
            "subset": str(row["subset"]),
            "file": file_of(result, row),
            "line": line_of(result, row),
            "row": row_of(str(row["id"])),
            "block": str(row["id"]),
            "influence": float(row["influence"]),
            **ends,
        }
