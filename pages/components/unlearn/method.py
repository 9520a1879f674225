"""The method of an unlearning: which, what is run beside it, and its settings."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.components.forms.source_picker import option
from pages.components.layout.labels import TRAINABLE, shown_as
from pages.components.trace.form import held_among
from pages.components.unlearn import request
from pages.components.unlearn.request import Origin
from untrac_core.engine.checks import demo_unlearning
from untrac_core.specs import UnlearningMethodSpec
from untrac_core.specs.catalogue import CONTROL, UNLEARNING
from untrac_core.text.numbers import UNIT

DEMO = demo_unlearning()
NEEDS_RECIPE = {name for name, row in UNLEARNING.items() if row.needs_recipe}
RETAINS = {
    "default": "trained on (nll)",
    "kl": "held as it was (kl)",
}
MOSTLY = {
    "default": "of every text alike",
    "reverse-neighbours": "mostly of reverse neighbours",
}
EMPTY = "default"
AIM = "empty: that of the retrained model, else that of a uniform guess"
WHOLE: dict[str, Any] = {"min_value": 1, "step": 1}
SMALL: dict[str, Any] = {"min_value": 0.0, "format": "%g"}
NUMBERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("learning_rate", "Learning rate", SMALL | {"help": "of Adam"}),
    ("batch_size", "Batch size", WHOLE | {"max_value": 4096}),
    ("steps", "Planned steps", WHOLE | {"help": "how many would get there: the more, the shorter each"}),
    ("samples", "Curvature samples", WHOLE | {"help": "micro-batches of text that the curvature is estimated on"}),
    ("damping", "Damping", SMALL | {"help": "share of the mean curvature that is added"}),
    ("relative_step", "Relative step", SMALL | {"help": "of the longest that is stable"}),
    ("beta", "Beta", SMALL | {"help": "how soon an unlikely text is left alone"}),
    ("max_forget_loss", "Forget loss to reach", SMALL | {"help": f"{UNIT}; {AIM}"}),
    ("retain_weight", "Weight of the retain set", SMALL),
    ("mask_fraction", "Mask fraction", SMALL | {"max_value": 1.0}),
    ("noise", "Noise", SMALL | {"help": "standard deviation of what is added to the chosen weights"}),
)
"""Settings that are numbers: name, label, and what the field takes; in the order of the form."""


def own_values(method: UnlearningMethodSpec) -> dict[str, Any]:
    """What the fields of a method's settings begin with: where the request of the demo names one, that."""
    values: dict[str, Any] = {_key(name): None for name, _, _ in NUMBERS}
    values |= {name: getattr(method, name, None) for name in ("learning_rate", "batch_size", "beta")}
    return values | {"retain": "kl" if getattr(method, "retain", "") == "kl" else EMPTY, "compensate": EMPTY}


def _key(name: str) -> str:
    """Of a field; the stop rule has steps of its own, and what the models write has samples."""
    return f"method_{name}" if name in ("samples", "steps") else name


def method_section(retrained: bool, origin: Origin) -> dict[str, Any]:
    """The method, what is run beside it, and the settings."""
    st.subheader("3 · Method", anchor=False)
    methods = [name for name in UNLEARNING if name != CONTROL and (retrained or name not in NEEDS_RECIPE)]
    option("u_method", methods, "npo")
    method = str(
        st.radio(
            "Method",
            methods,
            format_func=shown_as({name: UNLEARNING[name].title for name in methods}),
            captions=[UNLEARNING[name].does for name in methods],
            key="u_method",
            on_change=_another,
            args=(origin.is_demo,),
            label_visibility="collapsed",
        )
    )
    possible = [name for name in methods if name != method]
    held_among("u_compare", possible, [])
    beside = st.multiselect(
        "Compared with",
        possible,
        format_func=shown_as({name: UNLEARNING[name].title for name in possible}),
        key="u_compare",
        placeholder="Nothing but its controls",
    )
    _controls([method, *beside])
    chosen, others = request.method_values(method, beside, _settings(method))
    return {"method": chosen, "compare": others}


def _controls(methods: list[str]) -> None:
    """What is run without being asked for."""
    told = []
    if not set(methods) <= NEEDS_RECIPE:
        told.append(
            f"{UNLEARNING[CONTROL].title.lower()} alone, for as many steps, which forgets a little by itself: a "
            "method must do more"
        )
    if "grin" in methods:
        told.append("GRIN with its weights chosen by the gradient alone, and at random")
    if told:
        st.caption(f"Always run as controls: {'; and '.join(told)}.")


def _another(demo: bool) -> None:
    """Another method has its own beta."""
    method = st.session_state.get("u_method")
    st.session_state["u_beta"] = getattr(DEMO.method, "beta", None) if demo and method == DEMO.method.name else None


def _settings(method: str) -> dict[str, Any]:
    """The settings of the method; an empty field leaves the choice to it."""
    takes = UNLEARNING[method].takes
    given: dict[str, Any] = {}
    shown = [field for field in NUMBERS if field[0] in takes]
    if "objective" in takes:  # GRIN has a loss to reach only for an objective that the form does not offer
        shown = [field for field in shown if field[0] != "max_forget_loss"]
    with st.expander("Settings of the method"):
        if not shown:
            st.caption("This method has none of these settings: it trains again.")
        else:
            st.caption(
                "An empty field leaves the choice to the method. Rate, batch size, the retain loss and the trainable "
                "parameters hold "
                "for what is compared, too."
            )
        places = st.columns(3)
        for position, (name, label, limits) in enumerate(shown):
            key = f"u_{_key(name)}"
            st.session_state.setdefault(key, None)
            given[name] = places[position % 3].number_input(label, key=key, placeholder=EMPTY, **limits)
        left, right = st.columns(2)
        right = right if "retain" in takes else left
        if "retain" in takes:
            option("u_retain", list(RETAINS), EMPTY)
            kept = left.selectbox("The retain set is", list(RETAINS), format_func=shown_as(RETAINS), key="u_retain")
            given["retain"] = None if kept == EMPTY else kept
        if "compensate" in takes:
            option("u_compensate", list(MOSTLY), EMPTY)
            mostly = left.selectbox(
                "Retain batches", list(MOSTLY), format_func=shown_as(MOSTLY), key="u_compensate",
                help="Reverse neighbours lose texts like them: a retained text stands in an epoch once, and once more "
                "for each of its ten nearest texts, by the model's hidden states, that is forgotten. For this method "
                "alone.",
            )  # fmt: skip
            given["compensate"] = None if mostly == EMPTY else mostly
        if "trainable" in takes:
            usual = UNLEARNING[method].settings.model_fields["trainable"].default
            others = [name for name in ("matrices", "last_layers", "lora") if name != usual]
            trainable = {EMPTY: TRAINABLE[usual], **{name: TRAINABLE[name] for name in others}}
            option("u_trainable", list(trainable), EMPTY)
            moved = right.selectbox(
                "Trainable parameters", list(trainable), format_func=shown_as(trainable), key="u_trainable",
                help="An adapter alone needs far less memory: chosen at first for models above 300 million parameters.",
            )  # fmt: skip
            given["trainable"] = None if moved == EMPTY else moved
    return given
