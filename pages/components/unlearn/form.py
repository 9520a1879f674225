"""The sections of the unlearn form after forget set and method: retrained reference, stopping rule, evaluation."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.components.forms.source_picker import option
from pages.components.forms.writing import writing_section
from pages.components.layout.errors import Spots
from pages.components.layout.labels import shown_as
from pages.components.library.library_views import named
from pages.components.trace.form import Shelf, parse_seeds
from pages.components.unlearn import request
from pages.components.unlearn.method import DEMO, EMPTY, own_values
from pages.components.unlearn.request import Origin
from untrac_core.engine.checks import UNLEARN_ITEMS, devices
from untrac_core.errors import InputError
from untrac_core.specs import Generation, StopRule, Subset, UnlearnSpec, unlearning_method_spec
from untrac_core.specs.catalogue import STOPS
from untrac_core.text.glossary import meaning_of

PREFIX = request.PREFIX
LARGE = 300e6
"""Parameters from which on an adapter alone moves, unless another choice is made."""


def fill(origin: Origin) -> None:
    """The values that a form begins with: those of the demo with the demo, else the defaults of a request."""
    of_demo = origin.is_demo
    stop: StopRule = DEMO.stop if of_demo else StopRule()
    method = DEMO.method if of_demo else unlearning_method_spec()
    told = UnlearnSpec.model_fields
    writing = DEMO.generation if of_demo and DEMO.generation else Generation(texts=["x"])
    trainable = "lora" if origin.parameters > LARGE else EMPTY
    seed = 0 if (recipe := request.recipe_of(origin)) is None else recipe.seed
    values = {
        "method": method.name,
        "compare": [],
        "stop": None,
        "steps": stop.steps,
        "eval_every": stop.eval_every,
        "max_retain_increase": 100 * stop.max_retain_increase,
        "retrained": True,
        "seeds": f"{seed}, {seed + 1}",
        "device": "auto",
        "ensemble_size": 0,
        "relearn_steps": DEMO.relearn_steps if of_demo else told["relearn_steps"].default,
        "eval_samples": DEMO.eval_samples if of_demo else told["eval_samples"].default,
        "limit": UNLEARN_ITEMS if of_demo else None,
        "write": bool(origin.prompts),
        "generation": writing.limit,
        "samples": writing.sampling.samples,
        "tokens": writing.sampling.tokens,
        "temperature": writing.sampling.temperature,
        "scorer": "lexicon",
        "trainable": trainable,
    }
    for name, value in (own_values(method) | values).items():
        st.session_state[f"u_{name}"] = value
    st.session_state.pop("u_stop")


def retrained_section(origin: Origin, kind: str, spots: Spots) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """What the unlearned model is held against: the recipe of models that never saw it, or nothing; seeds; pairs."""
    st.subheader("2 · Retrained reference", anchor=False, help=meaning_of("retrained reference"))
    recipe = request.recipe_of(origin)
    others = [] if recipe is None else request.strangers(recipe, origin)
    training = None
    if kind in ("upload", "prompts"):
        why = "No retrained model: these are not texts of the subsets that a recipe could leave out."
    elif recipe is None:
        why = (
            "No retrained model: the recipe of this model is not known, so none can be trained without the forget set."
        )
    elif others:
        why = (
            "No retrained model: this model's recipe trained on other subsets. Choose these under 'Model and data of': "
        )
    else:
        why = ""
        st.session_state.setdefault("u_retrained", True)
        on = st.toggle("Train models that never saw it: the retrained model", key="u_retrained", on_change=_other_rule)
        st.caption(
            f"By this model's own recipe, {recipe.steps:,} steps, once for each seed. Every number then stands beside "
            "what it is in a model that never saw the forget set."
        )
        training = request.training_of(recipe) if on else None
    if why:
        st.caption(f":material/info: {why}")
        if others:
            st.text(", ".join(others[:12]))
    if training is None:
        st.caption(
            "Without a retrained model the numbers say how far the model has moved, not whether it got where it "
            "should: only "
            "weaker signs are left, as how it compares with unseen text."
        )
    return training, {**_seeds(spots, training is not None), "training": training}


def _other_rule() -> None:
    st.session_state.pop("u_stop", None)


def _seeds(spots: Spots, retrained: bool) -> dict[str, Any]:
    machines = {"auto": "auto", **{device.name: device.label for device in devices()}}
    option("u_device", list(machines), "auto")
    places = st.columns(3)
    text = places[0].text_input(
        "Seeds", key="u_seeds", help="Of retrainings and unlearnings; two show how far chance alone moves a number."
    )
    spots["seeds"] = places[0].empty()
    device = places[1].selectbox("Device", list(machines), format_func=shown_as(machines), key="u_device")
    pairs = 0
    if retrained:
        pairs = places[2].number_input(
            "Pairs of the ensemble audit", min_value=0, max_value=512, step=1, key="u_ensemble_size",
            help="So many models retrained and as many trained on everything and unlearned, then told apart. A pair "
            "costs two trainings and an unlearning; fewer than three say nothing.",
        )  # fmt: skip
    if pairs is None:
        raise InputError("the pairs of the ensemble audit are empty", field="seeds", hint="write 0 for none")
    return {"seeds": parse_seeds(text), "device": device, "ensemble_size": int(pairs)}


def stop_section(retrained: bool, unseen: bool) -> dict[str, Any]:
    """When it ends; ``unseen``: whether there may be text of the forget set's source that the model never saw."""
    st.subheader("4 · Stopping rule", anchor=False, help=meaning_of("stopping rule"))
    needed = {"match_retrained": retrained, "match_holdout": unseen}
    rules = [name for name in STOPS if needed.get(name, True)]
    option("u_stop", rules, "match_retrained" if retrained else "retain_budget")
    rule = st.radio(
        "Stop rule",
        rules,
        format_func=shown_as({name: STOPS[name][0][:1].upper() + STOPS[name][0][1:] for name in rules}),
        captions=[f"{STOPS[name][1][:1].upper()}{STOPS[name][1][1:]}." for name in rules],
        key="u_stop",
        label_visibility="collapsed",
    )
    missing = {
        "match_retrained": "'as after retraining' needs the recipe",
        "match_holdout": "'as unseen text' needs a holdout set (see 5)",
    }
    told = [words for name, words in missing.items() if not needed[name]]
    if told:
        st.caption(f"Not offered: {'; '.join(told)}.")
    places = st.columns(3)
    given: dict[str, Any] = {
        "steps": places[0].number_input("Steps, at most", min_value=1, max_value=1_000_000, step=10, key="u_steps"),
        "eval_every": places[1].number_input(
            "Steps between evaluations", min_value=1, max_value=100_000, step=1, key="u_eval_every",
            help="It can only stop at an evaluation, and an evaluation costs a reading of all that is watched.",
        ),
    }  # fmt: skip
    if rule == "retain_budget":
        st.session_state.setdefault("u_max_retain_increase", 100 * StopRule().max_retain_increase)
        budget = places[2].number_input(
            "Budget, %", min_value=0.01, max_value=1000.0, format="%g", key="u_max_retain_increase",
            help="by how much the loss of the retain set may rise",
        )  # fmt: skip
        given["max_retain_increase"] = None if budget is None else budget / 100
    if any(value is None for value in given.values()):
        raise InputError("a field is empty", field="stop", hint="fill it in")
    return {"rule": rule, **given}


def unseen_text(known: Shelf, origin: Origin, training: dict[str, Any] | None) -> tuple[bool, Subset | None]:
    """Whether there may be a holdout set, and what was chosen for it (drawn in section 5)."""
    entry = known["subset"].get(str(st.session_state.get("u_holdout")))
    chosen = entry.value if entry is not None and isinstance(entry.value, Subset) else None
    if chosen is not None and chosen.name in {subset.name for subset in origin.subsets}:
        chosen = None
    return chosen is not None or bool(training and training["equal_tokens"]), chosen


def measures_section(known: Shelf, origin: Origin) -> dict[str, Any]:
    """What is read of every model: writing, relearning, how many texts, unseen text."""
    st.subheader("5 · Evaluation", anchor=False)
    st.caption(
        "Losses of the forget set, of the retain set and of the prompt sets; relearning; what the models write; all "
        "of it "
        "of the model as it is, of every method and of the retrained model."
    )
    with st.expander("Relearning, writing, sizes"):
        places = st.columns(3)
        relearn = places[0].number_input(
            "Steps to relearn",
            min_value=0,
            max_value=10_000,
            step=10,
            key="u_relearn_steps",
            help="at most; how soon training on the texts brings them back; 0: not tested",
        )
        look = places[1].number_input("Texts of a set, at most", min_value=4, step=8, key="u_eval_samples")
        limit = places[2].number_input(
            "Max items per side", min_value=1, step=8, key="u_limit", placeholder="all of them"
        )
        taken = {subset.name for subset in origin.subsets}
        free = {one: entry for one, entry in known["subset"].items() if entry.name not in taken and not entry.problem}
        st.session_state.setdefault("u_holdout", None)
        if st.session_state["u_holdout"] not in free:
            st.session_state["u_holdout"] = None
        st.selectbox(
            "Unseen text of the same source",
            list(free),
            format_func=named(free),
            key="u_holdout",
            index=None,
            placeholder="none of the library" if free else "the library has no other subset",
            help="A subset that the model never saw: what 'forgotten' should look like, where there is no retrained "
            "model.",
        )
        names = [prompts.name for prompts in origin.prompts]
        writing = writing_section(PREFIX, names, "Let every model write to the same prompts", "metrics")
    if relearn is None or look is None:
        raise InputError("a field is empty", field="metrics", hint="fill it in")
    return {"relearn_steps": int(relearn), "eval_samples": int(look), "limit": limit, "generation": writing}
