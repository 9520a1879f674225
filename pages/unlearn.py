"""Unlearn: take the effect of some texts out of the model, and see what else went with it."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms.launch_panel import Launch, summary
from pages.components.layout.errors import Sections, Spots, place_of, say
from pages.components.layout.labels import about, finished
from pages.components.layout.results import cached_result
from pages.components.layout.run_cards import LATEST, latest
from pages.components.layout.run_from_url import addressed
from pages.components.layout.shell import lines, shell, title
from pages.components.report.draft import add_button
from pages.components.trace.form import shelf
from pages.components.unlearn import forget_set, form, method, request
from pages.components.unlearn import progress as unlearn_live
from pages.components.unlearn.request import Origin
from untrac_core.engine import Run, Store, describe_run
from untrac_core.engine.checks import UnlearnCheck
from untrac_core.errors import InputError
from untrac_core.paths import data_home
from untrac_core.results.folders import UnlearnFiles
from untrac_core.specs import UnlearnSpec
from untrac_core.text.glossary import meaning_of
from untrac_core.text.limits import NOT_REPRODUCED, UNLEARN_LIMITS
from untrac_core.text.numbers import count, duration, megabytes

NAME = "Unlearn"
QUESTION = "What if the model had never seen it?"
PURPOSE = (
    "Remove what some texts taught the model and keep the rest: choose the forget set, then press Start unlearning."
)
PLACES = (
    ("forget", "forget"), ("subset", "forget"), ("prompt", "forget"), ("model", "forget"), ("base", "forget"),
    ("from", "forget"), ("training", "retrained"), ("ensemble_size", "retrained"), ("seed", "seeds"),
    ("method", "method"), ("compare", "method"), ("stop", "stop"), ("holdout", "metrics"), ("generation", "metrics"),
    ("scorer", "metrics"), ("eval_samples", "metrics"), ("relearn_steps", "metrics"), ("block_size", "retrained"),
    ("name", "name"),
)  # fmt: skip


def arrive(brought: dict[str, str]) -> None:
    """Take up what the address brought from a trace (``?trace=`` with ``&subset=`` or ``&texts=``)."""
    if "trace" not in brought:
        return
    st.session_state["u_from"] = brought["trace"]
    for name, key in request.ASKED_OF.items():
        value = brought.get(name)
        if value and name not in ("trace", "texts"):
            st.session_state[key] = value
    many = brought.get("texts", "")
    if many.isdecimal() and len(many) < 6:
        st.session_state["u_what"] = "texts"
        st.session_state["u_texts"] = min(max(1, int(many)), forget_set.MOST)
        if "among" in brought:
            st.session_state["u_texts_among"] = brought["among"]


def sections(store: Store, spots: Spots) -> tuple[dict[str, Any], list[InputError]]:
    """The form itself: the values of a spec, and the faults of single fields, said at their places."""
    values: dict[str, Any] = {}
    parts = Sections(spots)
    known = shelf()

    st.subheader("1 · Forget set", anchor=False, help=meaning_of("forget set"))
    origin = parts.gather("from", forget_set.origin_section, store, known)
    if origin is None:
        return values, parts.faults
    if "u_steps" not in st.session_state:
        form.fill(origin)
    kind = forget_set.kind_section(origin)
    chosen = st.container()
    training, rest = parts.gather("retrained", form.retrained_section, origin, kind, spots) or (None, {})
    block_size = None if training else origin.block_size
    with chosen:
        values["forget"] = parts.gather("forget", forget_set.forget_section, kind, origin, training, block_size)
    values |= parts.gather("method", method.method_section, training is not None, origin) or {}
    unseen, holdout = form.unseen_text(known, origin, training)
    values["stop"] = parts.gather("stop", form.stop_section, training is not None, unseen)
    measured = parts.gather("metrics", form.measures_section, known, origin) or {}
    limit = measured.pop("limit", None)
    prompts = [each.model_copy(update={"limit": limit}) for each in origin.prompts]
    data = {"subsets": origin.subsets, "prompts": prompts, "holdout": holdout, "block_size": block_size}
    return {**values, **rest, **measured, **data, "model": origin.model}, parts.faults


def suggest_name(origin: Origin | None, values: dict[str, Any]) -> None:
    """A first name for the run, which follows the forget set until another one is typed."""
    chosen = values.get("forget") or {}
    what = chosen.get("subset") or chosen.get("prompts") or (chosen.get("upload") or {}).get("name")
    if chosen.get("texts"):
        what = count(len(chosen["texts"]), "text")
    first = "Demo: without" if origin is not None and origin.is_demo else "Without"
    name = f"{first} {what or 'some texts'}"[:80]
    if st.session_state.get("u_name", "") in ("", st.session_state.get("u_named")) or "u_name" not in st.session_state:
        st.session_state["u_name"] = name
    st.session_state["u_named"] = name


def tell(error: InputError, spots: Spots, fallback: Any) -> None:
    """Show an error at its field, or beside the button where it has none."""
    say(str(error), place_of(error, PLACES, spots) or fallback)


def costs(found: UnlearnCheck) -> None:
    """What the run will be, in numbers and in words."""
    known = found.forget > 0
    st.table(  # numbers only
        {
            "Forget set": count(found.forget, "text") if known else about("unknown"),
            "Retain set": count(found.retained, "text") if known else about("unknown"),
            "Trainings": f"{found.trainings:,}",
            "Unlearnings": f"{found.unlearnings:,}",
            "Time, at most": about(duration(found.seconds)),
            "Retraining time": about(duration(found.training_seconds)),
            "Memory": about(megabytes(found.memory_mb)),
            "Disk": about(megabytes(found.disk_mb)),
        },
        border="horizontal",
    )
    st.caption("The time is as if no rule ended an unlearning early; retrained models are kept for the next request.")


def remarks(found: UnlearnCheck) -> None:
    """What one should know before starting, and what of the data is used."""
    st.caption(UNLEARN_LIMITS)
    lines(found.warnings, heading="Notes", icon=":material/warning:")
    with st.expander("What will be read"):
        facts = [f"forget set: {found.forget_set}, {count(found.forget, 'text')}"]
        facts += [f"holdout set: {count(found.holdout, 'text')}"]
        facts += [f"retain set: {name}, {count(number, 'text')}" for name, number in found.retain.items()]
        for text in [*facts, *found.notes]:
            st.text(text)


LAUNCH = Launch(
    spec=UnlearnSpec, prefix=form.PREFIX, costs=costs, remarks=remarks, tell=tell,
    start="Start unlearning", page="pages/unlearn.py",
)  # fmt: skip


def offer(store: Store, why: str = "") -> None:
    """The page without a run: the form, and what was unlearned before."""
    title(NAME, QUESTION, why or PURPOSE)
    latest(store.runs(kind="unlearn", limit=LATEST), "unlearning")
    arrive(draft.restore(form.PREFIX, "u_steps", (*request.ASKED_OF, "among")))
    spots: Spots = {}
    left, right = st.columns([5, 3], gap="large")
    with left:
        values, faults = sections(store, spots)
    suggest_name(_origin_of(values), values)
    with right, st.container(border=True):
        summary(LAUNCH, store, values, faults, spots)
    draft.keep(form.PREFIX)


def _origin_of(values: dict[str, Any]) -> Origin | None:
    return Origin(values["model"], values["prompts"], values["subsets"]) if "model" in values else None


def on_the_way(store: Store, run: Run) -> None:
    """A run that has no result yet."""
    waits = "It goes on when this page is closed." if run.active else "It has no result: see why, and take it up again."
    title(
        "Unlearning in progress",
        "Is it forgotten, and what else is lost?",
        f"The curves show every evaluation of the unlearning so far. {waits}",
    )
    st.text(run.name)
    unlearn_live.watch(store, run)
    st.caption(UNLEARN_LIMITS)


def done(run: Run) -> str | None:
    """The whole page of one result; what is wrong where it cannot be read."""
    from pages.components.unlearn import view as unlearn_view

    try:
        result: UnlearnFiles = cached_result(run)
    except (InputError, OSError) as error:
        return str(error)
    title(
        NAME,
        QUESTION,
        "Compare each number with the retrained model, and look at what else was lost before keeping the model.",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(run.name)
        st.caption(f"{describe_run(result.spec)} · {finished(run.finished)}")
        st.page_link("pages/unlearn.py", label="Another", icon=":material/add:")
        shown = ("answer", "metrics", "curves", "generations")
        add_button(*({"show": name, "run": run.id} for name in shown))
    unlearn_view.show(run, result, data_home())
    with st.expander("What the literature says that did not show at this size"):
        for text in NOT_REPRODUCED:
            st.text(text)
    return None


def main() -> None:
    store = shell("Unlearn")
    run = addressed(store, "unlearn", partial(offer, store))
    if run is None:
        return
    if run.status != "done":
        on_the_way(store, run)
        return
    wrong = done(run)
    if wrong is not None:
        offer(store, "The files of this run cannot be read. Choose another result, or run it again.")
        st.text(wrong)


main()
