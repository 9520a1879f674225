"""The sections of the trace form: model, prompt sets, training subsets, method. Each returns its part of a spec."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.components.uploads import fault, label_of, look, preview, remove_button, saved_path, uploader
from pages.components.words import METHODS, PRESETS, count
from untrac_core.data.sources import guess_columns, guess_text
from untrac_core.demo.request import BLOCKS
from untrac_core.errors import InputError
from untrac_core.home import DEMO, allowed_roots, within_roots

NONE = "(none)"
HUB_ID = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?", re.ASCII)
BUNDLED = {
    "toxicity": ("toxic", "benign"),
    "bias": ("stereotype", "anti_stereotype"),
    "truthfulness": ("false", "true"),
}
HARMFUL_WORDS = ("toxic", "harmful", "hateful", "hate", "stereotype", "false", "untrue", "biased", "unsafe", "1", "yes")
MODELS = {"demo": "the bundled demo", "folder": "a local folder", "hub": "a Hugging Face id"}
DEVICES = {"auto": "the best there is", "cpu": "CPU", "cuda": "CUDA (NVIDIA GPU)"}

Spots = dict[str, DeltaGenerator]


def option(key: str, options: list, default: Any) -> None:
    """Give a choice its value before it is drawn; one that is no longer offered falls back to the default."""
    if key not in st.session_state or st.session_state[key] not in options:
        st.session_state[key] = default


def _follow_model() -> None:
    """The demo's data belong to its model: take them off with it, and put them back."""
    is_demo = st.session_state["t_model"] == "demo"
    st.session_state["t_demo_prompts"] = known_prompts() if is_demo else []
    st.session_state["t_demo_subsets"] = bundled("subsets") if is_demo else []


def known_prompts() -> list[str]:
    """The demo's prompt sets whose labels this form knows."""
    return [name for name in BUNDLED if name in bundled("prompts")]


def model_section(_: Spots) -> dict[str, Any]:
    """Which model; a local folder must lie under the folders that pages may read."""
    st.subheader("1 · Model", anchor=False)
    option("t_model", list(MODELS), "demo")
    kind = st.radio(
        "Model",
        list(MODELS),
        format_func=MODELS.get,
        horizontal=True,
        key="t_model",
        label_visibility="collapsed",
        on_change=_follow_model,
    )
    values: dict[str, Any] = {"path": "demo"}
    if kind == "demo":
        st.caption("A small model, trained on eight subsets about invented groups; its right answers are known.")
    elif kind == "folder":
        st.session_state.setdefault("t_folder", "")
        given = st.text_input(
            "Folder", key="t_folder", placeholder="models/mine", help="a folder with config, tokenizer and safetensors"
        )
        st.text("Under " + " or ".join(str(root) for root in allowed_roots()[:3]))
        values["path"] = str(within_roots(given.strip(), where="model")) if given.strip() else ""
    else:
        st.session_state.setdefault("t_hub", "")
        st.session_state.setdefault("t_revision", "")
        left, right = st.columns(2)
        values["path"] = hub_id(left.text_input("Id", key="t_hub", placeholder="organisation/model").strip())
        revision = right.text_input(
            "Revision", key="t_revision", placeholder="a commit, so that the run can be repeated"
        )
        values["revision"] = revision.strip() or None
    if not values["path"]:
        raise InputError("no model is named", where="model", mend="fill in the field, or choose the bundled demo")
    return values


def hub_id(text: str) -> str:
    """The id of a model on the hub, which must not be a path: a folder is only read through the other choice."""
    if text and (not HUB_ID.fullmatch(text) or Path(text).exists()):
        raise InputError(f"{text!r} is not an id on the hub", where="model", mend="write organisation/model")
    return text


def bundled(folder: str) -> list[str]:
    """The names of the demo's files of one kind."""
    return sorted(path.stem for path in (DEMO / folder).glob("*.jsonl"))


def prompts_section(spots: Spots, limit: int | None) -> list[dict[str, Any]]:
    """Which prompt sets: the demo's by choice, and uploads with their columns and labels."""
    st.subheader("2 · Prompt sets: what should be explained", anchor=False)
    known = known_prompts()
    st.session_state.setdefault("t_demo_prompts", known)
    chosen = st.pills("From the demo", known, selection_mode="multi", key="t_demo_prompts") or []
    sets: list[dict[str, Any]] = []
    for name in chosen:
        harmful, harmless = BUNDLED[name]
        columns = {"prompt": "prompt", "completion": "completion", "group": "group", "label": "label", "id": "id"}
        source = {"bundled": f"prompts/{name}.jsonl"}
        sets.append({"name": name, "source": source, "columns": columns, "harmful": harmful, "harmless": harmless})
    for entry in uploader("prompts", "Or your own"):
        with st.container(border=True, key=f"card_prompts_{entry['id']}"):
            _guarded(spots, sets, entry, _prompt_card)
    return [{**values, "limit": limit} for values in sets]


def subsets_section(spots: Spots, limit: int | None) -> list[dict[str, Any]]:
    """Which training subsets: the demo's by choice, and uploads with their text column."""
    st.subheader("3 · Training subsets: what should be ranked", anchor=False)
    known = bundled("subsets")
    st.session_state.setdefault("t_demo_subsets", known)
    chosen = st.pills("From the demo", known, selection_mode="multi", key="t_demo_subsets") or []
    subsets: list[dict[str, Any]] = [
        {"name": name, "source": {"bundled": f"subsets/{name}.jsonl"}, "text": "text"} for name in chosen
    ]
    for entry in uploader("subsets", "Or your own, one file a subset"):
        with st.container(border=True, key=f"card_subsets_{entry['id']}"):
            _guarded(spots, subsets, entry, _subset_card)
    return [{**values, "limit": limit} for values in subsets]


Card = Callable[[Spots, dict], dict[str, Any]]


def _guarded(spots: Spots, parts: list[dict[str, Any]], entry: dict, card: Card) -> None:
    """Draw an upload's card; a file that cannot be read says so there and is left out."""
    try:
        parts.append(card(spots, entry))
    except InputError as error:
        fault(str(error))
        remove_button("prompts" if card is _prompt_card else "subsets", entry)


def _prompt_card(spots: Spots, entry: dict) -> dict[str, Any]:
    path, key = saved_path(entry), f"t_prompts_{entry['id']}"
    found = look(str(path), entry["name"])
    guess = guess_columns(found.columns)
    head, button = st.columns([5, 2], vertical_alignment="bottom")
    st.session_state.setdefault(f"{key}_name", label_of(entry["name"]))
    name = head.text_input("Name", key=f"{key}_name", max_chars=80)
    with button:
        remove_button("prompts", entry)
    wanted = (
        ("completion", "Text to score", guess.completion),
        ("prompt", "Given before it", guess.prompt),
        ("label", "Label", guess.label),
        ("group", "Group", guess.group),
    )
    columns: dict[str, str | None] = {"id": guess.id}
    for place, (role, label, guessed) in zip([*st.columns(2), *st.columns(2)], wanted, strict=True):
        options = found.columns if role == "completion" else [NONE, *found.columns]
        option(f"{key}_{role}", options, guessed if guessed in options else options[0])
        picked = place.selectbox(label, options, key=f"{key}_{role}")
        columns[role] = None if picked == NONE else picked
    values: dict[str, Any] = {"name": name.strip(), "source": {"file": str(path)}, "columns": columns}
    if columns["label"]:
        values |= _labels(found.values[columns["label"]], key)
    else:
        st.caption("Without a label column, all rows are one side: the texts to be explained.")
    preview(found, [column for column in dict.fromkeys(columns.values()) if column], key=f"{key}_show")
    st.caption(count(found.count, "record"))
    spots[f"prompt set {values['name']!r}"] = st.empty()
    return values


def _labels(values: list[str], key: str) -> dict[str, str | None]:
    """Which value of the label column is the harmful side, and which the harmless one."""
    harmful_guess = next((value for value in values if value.lower() in HARMFUL_WORDS), values[0] if values else NONE)
    left, right = st.columns(2)
    option(f"{key}_harmful", values, harmful_guess)
    harmful = left.selectbox("Harmful side", values, key=f"{key}_harmful")
    options = [NONE, *values]
    option(f"{key}_harmless", options, next((value for value in values if value != harmful), NONE))
    harmless = right.selectbox("Harmless side", options, key=f"{key}_harmless")
    return {"harmful": harmful, "harmless": None if harmless == NONE else harmless}


def _subset_card(spots: Spots, entry: dict) -> dict[str, Any]:
    path, key = saved_path(entry), f"t_subsets_{entry['id']}"
    found = look(str(path), entry["name"])
    first, second, third = st.columns([3, 3, 2], vertical_alignment="bottom")
    st.session_state.setdefault(f"{key}_name", label_of(entry["name"]))
    name = first.text_input("Name", key=f"{key}_name", max_chars=80).strip()
    option(f"{key}_text", found.columns, guess_text(found.columns))
    text = second.selectbox(f"Text column of {count(found.count, 'record')}", found.columns, key=f"{key}_text")
    with third:
        remove_button("subsets", entry)
    spots[f"subset {name!r}"] = st.empty()
    return {"name": name, "source": {"file": str(path)}, "text": text}


def method_section(spots: Spots) -> tuple[dict[str, Any], dict[str, Any]]:
    """The method with its settings, and what concerns the whole run: seeds, block, device."""
    st.subheader("4 · Method", anchor=False)
    option("t_method", list(METHODS), "untrac-inv")
    option("t_preset", list(PRESETS), "robust")
    left, right = st.columns(2)
    name = left.radio(
        "Method", list(METHODS), format_func={key: words[0] for key, words in METHODS.items()}.get, key="t_method"
    )
    left.caption(METHODS[name][1])
    preset = right.radio("Preset", list(PRESETS), key="t_preset")
    right.caption(PRESETS[preset][0].upper() + PRESETS[preset][1:] + ".")
    st.session_state.setdefault("t_seeds", "0, 1, 2")
    option("t_device", list(DEVICES), "auto")
    left, right = st.columns(2)
    seeds = left.text_input("Seeds", key="t_seeds", help="whole numbers; three or more give honest intervals")
    device = right.selectbox("Device", list(DEVICES), format_func=DEVICES.get, key="t_device")
    spots["seeds"] = left.empty()
    return {"name": name, "preset": preset}, {"seeds": parse_seeds(seeds), "device": device}


def parse_seeds(text: str) -> list[int]:
    """'0, 1, 2' as numbers."""
    parts = text.replace(",", " ").split()
    if not parts:
        raise InputError("there are no seeds", where="seeds", mend="write at least one whole number, such as 0, 1, 2")
    if not all(part.isdecimal() and len(part) < 11 for part in parts):
        raise InputError("a seed is a whole number from 0", where="seeds", mend="write them as 0, 1, 2")
    return [int(part) for part in parts]


def limits_and_settings() -> tuple[dict[str, Any], int | None, int | None, int | None]:
    """Settings that few need: items a side, blocks a subset, tokens a block, and those of the method."""
    robust = st.session_state.get("t_preset", "robust") == "robust"
    size = (
        ("dose", "Dose", "nats per token of all steps together") if robust else ("learning_rate", "Learning rate", "")
    )
    fields = (
        ("limit_prompts", "Items a side, at most", {"min_value": 1, "step": 1}),
        ("limit_subsets", "Blocks a subset, at most", {"min_value": 1, "step": 1}),
        ("block", "Tokens a block", {"min_value": 8, "max_value": 131_072, "step": 1}),
        ("steps", "Unlearning steps", {"min_value": 1, "step": 1}),
        (size[0], size[1], {"min_value": 0.0, "format": "%g", "help": size[2] or None}),
        (
            "max_dose",
            "Stop at a dose of",
            {"min_value": 0.0, "format": "%g", "help": "rise of the unlearned set's own loss, nats per token"},
        ),
        ("evaluations", "Points of the trajectory", {"min_value": 1, "max_value": 50, "step": 1}),
    )
    given: dict[str, Any] = {}
    with st.expander("Sizes and settings"):
        st.caption(
            "An empty field leaves the choice to the preset, or takes everything. "
            f"{BLOCKS} blocks a subset make a quick run; more of them narrow the intervals."
        )
        places = st.columns(3)
        for number, (name, label, limits) in enumerate(fields):
            st.session_state.setdefault(f"t_{name}", BLOCKS if name == "limit_subsets" else None)
            given[name] = places[number % 3].number_input(label, key=f"t_{name}", placeholder="preset", **limits)
    method = {name: given[name] for name in ("steps", size[0], "max_dose", "evaluations") if given[name] is not None}
    return method, given["limit_prompts"], given["limit_subsets"], given["block"]
