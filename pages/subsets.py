"""Training subsets: the library of texts that can be ranked, one of them in full, and adding some."""

from __future__ import annotations

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms import jobs as background
from pages.components.layout.shell import lines, shell, title
from pages.components.library import subset_form, subset_views
from pages.components.library.library_views import OWN, chosen, library, next_step
from pages.components.library.token_counts import choose_model, overlap


def main() -> None:
    store = shell("Subsets")
    title(
        "Training subsets",
        "What did the model learn from?",
        "Add the data sets that it was trained on, each a subset of its own; they are what is ranked. Next: trace.",
    )
    draft.restore(subset_form.PREFIX, f"{subset_form.PREFIX}way")
    shelf = library()
    entries = shelf.entries("subset")
    background.progress(store, "subsets")
    model = choose_model(shelf.entries("model"))
    subset_views.subsets_table(entries, model)
    entry = chosen("subset", entries)
    own = [one for one in entries if not one.builtin]
    if entry is not None:
        subset_views.card(entry, model)
    elif not own:
        st.caption("Only the demo's subsets are here. Show one to see what is known of it, or add your own below.")
    else:
        warnings, _ = overlap([], own)
        lines(warnings, heading="Duplicates", icon=":material/warning:")
    if len(own) >= 2:
        next_step("pages/trace.py", f"Next: trace them ({len(own)} of your own)", subset=OWN)
    subset_form.form(store)
    draft.keep(subset_form.PREFIX)


main()
