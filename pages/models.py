"""Models: which there are, what they are, what they would need here; and adding one."""

from __future__ import annotations

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms import jobs as background
from pages.components.layout.shell import shell, title
from pages.components.library import model_form, model_views
from pages.components.library.library_views import chosen, library, next_step


def main() -> None:
    store = shell("Models")
    title(
        "Models",
        "Which model do you want to study?",
        "Add a model once and see what it needs on this machine; nothing is loaded before a run. Next: test prompts.",
    )
    draft.restore(model_form.PREFIX, f"{model_form.PREFIX}way")
    entries = library().entries("model")
    background.progress(store, "models")
    model_views.models_table(entries)
    entry = chosen("model", entries)
    if entry is not None:
        model_views.card(entry, store)
    elif all(one.builtin for one in entries):
        st.caption("Only the demo's model is here. Show it to see what a model's card says, or add your own below.")
    if any(not one.builtin for one in entries):
        next_step("pages/prompts.py", "Next: test prompts")
    model_form.form()
    draft.keep(model_form.PREFIX)


main()
