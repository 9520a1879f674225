"""Where data come from: a file or a folder of this machine, or a data set on the hub; and a first look into it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from pages.components.forms.source_preview import Given, data_files, label_of, stamp
from pages.components.layout.errors import at_field, fault
from pages.components.layout.labels import shown_as
from untrac_core.engine.library.sources import is_data
from untrac_core.errors import InputError
from untrac_core.paths import allowed_roots, within_roots
from untrac_core.specs import Source

HUB_ID = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?", re.ASCII)
FOUND_MOST = 100
LOOKED_AT_MOST = 4_000
DEPTH = 3
HUB_SECONDS = 900
"""An answer of the hub is used for so long, or until "Look" is pressed."""
T = TypeVar("T")


@st.cache_data(max_entries=8, ttl=20, show_spinner=False)
def _found(kind: str, roots: tuple[str, ...]) -> list[str]:
    """What lies under the allowed folders, down to three levels: model folders, data files, or folders of data."""
    found: list[str] = []
    seen = 0
    for root in roots:
        for place, folders, files in os.walk(root):
            deep = len(Path(place).relative_to(root).parts) >= DEPTH
            folders[:] = [] if deep else sorted(name for name in folders if not name.startswith((".", "_")))[:200]
            seen += len(files) + 1
            found += _of_kind(kind, place, files)
            if seen > LOOKED_AT_MOST or len(found) >= FOUND_MOST:
                return found[:FOUND_MOST]
    return found


def _of_kind(kind: str, place: str, files: list[str]) -> list[str]:
    """What of a folder can be offered as a ``model``, an ``adapter``, a ``folder`` of data or a data ``file``."""
    if kind == "adapter":
        return [place] if "adapter_config.json" in files else []
    if "config.json" in files or "adapter_config.json" in files:
        weights = any(name.endswith(".safetensors") for name in files)
        return [place] if kind == "model" and weights and "config.json" in files else []
    data = sorted(name for name in files if is_data(name))
    if kind == "folder":
        return [place] if data else []
    return [str(Path(place) / name) for name in data] if kind == "file" else []


def roots_to_search() -> list[Path]:
    """The folders whose content is offered: those that were named, not the data home and not the demo."""
    return allowed_roots()[:-2]


def path_field(prefix: str, kind: str, label: str, placeholder: str) -> Path | None:
    """A path on this machine, typed or picked among those found; ``None`` while it is empty.

    Raises:
        InputError: when there is nothing there, or it lies outside the folders that pages may read.
    """
    key, found_key = f"{prefix}{kind}_path", f"{prefix}{kind}_found"
    st.session_state.setdefault(key, "")

    def copy() -> None:
        if st.session_state.get(found_key):
            st.session_state[key] = st.session_state[found_key]

    roots = roots_to_search()
    found = _found(kind, tuple(str(root) for root in roots))
    left, right = st.columns(2)
    given = left.text_input(label, key=key, placeholder=placeholder, max_chars=1000).strip()
    right.selectbox(
        "Or one that was found here",
        found,
        index=None,
        format_func=shown_as({path: _short(path, roots) for path in found}),
        key=found_key,
        on_change=copy,
        placeholder="choose" if found else "nothing was found",
        disabled=not found,
    )
    places = ", ".join(str(root).replace("`", "") for root in roots[:3])
    st.caption(f"Pages read from `{places}` and what is below it (UNTRAC_ROOTS).")
    if not given:
        return None
    path = within_roots(given, where=label.lower())
    if str(path) != given:
        st.text(f"That is {path}")
    return path


def _short(path: str, roots: list[Path]) -> str:
    for root in roots:
        if Path(path).is_relative_to(root):
            return str(Path(path).relative_to(root.parent))
    return path


def local_file(prefix: str) -> Given | None:
    """A data file of this machine."""
    path = path_field(prefix, "file", "File on this machine", "data/prompts.parquet")
    if path is None:
        return None
    if not path.is_file():
        raise InputError(f"{path.name!r} is not a file", field="file", hint="name a data file")
    return Given({"file": str(path)}, label_of(path.name), path.name, path.stat().st_size)


def local_folder(prefix: str) -> Given | None:
    """A folder of data files of this machine."""
    path = path_field(prefix, "folder", "Folder on this machine", "data/corpora")
    if path is None:
        return None
    if not path.is_dir():
        raise InputError(f"{path.name!r} is not a folder", field="folder", hint="name a folder of data files")
    for file in data_files(path):
        within_roots(file, where=f"folder {path.name!r}")  # a link in it must not lead out
    size = sum(size for _, size, _ in stamp(Source(folder=str(path))))
    return Given({"folder": str(path)}, label_of(path.name), path.name, size)


def hub_id(text: str, *, where: str) -> str:
    """The id of something on the hub, which must not be a path: a folder is only read through the other choice."""
    if text and (not HUB_ID.fullmatch(text) or Path(text).exists()):
        raise InputError(f"{text!r} is not an id on the Hugging Face Hub", field=where, hint="write organisation/name")
    return text


def revision_of(text: str) -> str | None:
    """A revision as it is typed: a branch, a tag or a commit."""
    text = text.strip()
    if text and not re.fullmatch(r"[\w][\w./-]{0,199}", text, re.ASCII):
        raise InputError(f"{text!r} is not a revision", field="revision", hint="write a commit, a tag or a branch")
    return text or None


@st.cache_data(max_entries=100, ttl=HUB_SECONDS, show_spinner=False)
def _asked(what: str, *about: str | None) -> tuple[Any, str]:
    """An answer of the hub, or the fault that it met; both are remembered for a while, so that no rerun waits again."""
    from untrac_core.engine.library.sources import hub_data

    try:
        return getattr(hub_data, what)(*about), ""
    except InputError as error:
        return None, str(error)


def ask_hub(what: str, *about: str | None) -> Any:
    """Ask :mod:`untrac_core.hub.datasets`; an :class:`InputError` has the hub's one line."""
    with st.spinner("Asking the Hugging Face Hub"):
        answer, said = _asked(what, *about)
    if said:
        raise InputError(said.rstrip("."))
    return answer


def hub_set(prefix: str, *, by: str = "") -> Given | None:
    """A data set on the hub, one config and split of it; with ``by`` config or split, that choice is left open."""
    for name in ("hub", "revision", "hub_seen", "revision_seen"):
        st.session_state.setdefault(f"{prefix}{name}", "")
    left, middle, right = st.columns([3, 2, 1], vertical_alignment="bottom")
    left.text_input("Id on the Hugging Face Hub", key=f"{prefix}hub", placeholder="organisation/name", max_chars=200)
    middle.text_input("Revision", key=f"{prefix}revision", placeholder="newest", max_chars=200)
    if right.button("Look up", key=f"b_{prefix}hub_look", width="stretch"):
        st.session_state[f"{prefix}hub_seen"] = st.session_state[f"{prefix}hub"].strip()
        st.session_state[f"{prefix}revision_seen"] = st.session_state[f"{prefix}revision"].strip()
        _asked.clear()
    repository = hub_id(str(st.session_state[f"{prefix}hub_seen"]), where="data set")
    if not repository:
        return None
    revision = revision_of(str(st.session_state[f"{prefix}revision_seen"]))
    pinned = ask_hub("pin", repository, revision)
    source = {"hub": repository, "revision": pinned}
    left, right = st.columns(2)
    if by != "config":
        configs = ask_hub("configs", repository, pinned)
        source["config"] = _pick(left, "Config", configs, f"{prefix}config")
        if by != "split":
            splits = ask_hub("splits", repository, source["config"], pinned)
            source["split"] = _pick(right, "Split", splits, f"{prefix}split")
    return Given(source, label_of(repository.rsplit("/", 1)[-1]), repository, None)


def hub_model(prefix: str, label: str, path: str, revision: str) -> dict[str, str | None]:
    """Fields for a model or an adapter on the hub: its id under the name ``path``, its revision under ``revision``."""
    for name in ("hub", "revision"):
        st.session_state.setdefault(f"{prefix}{name}", "")
    left, right = st.columns(2)
    given = left.text_input(label, key=f"{prefix}hub", placeholder="organisation/name", max_chars=200).strip()
    which = right.text_input(
        "Revision",
        key=f"{prefix}revision",
        placeholder="newest",
        max_chars=200,
        help="A commit, tag or branch. Whatever is named, the commit that it stands for now is kept.",
    )
    return {path: hub_id(given, where="model"), revision: revision_of(which)}


def name_field(place: Any, prefix: str, given: Given) -> str:
    """The name of what is to be added; another source brings its own first name."""
    if st.session_state.get(f"{prefix}of") != given.shown:
        if f"{prefix}of" in st.session_state:
            st.session_state.pop(f"{prefix}name", None)
        st.session_state[f"{prefix}of"] = given.shown
    st.session_state.setdefault(f"{prefix}name", given.label)
    return str(place.text_input("Name", key=f"{prefix}name", max_chars=80)).strip()


def _pick(place: Any, label: str, options: list[str], key: str) -> str | None:
    option(key, options, "train" if "train" in options else options[0] if options else None)
    picked: str | None = place.selectbox(label, options, key=key)
    return picked


def option(key: str, options: list[Any], default: Any) -> None:
    """Give a choice its value before it is drawn; one that is no longer offered falls back to the default."""
    if key not in st.session_state or st.session_state[key] not in options:
        st.session_state[key] = default


def library_lock(draw: Callable[[], T | None]) -> T | None:
    """Draw a part of a form; a fault of input is said in its place."""
    try:
        return draw()
    except InputError as error:
        fault(at_field(error))
        return None
