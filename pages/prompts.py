"""Test prompts: the library of prompt sets, one of them in full, and adding one."""

from __future__ import annotations

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms import jobs as background
from pages.components.layout.shell import shell, title
from pages.components.library import prompt_form, prompt_views
from pages.components.library.generate_form import generations
from pages.components.library.library_views import chosen, library, next_step
from pages.components.library.token_counts import choose_model


def main() -> None:
    store = shell("Prompts")
    title(
        "Prompt sets",
        "What should the model not write?",
        "Add texts that should be explained, best with a harmful and a harmless side. Next: training subsets.",
    )
    draft.restore(prompt_form.PREFIX, f"{prompt_form.PREFIX}way")
    prompt_form.settle()
    shelf = library()
    entries = shelf.entries("prompts")
    background.progress(store, "prompts")
    job = background.named_job(store)
    if job is not None and job.kind == "generate":
        generations(store, job)
    model = choose_model(shelf.entries("model"))
    prompt_views.prompts_table(entries, model)
    entry = chosen("prompts", entries)
    if entry is not None:
        prompt_views.card(entry, model)
    elif all(one.builtin for one in entries):
        st.caption("Only the demo's prompt sets are here. Show one to see how items look, or add your own below.")
    if any(not one.builtin for one in entries):
        next_step("pages/subsets.py", "Next: training subsets")
    prompt_form.form(store)
    draft.keep(prompt_form.PREFIX)


main()
