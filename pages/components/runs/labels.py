"""What a user writes on a run: its name, its tags, its notes."""

from __future__ import annotations

import streamlit as st

from pages.components.layout.errors import fault
from untrac_core.engine import Run, Store
from untrac_core.engine.runs import NAME_MOST, NOTES_MOST, TAG_MOST, TAGS_MOST
from untrac_core.errors import InputError


def shown(run: Run) -> None:
    """The tags and notes of a run, where it has some."""
    if run.tags:
        st.text(f"Tags: {', '.join(run.tags)}")
    if run.notes:
        st.text(run.notes)


def edit(store: Store, run: Run) -> None:
    """A form for them; what is wrong is said under it."""
    with st.form("run_labels", border=False, enter_to_submit=False):
        name = st.text_input("Name", run.name, max_chars=NAME_MOST, key=f"label_name_{run.id}")
        tags = st.text_input(
            "Tags", ", ".join(run.tags), key=f"label_tags_{run.id}", placeholder="paper, baseline",
            help=f"At most {TAGS_MOST}, with commas between them; each has at most {TAG_MOST} characters.",
        )  # fmt: skip
        notes = st.text_area("Notes", run.notes, max_chars=NOTES_MOST, height=160, key=f"label_notes_{run.id}")
        save = st.form_submit_button("Save", type="primary", key="label_save")
    st.caption("The result's own files keep the name that the run was asked under.")
    if not save:
        return
    try:
        store.label(run.id, name=name, tags=[tag for tag in tags.split(",") if tag.strip()], notes=notes)
    except InputError as error:
        fault(str(error))
        return
    st.rerun()
