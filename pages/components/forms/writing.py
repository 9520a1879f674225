"""A part of a form: what models write, to which prompts, and what scores it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages.components.forms.source_picker import option, path_field
from pages.components.layout.labels import shown_as
from untrac_core.errors import InputError

LEXICON, CLASSIFIER, NONE = "lexicon", "classifier", "none"
KNOWN = {"detoxify": "by Detoxify", "detoxify-unbiased": "by Detoxify, unbiased"}
FETCHED = "A classifier of toxicity in English, about 440 MB, which is fetched from the Hugging Face Hub once."
SCORERS = {
    LEXICON: "by the word list that comes with it", **KNOWN, CLASSIFIER: "by a classifier of yours", NONE: "not at all",
}  # fmt: skip


def writing_section(
    prefix: str, sets: Sequence[str], label: str, where: str, scorers: Sequence[str] = tuple(SCORERS)
) -> dict[str, Any] | None:
    """The values of a request's ``generation``; ``None`` where nothing shall be written.

    ``sets``: names of the prompt sets that can be asked; ``where``: what a fault is about. The form's keys begin with
    ``prefix``. Raises :class:`InputError` for an empty field.
    """
    if not sets:
        st.caption("Without a prompt set the models write nothing.")
        return None
    if not st.toggle(label, key=f"{prefix}write"):
        return None
    option(f"{prefix}write_set", list(sets), sets[0])
    option(f"{prefix}scorer", list(scorers), LEXICON)
    left, right = st.columns(2)
    chosen = left.selectbox("Prompts of", sets, key=f"{prefix}write_set")
    how = right.selectbox("Scored", list(scorers), format_func=shown_as(SCORERS), key=f"{prefix}scorer")
    places = st.columns(4)
    fields = (
        ("generation", "Prompts, at most", 2_000),
        ("samples", "Samples of each", 100),
        ("tokens", "Tokens", 1_024),
    )
    sizes = [
        place.number_input(text, min_value=1, max_value=most, step=1, key=f"{prefix}{name}")
        for place, (name, text, most) in zip(places, fields, strict=False)
    ]
    temperature = places[3].number_input(
        "Temperature", min_value=0.0, max_value=10.0, step=0.1, format="%g", key=f"{prefix}temperature",
        help="0: the likeliest token always; 1: as the model's own probabilities say",
    )  # fmt: skip
    if temperature is None or any(size is None for size in sizes):
        raise InputError("a field is empty", field=where, hint="fill it in")
    limit, samples, tokens = (int(size or 1) for size in sizes)
    scorer: dict[str, Any] | None = {"lexicon": {"bundled": "lexicon.txt"}} if how == LEXICON else None
    if how in KNOWN:
        st.caption(FETCHED)
        scorer = {"classifier": how}
    if how == CLASSIFIER:
        folder = path_field(f"{prefix}c_", "model", "Classifier folder", "models/classifier")
        if folder is None:
            raise InputError("no classifier is named", field=where, hint="fill in the field, or score otherwise")
        scorer = {"classifier": {"path": str(folder)}}
    sampling = {"samples": samples, "tokens": tokens, "temperature": temperature}
    return {"prompt_set": chosen, "limit": limit, "sampling": sampling, "scorer": scorer}
