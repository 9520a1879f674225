"""Trace: one form that checks itself, says what it will cost, and starts the run."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms.launch_panel import Launch, summary
from pages.components.forms.refill import LEFT_OUT, brought_trace, note_refilled, refill_trace, tell_refilled
from pages.components.layout.errors import Sections, Spots, say
from pages.components.layout.labels import about
from pages.components.layout.shell import lines, shell, title
from pages.components.trace import form
from untrac_core.engine import Store
from untrac_core.engine.checks import TraceCheck
from untrac_core.errors import InputError
from untrac_core.specs import TraceSpec
from untrac_core.text.numbers import count, duration, megabytes


def again(store: Store, known: form.Shelf, brought: dict[str, str]) -> None:
    """Take up the trace that the address brought (``?like=``): the same request, to be changed."""
    if (run := brought_trace(store, brought.get("like"))) is not None:
        of, less = st.session_state.pop(LEFT_OUT, (None, None))
        spec = less if of == run.id else run.spec
        note_refilled(form.PREFIX, run.name, refill_trace(known, spec, form.PREFIX))
        if spec is less:
            st.session_state["t_name"] = spec.name


def sections(store: Store, spots: Spots, brought: dict[str, str]) -> tuple[dict[str, Any], list[InputError]]:
    """The form itself: the values of a spec, and the faults of single fields."""
    values: dict[str, Any] = {}
    parts = Sections(spots)
    known = form.shelf()
    again(store, known, brought)
    form.arrive(known, brought)
    tell_refilled(form.PREFIX)

    values["model"] = parts.gather("model", form.model_section, known)
    below = st.container()
    method_place = st.container()
    with st.container():
        settings, items, blocks, block_size = form.limits_and_settings()
    with below:
        values["prompts"] = parts.gather("prompts", form.prompts_section, known, items)
        values["subsets"] = parts.gather("subsets", form.subsets_section, known, blocks)
    with method_place:
        both = parts.gather("method", form.method_section, spots)
    if both:
        values["method"] = {**both[0], **settings}
        values |= {**both[1], "block_size": block_size}
    return values, parts.faults


PLACES = (("model", "model"), ("prompt set", "prompts"), ("subset", "subsets"), ("adapter", "model"))


def section_of(error: InputError) -> str:
    """Which field an error belongs to, from where it was found."""
    if error.field != "request":
        return next((field for word, field in PLACES if error.field.startswith(word)), error.field)
    key = re.match(r"'(\w+)", error.message)
    if key:
        return key.group(1)
    words = {"subsets": "subsets", "prompt sets": "prompts", "seeds": "seeds"}
    return next((field for word, field in words.items() if word in error.message), "request")


def tell(error: InputError, spots: Spots, fallback: Any) -> None:
    """Show an error at its field, or beside the button where it has none."""
    where = section_of(error)
    fitting = [spot for name, spot in spots.items() if where == name or where.startswith(f"{name} ")]
    say(str(error), fitting[0] if fitting else fallback)


def costs(found: TraceCheck) -> None:
    """What the run will be, in numbers and in words."""
    st.table(  # numbers only
        {
            "Cells": f"{found.cells:,}",
            "Time": about(duration(found.seconds)),
            "Memory": about(megabytes(found.memory_mb)),
            "Disk": about(megabytes(found.disk_mb)),
            "Model": about("unknown") if not found.parameters else f"{found.parameters:,} parameters",
            "Block": count(found.block_size, "token"),
            "Text used": about("unknown") if found.share is None else share_in_words(found.share),
        },
        border="horizontal",
    )


def share_in_words(share: float) -> str:
    """How much of the subsets' text is used, in percent."""
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def remarks(found: TraceCheck) -> None:
    """What one should know before starting, and what of the data is used."""
    lines(found.warnings, heading="Notes", icon=":material/warning:")
    with st.expander("What will be read"):
        facts = [f"{part.name}, {part.side}: {count(part.items, 'item')}" for part in found.prompt_sets]
        facts += [f"{part.name}: {count(part.blocks, 'block')}" for part in found.subsets]
        for text in [*facts, *found.notes]:
            st.text(text)


LAUNCH = Launch(spec=TraceSpec, prefix=form.PREFIX, costs=costs, remarks=remarks, tell=tell)


def main() -> None:
    store = shell("Trace")
    title(
        "New trace",
        "Which subsets make the model write these prompts?",
        "Choose a model, what it should not write, and the data it learned from; nothing runs before you press Start.",
    )
    brought = draft.restore(form.PREFIX, "t_model", ("like", *form.ARRIVALS))
    spots: Spots = {}
    left, right = st.columns([5, 3], gap="large")
    with left:
        values, faults = sections(store, spots, brought)
    st.session_state.setdefault("t_name", "my trace")
    with right, st.container(border=True):
        summary(LAUNCH, store, values, faults, spots)
    draft.keep(form.PREFIX)


main()
