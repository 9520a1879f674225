"""Validate: retrain without each subset, and see which method's estimate agrees with what then happened."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms.launch_panel import Launch, summary
from pages.components.forms.refill import brought_trace, note_refilled, tell_refilled
from pages.components.layout.errors import Sections, Spots, place_of, say
from pages.components.layout.labels import about, finished
from pages.components.layout.results import cached_result
from pages.components.layout.run_cards import latest
from pages.components.layout.run_from_url import addressed
from pages.components.layout.shell import lines, present_button, presenting, shell, title
from pages.components.report.draft import add_button
from pages.components.results import presentation
from pages.components.trace.form import Shelf, shelf
from pages.components.validate import additions_view, beside_view, form, view
from untrac_core.engine import Run, Store, describe_run
from untrac_core.engine.checks import ValidateCheck
from untrac_core.errors import InputError
from untrac_core.explore.tables import validate_frames as frames
from untrac_core.results.folders import ValidateFiles
from untrac_core.specs import ValidateSpec
from untrac_core.text.numbers import count, duration, megabytes

NAME = "Validate"
QUESTION = "Can the estimate be trusted here?"
PURPOSE = "Train without each subset and see which method predicts what happens; nothing runs before you press Start."
PLACES = (
    ("model", "model"), ("prompt", "prompts"), ("subset", "subsets"), ("training", "recipe"), ("method", "methods"),
    ("seeds", "seeds"), ("estimate_seeds", "estimate_seeds"), ("halves", "halves"),
    ("document_halves", "document_halves"), ("pairs", "pairs"), ("controls", "controls"), ("generation", "generation"),
    ("name", "name"),
)  # fmt: skip


def bring(store: Store, known: Shelf, brought: dict[str, str]) -> None:
    """Take up the trace that the address brought (``?trace=``): validate its model, prompts and subsets."""
    if (run := brought_trace(store, brought.get("trace"))) is not None:
        note_refilled(form.PREFIX, run.name, form.of_trace(known, run.spec))


def sections(store: Store, spots: Spots, brought: dict[str, str]) -> tuple[dict[str, Any], list[InputError]]:
    """The form itself: the values of a spec, and the faults of single fields, said at their places."""
    values: dict[str, Any] = {}
    parts = Sections(spots)
    known = shelf()
    bring(store, known, brought)
    form.arrive(known)
    tell_refilled(form.PREFIX)

    way = form.way_section(known)
    with st.container():
        values["model"] = parts.gather("model", form.model_section, known, way)
    recipe = st.expander("Its data and its recipe") if way == "demo" else st.container(border=True)
    methods = st.container()
    with st.container():
        rest = parts.gather("often", form.seeds_section, spots, known) or {}
    limit = rest.pop("limit", None)
    with recipe:
        values["training"] = parts.gather("recipe", form.recipe_section, way)
        values["prompts"] = parts.gather("prompts", form.prompts_section, known, limit)
        values["subsets"] = parts.gather("subsets", form.subsets_section, known)
    with methods:
        values["methods"] = parts.gather("methods", form.methods_section)
    return values | rest, parts.faults


def tell(error: InputError, spots: Spots, fallback: Any) -> None:
    """Show an error at its field, or beside the button where it has none."""
    say(
        re.sub(r"^'training'", "The recipe", str(error).removeprefix("request: ")),
        place_of(error, PLACES, spots) or fallback,
    )


def costs(found: ValidateCheck) -> None:
    """What the run will be, in numbers and in words."""
    st.table(  # numbers only
        {
            "Trainings": f"{found.trainings:,}",
            "Time": about(duration(found.seconds)),
            "Retraining time": about(duration(found.training_seconds)),
            "Time of the methods": about(duration(sum(found.method_seconds.values()))),
            "Memory": about(megabytes(found.memory_mb)),
            "Disk": about(megabytes(found.disk_mb)),
        },
        border="horizontal",
    )
    spec = found.spec
    more = " And one without each pair." if spec and (spec.pairs or spec.named_pairs) else ""
    more += " By the first seed, one on each random half too." if spec and (spec.halves or spec.document_halves) else ""
    more += " And those without the controls, by the first seed." if spec and spec.controls else ""
    st.caption(f"For each seed, one training on all subsets and one without each of them.{more}")


def remarks(found: ValidateCheck) -> None:
    """What one should know before starting, and what of the data is used."""
    lines(found.warnings, heading="Notes", icon=":material/warning:")
    with st.expander("What will be read, and how long each method takes"):
        facts = [f"{part.name}, {part.side}: {count(part.items, 'item')}" for part in found.prompt_sets]
        facts += [f"{part.name}: {count(part.documents, 'document')}" for part in found.subsets]
        facts += [f"{name}: {about(duration(seconds))}" for name, seconds in found.method_seconds.items()]
        for text in [*facts, *found.notes]:
            st.text(text)


LAUNCH = Launch(spec=ValidateSpec, prefix=form.PREFIX, costs=costs, remarks=remarks, tell=tell)


def offer(store: Store, why: str = "") -> None:
    """The page without a result: the form, and what was validated before."""
    title(NAME, QUESTION, why or PURPOSE)
    latest([run for run in store.runs(kind="validate") if run.status == "done"], "validation")
    brought = draft.restore(form.PREFIX, "v_way", ("trace",))
    spots: Spots = {}
    left, right = st.columns([5, 3], gap="large")
    with left:
        values, faults = sections(store, spots, brought)
    with right, st.container(border=True):
        summary(LAUNCH, store, values, faults, spots)
    draft.keep(form.PREFIX)


def unfinished(run: Run) -> None:
    """A run that has no result to look at."""
    title(NAME, QUESTION, "This run has no result yet; the runs page shows why.")
    st.text(run.name)
    if st.button("Go to the run", type="primary", key="go_to_run"):
        st.switch_page("pages/runs.py", query_params={"run": run.id})


def show(run: Run, validation: ValidateFiles) -> None:
    """The whole page of one result."""
    told = validation.summary
    title(
        NAME, QUESTION, "Retraining without each subset is the truth here; look first at which method agrees with it."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(run.name)
        st.caption(f"{describe_run(validation.spec)} · {finished(run.finished)}")
        add_button({"show": "answer", "run": run.id}, {"show": "agreement", "run": run.id})
        st.page_link(
            "pages/what_if.py", label="What if", icon=":material/instant_mix:", query_params={"run": run.id}
        )  # fmt: skip
        present_button()
    view.answer(told)
    left, right = st.columns([3, 2], gap="large")
    with left:
        scope = view.agreement(told)
    with right:
        view.noise(told)
    warnings = [frames.in_words(told, text) for text in told.get("warnings", [])]
    lines(warnings, heading="Warnings", icon=":material/warning:")
    view.leaderboard(told, scope)
    view.size_and_sign(told, scope)
    additions_view.halves(told, scope)
    additions_view.documents(told, scope)
    additions_view.pairs(told, scope)
    additions_view.controls(told)
    additions_view.choices(told)
    additions_view.writing(told)
    beside_view.beside(validation)
    view.differences(told)
    view.details(validation, run)
    view.limits(validation)


def main() -> None:
    store = shell("Validate")
    run = addressed(store, "validate", partial(offer, store))
    if run is None:
        return
    if run.status != "done":
        unfinished(run)
        return
    try:
        validation: ValidateFiles = cached_result(run)
    except (InputError, OSError) as error:
        offer(store, "The files of this run cannot be read. Choose another result, or run it again.")
        st.text(str(error))
        return
    if presenting():
        presentation.validation(run, validation)
        return
    show(run, validation)


main()
