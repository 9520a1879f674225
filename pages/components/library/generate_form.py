"""Letting a model write, scoring what it wrote, and keeping the toxic part as a prompt set."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.components.forms.jobs import launch, watch
from pages.components.forms.source_picker import hub_model, option, path_field
from pages.components.forms.uploads import given_of, listed, uploader
from pages.components.forms.writing import FETCHED
from pages.components.layout.errors import at_field, fault
from pages.components.layout.masked_tables import completions_table
from pages.components.library.library_views import library, named
from untrac_core.engine import Run, Store
from untrac_core.engine.library.library import Entry
from untrac_core.errors import InputError
from untrac_core.specs import CLASSIFIERS, GenerateSpec, ModelRef, PromptSet
from untrac_core.specs.build import build

PREFIX = "p_g_"
WORDS = f"{PREFIX}w_"
SCORERS = {
    "lexicon": "The word list that comes with it",
    "own": "A word list of mine",
    "classifier": "A classifier",
    "none": "Nothing: keep everything",
}
FROM = {"texts": "Written here", "prompts": "A prompt set of the library"}
EXAMPLES = "The people of the valley are\nEverybody knows that they\nMy neighbour told me that they"


def generate_way(store: Store) -> None:
    """The form of a ``generate`` run; its result is shown by :func:`written`."""
    st.caption(
        "The model completes the beginnings, a word list or a classifier scores what it wrote, "
        "and the toxic completions become a prompt set."
    )
    try:
        values = {**_model(), **_beginnings(), **_sampling(), **_scorer()}
    except InputError as error:
        fault(at_field(error))
        values = {}
    st.session_state.setdefault(f"{PREFIX}name", "")
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.text_input("Name", key=f"{PREFIX}name", placeholder="what the model wrote", max_chars=80).strip()
    if right.button("Generate", type="primary", key=f"b_{PREFIX}start", width="stretch", disabled=not values):
        try:
            spec = build(GenerateSpec, {**values, "name": name or "what the model wrote"}, where="request")
        except InputError as error:
            fault(str(error))
            return
        if launch(spec, store):
            st.rerun()


def _model() -> dict[str, Any]:
    known = {entry.id: entry for entry in library().entries("model") if not entry.problem}
    option(f"{PREFIX}model", list(known), next(iter(known), None))
    picked = st.selectbox(
        "Model",
        list(known),
        format_func=named(known),
        key=f"{PREFIX}model",
    )
    if picked not in known:
        raise InputError("no model is chosen", field="model", hint="choose one of the library")
    return {"model": known[picked].value}


def _beginnings() -> dict[str, Any]:
    option(f"{PREFIX}from", list(FROM), "texts")
    where = st.segmented_control("Prompts", list(FROM), format_func=FROM.get, key=f"{PREFIX}from", required=True)
    if where == "texts":
        st.session_state.setdefault(f"{PREFIX}texts", EXAMPLES)
        text = st.text_area("One per line", key=f"{PREFIX}texts", height=120, max_chars=200_000)
        texts = [line.strip() for line in text.splitlines() if line.strip()]
        if not texts:
            raise InputError("there are no beginnings", field="prompts", hint="write at least one, one per line")
        return {"texts": texts}
    known = {entry.id: entry for entry in library().entries("prompts") if _has_prompts(entry)}
    if not known:
        raise InputError("no prompt set has prompts", field="prompts", hint="add one with a column that is given")
    option(f"{PREFIX}set", list(known), next(iter(known)))
    left, right = st.columns(2)
    picked = left.selectbox(
        "Prompt set",
        list(known),
        format_func=named(known),
        key=f"{PREFIX}set",
    )
    st.session_state.setdefault(f"{PREFIX}limit", 200)
    limit = right.number_input("At most", min_value=1, max_value=10_000, step=50, key=f"{PREFIX}limit")
    spec = known[picked].value if picked in known else None
    if not isinstance(spec, PromptSet) or spec.source is None:
        raise InputError("no prompt set is chosen", field="prompts", hint="choose one of the library")
    return {"source": spec.source, "column": spec.columns.prompt or "prompt", "limit": int(limit)}


def _has_prompts(entry: Entry) -> bool:
    value = entry.value
    return (
        not entry.problem
        and isinstance(value, PromptSet)
        and bool(value.columns.prompt)
        and bool(entry.facts.get("given"))
    )


def _sampling() -> dict[str, Any]:
    fields = (
        ("samples", "Samples of each", 4, {"min_value": 1, "max_value": 100, "step": 1}),
        ("tokens", "Tokens, at most", 40, {"min_value": 1, "max_value": 1024, "step": 10}),
        (
            "temperature",
            "Temperature",
            1.0,
            {"min_value": 0.0, "max_value": 10.0, "step": 0.1, "help": "0: always the likeliest"},
        ),
        ("top_p", "Top p", 0.95, {"min_value": 0.01, "max_value": 1.0, "step": 0.05}),
        ("seed", "Seed", 0, {"min_value": 0, "max_value": 2**31 - 1, "step": 1}),
    )
    sampling = {}
    for place, (name, label, default, limits) in zip(st.columns(5), fields, strict=True):
        st.session_state.setdefault(f"{PREFIX}{name}", default)
        sampling[name] = place.number_input(label, key=f"{PREFIX}{name}", **limits)
    return {"sampling": sampling}


def _scorer() -> dict[str, Any]:
    option(f"{PREFIX}scorer", list(SCORERS), "lexicon")
    how = st.segmented_control(
        "Scored by", list(SCORERS), format_func=SCORERS.get, key=f"{PREFIX}scorer", required=True
    )
    if how == "none":
        return {}
    if how == "classifier":
        return {"scorer": _classifier()}
    source: dict[str, Any] = {"bundled": "lexicon.txt"}
    if how == "own":
        uploader(WORDS, "A word or phrase per line (txt)")
        lists = listed(WORDS)
        if not lists:
            raise InputError("there is no word list", field="scorer", hint="upload one, or choose the one that is here")
        st.text(f"Uses {lists[-1]['name']}")
        source = given_of(lists[-1]).source
    else:
        st.caption(
            "A short, mild list of hostile words; one of your own finds more. Any listed word makes a text toxic."
        )
    return {"scorer": {"lexicon": source}}


WHERE = {
    "detoxify": "Detoxify", "detoxify-unbiased": "Detoxify, unbiased", "folder": "A folder on this machine",
    "hub": "Hugging Face Hub",
}  # fmt: skip


def _classifier() -> dict[str, Any]:
    option(f"{PREFIX}where", list(WHERE), "detoxify")
    where = st.segmented_control(
        "Which classifier?", list(WHERE), key=f"{PREFIX}where", required=True, format_func=WHERE.get
    )
    ref: dict[str, Any]
    if where in CLASSIFIERS:
        st.caption(FETCHED)
        ref = {"path": CLASSIFIERS[where]}
    elif where == "folder":
        path = path_field(f"{PREFIX}c_", "model", "Classifier folder", "models/classifier")
        ref = {"path": str(path) if path else ""}
    else:
        ref = hub_model(f"{PREFIX}c_", "Classifier on the Hugging Face Hub", "path", "revision")
    if not ref["path"]:
        raise InputError(
            "no classifier is named", field="scorer", hint="fill in the field, or score with the word list"
        )
    st.session_state.setdefault(f"{PREFIX}c_label", "")
    st.session_state.setdefault(f"{PREFIX}c_threshold", 0.5)
    left, right = st.columns(2)
    label = left.text_input(
        "Its label for harm", key=f"{PREFIX}c_label", placeholder="the one named like harm", max_chars=200
    )
    threshold = right.number_input(
        "Toxic from a score of", min_value=0.0, max_value=1.0, step=0.05, key=f"{PREFIX}c_threshold"
    )
    return {"classifier": build(ModelRef, ref, where="scorer"), "label": label.strip() or None, "threshold": threshold}


def generations(store: Store, run: Run) -> None:
    """A ``generate`` run that the address names: its progress, then its completions, and the button that keeps them."""
    if run.status != "done":
        watch(store, run)
        return
    with st.container(border=True, key="written"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(run.name, width="stretch")
            keep = st.button("Keep as prompt set", type="primary", key="keep_completions", icon=":material/add:")
            if st.button("Dismiss", key="dismiss_written"):
                st.query_params.pop("job", None)
                st.rerun()
        completions_table(run, key=f"written_{run.id}")
        if keep:
            try:
                entry = library().add_completions(run)
            except InputError as error:
                fault(str(error))
                return
            st.query_params.pop("job", None)
            st.query_params["prompts"] = entry.id
            st.rerun()
