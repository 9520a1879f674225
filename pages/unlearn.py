"""Unlearn: take the effect of some texts out of the model, and see what else went with it."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from pages.components import draft, unlearn_live
from pages.components import unlearn_form as form
from pages.components import unlearn_request as request
from pages.components import unlearn_target as target
from pages.components.faults import Sections, Spots, place_of, say
from pages.components.launching import Launch, summary
from pages.components.opening import addressed
from pages.components.run_views import run_row
from pages.components.shell import lines, shell, title
from pages.components.trace_form import shelf
from pages.components.unlearn_request import Origin
from pages.components.words import about, finished
from untrac_core.engine import Run, Store
from untrac_core.errors import InputError
from untrac_core.home import data_home
from untrac_core.removal_check import RemovalCheck, check_removal
from untrac_core.specs import UnlearnSpec
from untrac_core.wording import NOT_REPRODUCED, UNLEARN_LIMITS, count, duration, megabytes, shape

QUESTION = "What if the model had never seen it?"
PURPOSE = (
    "Take what some texts taught out of the model and keep the rest; choose what is to go, then press Start unlearning."
)
LATEST = 5
PLACES = (
    ("target", "target"), ("subset", "target"), ("prompt", "target"), ("model", "target"), ("base", "target"),
    ("from", "target"), ("training", "gold"), ("deep", "gold"), ("seed", "seeds"), ("method", "method"),
    ("beside", "method"), ("stop", "stop"), ("held_out", "measures"), ("writing", "measures"), ("scorer", "measures"),
    ("look", "measures"), ("relearn", "measures"), ("block", "gold"), ("name", "name"),
)  # fmt: skip


@st.cache_data(max_entries=64, ttl=600, show_spinner="Checking the request")
def checked(spec: str, rates: tuple[tuple[str, float], ...]) -> RemovalCheck:
    """What a request (canonical JSON) will do and cost; an :class:`InputError` is not remembered."""
    return check_removal(UnlearnSpec.model_validate_json(spec), rates=dict(rates))


def arrive() -> None:
    """Take up what the address brings from a trace (``?trace=`` with ``&subset=`` or ``&texts=``), once."""
    brought = {name: st.query_params.get(name) for name in (*request.ASKED_OF, "among")}
    for name in brought:
        st.query_params.pop(name, None)
    if not brought["trace"]:
        return
    for key in [key for key in st.session_state if str(key).startswith(form.PREFIX)]:
        del st.session_state[key]
    st.session_state["u_from"] = brought["trace"]
    for name, key in request.ASKED_OF.items():
        value = brought[name]
        if value and name not in ("trace", "texts"):
            st.session_state[key] = value
    many = brought["texts"] or ""
    if many.isdecimal() and len(many) < 6:
        st.session_state["u_what"] = "texts"
        st.session_state["u_texts"] = min(max(1, int(many)), target.MOST)
        if brought["among"]:
            st.session_state["u_texts_among"] = brought["among"]


def sections(store: Store, spots: Spots) -> tuple[dict[str, Any], list[InputError]]:
    """The form itself: the values of a spec, and the faults of single fields, said at their places."""
    values: dict[str, Any] = {}
    parts = Sections(spots)
    known = shelf()

    st.subheader("1 · What should go?", anchor=False)
    origin = parts.gather("from", target.origin_section, store, known)
    if origin is None:
        return values, parts.faults
    if "u_steps" not in st.session_state:
        form.fill(origin)
    kind = target.kind_section(origin)
    chosen = st.container()
    training, rest = parts.gather("gold", form.gold_section, origin, kind, spots) or (None, {})
    block = None if training else origin.block
    with chosen:
        values["target"] = parts.gather("target", target.target_section, kind, origin, training, block)
    values |= parts.gather("method", form.method_section, training is not None, origin) or {}
    unseen, held_out = form.unseen_text(known, origin, training)
    values["stop"] = parts.gather("stop", form.stop_section, training is not None, unseen)
    measured = parts.gather("measures", form.measures_section, known, origin) or {}
    limit = measured.pop("limit", None)
    prompts = [each.model_copy(update={"limit": limit}) for each in origin.prompts]
    data = {"subsets": origin.subsets, "prompts": prompts, "held_out": held_out, "block": block}
    return {**values, **rest, **measured, **data, "model": origin.model}, parts.faults


def suggest_name(origin: Origin | None, values: dict[str, Any]) -> None:
    """A first name for the run, which follows the target until another one is typed."""
    chosen = values.get("target") or {}
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


def costs(found: RemovalCheck) -> None:
    """What the run will be, in numbers and in words."""
    known = found.forget > 0
    st.table(  # numbers only
        {
            "To go": count(found.forget, "text") if known else about("unknown"),
            "To stay": count(sum(found.stays.values()), "text") if known else about("unknown"),
            "Trainings": f"{found.trainings:,}",
            "Unlearnings": f"{found.removals:,}",
            "Time, at most": about(duration(found.seconds)),
            "of it, trainings": about(duration(found.training_seconds)),
            "Memory": about(megabytes(found.memory_mb)),
            "Disk": about(megabytes(found.disk_mb)),
        },
        border="horizontal",
    )
    st.caption("The time is as if no rule ended an unlearning early; retrained models are kept for the next request.")


def remarks(found: RemovalCheck) -> None:
    """What one should know before starting, and what of the data is used."""
    st.caption(UNLEARN_LIMITS)
    lines(found.warnings, heading="Worth knowing", icon=":material/warning:")
    with st.expander("What will be read"):
        facts = [f"to go: {found.target}, {count(found.forget, 'text')}"]
        facts += [f"unseen text of its source: {count(found.held_out, 'text')}"]
        facts += [f"to stay: {name}, {count(number, 'text')}" for name, number in found.stays.items()]
        for text in [*facts, *found.notes]:
            st.text(text)


LAUNCH = Launch(
    spec=UnlearnSpec, prefix=form.PREFIX, check=checked, costs=costs, remarks=remarks, tell=tell,
    start="Start unlearning", page="pages/unlearn.py",
)  # fmt: skip


def offer(store: Store, why: str = "") -> None:
    """The page without a run: the form, and what was unlearned before."""
    title(QUESTION, why or PURPOSE)
    draft.restore(form.PREFIX, "u_steps")
    arrive()
    spots: Spots = {}
    left, right = st.columns([5, 3], gap="large")
    with left:
        values, faults = sections(store, spots)
    suggest_name(_origin_of(values), values)
    with right, st.container(border=True):
        summary(LAUNCH, store, values, faults, spots)
    draft.keep(form.PREFIX)
    runs = store.runs(kind="unlearn", limit=LATEST)
    if runs:
        st.subheader("Latest unlearnings", anchor=False)
    for run in runs:
        run_row(run, key=f"row_{run.id}")


def _origin_of(values: dict[str, Any]) -> Origin | None:
    return Origin(values["model"], values["prompts"], values["subsets"]) if "model" in values else None


def on_the_way(store: Store, run: Run) -> None:
    """A run that has no result yet."""
    waits = "It goes on when this page is closed." if run.active else "It has no result: see why, and take it up again."
    title("Is it going, and what goes with it?", f"The curves show every look of the unlearning so far. {waits}")
    st.text(run.name)
    unlearn_live.watch(store, run)
    st.caption(UNLEARN_LIMITS)


def done(run: Run) -> str | None:
    """The whole page of one result; what is wrong where it cannot be read."""
    from pages.components import unlearn_data, unlearn_view

    try:
        result = unlearn_data.load(run)
    except (InputError, OSError) as error:
        return str(error)
    title(QUESTION, "Compare each number with the gold, and look at what else was lost before keeping the model.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(run.name)
        st.caption(f"{shape(result.spec)} · {finished(run.finished)}")
        st.page_link("pages/unlearn.py", label="Another", icon=":material/add:")
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
