"""Test prompts: the library of prompt sets, one of them in full, and adding one."""

from __future__ import annotations

import streamlit as st

from pages.components import background, draft, prompt_form, prompt_views
from pages.components.counting import choose_model
from pages.components.generate_form import written
from pages.components.library_views import chosen, library, next_step
from pages.components.shell import shell, title


def main() -> None:
    store = shell("Prompts")
    title(
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
        written(store, job)
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
