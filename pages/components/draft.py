"""A form that outlives the session: its values lie in a small file that the address names (``?draft=...``)."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path

import streamlit as st

from untrac_core.home import data_home

PREFIX = "t_"
DRAFT_ID = re.compile(r"[0-9a-f]{12}")
DRAFT_BYTES = 500_000
KEPT = 50


def _folder() -> Path:
    folder = data_home() / "drafts"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _values() -> dict[str, object]:
    return {str(key): value for key, value in st.session_state.items() if str(key).startswith(PREFIX)}


def restore(marker: str) -> None:
    """Fill the form's keys from the draft that the address names, unless ``marker`` shows that they are filled.

    Without a draft in the address, the session's own one is taken up again.
    """
    st.session_state["draft_runs"] = st.session_state.get("draft_runs", 0) + 1
    draft = st.query_params.get("draft") or st.session_state.get("draft_id")
    if not isinstance(draft, str) or not DRAFT_ID.fullmatch(draft):
        return
    if st.session_state.get("draft_id") == draft and marker in st.session_state:
        return
    path = _folder() / f"{draft}.json"
    try:
        if path.stat().st_size > DRAFT_BYTES:
            return
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return
    st.session_state["draft_id"] = draft
    st.query_params["draft"] = draft
    for key, value in values.items():
        if key.startswith(PREFIX):
            st.session_state[key] = value


def keep() -> None:
    """Write the form's values when they have changed since the page was first drawn.

    Whoever is quick fills in a field before the first drawing has ended, which then never gets here: so what a later
    one finds first is a change too.
    """
    text = json.dumps(_values(), sort_keys=True)
    untouched = text if st.session_state.get("draft_runs") == 1 else ""
    if st.session_state.setdefault("draft_text", untouched) == text and "draft_id" not in st.session_state:
        return
    draft = st.session_state.setdefault("draft_id", secrets.token_hex(6))
    path = _folder() / f"{draft}.json"
    if st.session_state["draft_text"] != text or not path.exists():
        partial = path.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        st.session_state["draft_text"] = text
        _forget_old()
    if st.query_params.get("draft") != draft:
        st.query_params["draft"] = draft


def _forget_old() -> None:
    drafts = sorted(_folder().glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in drafts[KEPT:]:
        path.unlink(missing_ok=True)
