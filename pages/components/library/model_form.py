"""Adding a model: from a folder of this machine or from the hub, with or without a LoRA adapter."""

from __future__ import annotations

import time
from typing import Any, get_args

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms.source_picker import hub_model, library_lock, option, path_field
from pages.components.layout.errors import fault
from pages.components.layout.labels import DTYPES, shown_as
from pages.components.library.library_views import known_already, library
from untrac_core.errors import InputError
from untrac_core.specs import Dtype, ModelRef
from untrac_core.specs.build import build

PREFIX = "m_"
WAYS = {"folder": "A folder on this machine", "hub": "Hugging Face Hub"}
ADAPTERS = {"none": "None", **WAYS}


def form() -> None:
    """The whole form; what is added is shown at once."""
    st.subheader("Add a model", anchor=False)
    option(f"{PREFIX}way", list(WAYS), "folder")
    with st.container(border=True, key="add_model"):
        way = st.segmented_control("Where is it?", list(WAYS), format_func=WAYS.get, key=f"{PREFIX}way", required=True)
        model, adapter = library_lock(lambda: _model(str(way))), library_lock(_adapter)
        values = {} if model is None or adapter is None else {**model, **adapter}
        left, right = st.columns(2)
        option(f"{PREFIX}precision", list(get_args(Dtype)), "auto")
        values["dtype"] = left.selectbox(
            "Data type",
            list(get_args(Dtype)),
            format_func=shown_as(DTYPES),
            key=f"{PREFIX}precision",
            help="Of the computation. Weights that are moved are always held in float32.",
        )
        st.session_state.setdefault(f"{PREFIX}name", "")
        name = right.text_input("Name", key=f"{PREFIX}name", placeholder="as its folder or id", max_chars=80).strip()
        st.caption(
            "Only the configuration, the tokenizer and the headers of the weights are read now. "
            "Weights must be safetensors; code that comes with a model is never run."
        )
        if st.button(
            "Add", type="primary", key=f"b_{PREFIX}add", icon=":material/add:", disabled=not values.get("path")
        ):
            _add(values, name)


def _model(way: str) -> dict[str, Any]:
    if way == "hub":
        return hub_model(PREFIX, "Id on the Hugging Face Hub", "path", "revision")
    path = path_field(PREFIX, "model", "Model folder", "models/mine")
    return {"path": str(path) if path else ""}


def _adapter() -> dict[str, Any]:
    prefix = f"{PREFIX}a_"
    option(f"{prefix}way", list(ADAPTERS), "none")
    way = st.segmented_control(
        "LoRA adapter", list(ADAPTERS), format_func=ADAPTERS.get, key=f"{prefix}way", required=True
    )
    if way == "hub":
        given = hub_model(prefix, "Adapter on the Hugging Face Hub", "adapter", "adapter_revision")
        return given if given["adapter"] else {}
    if way == "folder":
        path = path_field(prefix, "adapter", "Adapter folder", "models/my-adapter")
        return {"adapter": str(path)} if path else {}
    return {}


def _add(values: dict[str, Any], name: str) -> None:
    try:
        ref, began = build(ModelRef, values, where="model"), time.time()
        with st.spinner("Reading what the model's files say"):
            entry = library().add_model(ref, name or None)
    except InputError as error:
        fault(str(error))
        return
    known_already(entry, name, began)
    draft.empty(PREFIX)
    st.query_params["model"] = entry.id
    st.rerun()
