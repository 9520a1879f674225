"""A form that outlives the session: its values lie in a small file that the address names (``?draft=...``).

Every page with a form has a prefix of its own, with which the keys of its fields begin.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from untrac_core.paths import data_home

DRAFT_ID = re.compile(r"[0-9a-f]{12}")
DRAFT_BYTES = 500_000
KEPT = 50


def _folder() -> Path:
    folder = data_home() / "drafts"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _values(prefix: str) -> dict[str, object]:
    return {str(key): value for key, value in st.session_state.items() if str(key).startswith(prefix)}


def restore(prefix: str, marker: str, arrivals: Sequence[str] = ()) -> dict[str, str]:
    """Fill the form's keys from the draft that the address names, unless ``marker`` shows that they are filled.

    Without a draft in the address, the session's own one is taken up again.

    ``arrivals``: names under which an address brings what the form should begin with, the first of them a whole
    request, before which the form is emptied. Returned once, with their values. They stay in the address until the
    form is changed: an address that a page rewrites as it opens takes a second press of Back.
    """
    draws = f"draft_runs_{prefix}"
    if st.session_state.pop(f"draft_emptied_{prefix}", False):
        _forget(prefix)
    brought = {name: value for name in arrivals if (value := st.query_params.get(name))}
    known = st.session_state.get(f"brought_{prefix}")
    st.session_state[f"brought_{prefix}"] = brought
    if brought and (brought != known or marker not in st.session_state):
        if arrivals[0] not in brought:
            _take_up(prefix, marker)
        _begin_anew(prefix, empty=arrivals[0] in brought)
        return brought
    st.session_state[draws] = st.session_state.get(draws, 0) + 1
    if not brought:
        _take_up(prefix, marker)
    return {}


def _begin_anew(prefix: str, *, empty: bool) -> None:
    """The form as it is, or ``empty``, as one that is drawn for the first time; what it was stays in its draft."""
    for key in _values(prefix) if empty else ():
        del st.session_state[key]
    for name in ("draft_id", "draft_text"):
        st.session_state.pop(f"{name}_{prefix}", None)
    st.session_state[f"draft_runs_{prefix}"] = 1


def _take_up(prefix: str, marker: str) -> None:
    """Fill the form from its draft."""
    own = f"draft_id_{prefix}"
    draft = st.query_params.get("draft") or st.session_state.get(own)
    if not isinstance(draft, str) or not DRAFT_ID.fullmatch(draft):
        return
    if st.session_state.get(own) == draft and marker in st.session_state:
        return
    path = _folder() / f"{prefix}{draft}.json"
    try:
        if path.stat().st_size > DRAFT_BYTES:
            return
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return
    if not isinstance(values, dict):
        return
    st.session_state[own] = draft
    if not st.session_state.get(f"brought_{prefix}"):
        st.query_params["draft"] = draft
    for key, value in values.items():
        if key.startswith(prefix):
            st.session_state[key] = value


def keep(prefix: str) -> None:
    """Write the form's values when they have changed since the page was first drawn.

    Whoever is quick fills in a field before the first drawing has ended, which then never gets here: so what a later
    one finds first is a change too.
    """
    generations, own = f"draft_text_{prefix}", f"draft_id_{prefix}"
    text = json.dumps(_values(prefix), sort_keys=True)
    untouched = text if st.session_state.get(f"draft_runs_{prefix}") == 1 else ""
    if st.session_state.setdefault(generations, untouched) == text and own not in st.session_state:
        return
    draft = st.session_state.setdefault(own, secrets.token_hex(6))
    path = _folder() / f"{prefix}{draft}.json"
    if st.session_state[generations] != text or not path.exists():
        partial = path.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        st.session_state[generations] = text
        _forget_old()
    if st.query_params.get("draft") != draft:
        brought = st.session_state.get(f"brought_{prefix}") or {}
        kept = {name: st.query_params.get_all(name) for name in st.query_params if name not in brought}
        st.query_params.from_dict({**kept, "draft": draft})


def take_up_latest(prefix: str) -> None:
    """Where neither the address nor this session has a draft, take up the one that was written last."""
    if st.session_state.get(f"draft_id_{prefix}") or st.query_params.get("draft"):
        return
    found = sorted(_folder().glob(f"{prefix}*.json"), key=lambda path: path.stat().st_mtime)
    named = [path.stem.removeprefix(prefix) for path in found]
    if named and DRAFT_ID.fullmatch(named[-1]):
        st.session_state[f"draft_id_{prefix}"] = named[-1]


def begin_anew(prefix: str) -> None:
    """Leave this session's draft as it lies, under its address, and begin another."""
    st.session_state[f"draft_id_{prefix}"] = secrets.token_hex(6)
    st.query_params.pop("draft", None)
    put(prefix, {})


def put(prefix: str, values: dict[str, object]) -> None:
    """Write what another page's form of this session holds; it begins with these values when it is opened."""
    draft = st.session_state.setdefault(f"draft_id_{prefix}", secrets.token_hex(6))
    text = json.dumps(values, sort_keys=True)
    path = _folder() / f"{prefix}{draft}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    st.session_state[f"draft_text_{prefix}"] = text
    for key in _values(prefix):
        del st.session_state[key]
    _forget_old()


def empty(prefix: str) -> None:
    """What was filled in is done with: the next drawing begins with an empty form."""
    st.session_state[f"draft_emptied_{prefix}"] = True


def _forget(prefix: str) -> None:
    draft = st.session_state.pop(f"draft_id_{prefix}", None)
    if draft is not None:
        (_folder() / f"{prefix}{draft}.json").unlink(missing_ok=True)
    st.query_params.pop("draft", None)
    for key in _values(prefix):
        if key != f"{prefix}way":
            del st.session_state[key]
    st.session_state[f"draft_text_{prefix}"] = json.dumps(_values(prefix), sort_keys=True)


def _forget_old() -> None:
    drafts = sorted(_folder().glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in drafts[KEPT:]:
        path.unlink(missing_ok=True)


def peek(prefix: str) -> dict[str, object]:
    """What another page's form of this session holds; empty where there is none."""
    values = _values(prefix)
    own = st.session_state.get(f"draft_id_{prefix}")
    if isinstance(own, str) and DRAFT_ID.fullmatch(own):
        try:
            kept = json.loads((_folder() / f"{prefix}{own}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            kept = {}
        values = {**(kept if isinstance(kept, dict) else {}), **values}
    return values
