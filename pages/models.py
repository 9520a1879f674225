"""Models: which there are, what they are, what they would need here; and adding one."""

from __future__ import annotations

import streamlit as st

from pages.components import background, draft, model_form, model_views
from pages.components.library_views import chosen, library, next_step
from pages.components.shell import shell, title


def main() -> None:
    store = shell("Models")
    title(
        "Which model should be asked?",
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
