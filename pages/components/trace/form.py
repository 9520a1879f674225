"""The sections of the trace form: model, prompt sets, training subsets, method. Each returns its part of a spec."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.forms.refill import tell_without, without
from pages.components.forms.source_picker import option
from pages.components.layout.errors import Spots
from pages.components.layout.labels import DTYPES, SIZES, TRAINABLE, number, shown_as
from pages.components.library.library_views import OWN, library, named
from pages.components.library.prompt_views import items_in_words, sides_in_words
from pages.components.library.subset_views import seen_in_words
from pages.components.trace import precision
from untrac_core.engine.checks import devices
from untrac_core.engine.library.library import Entry
from untrac_core.errors import InputError
from untrac_core.specs import DEFAULT_BASELINES, SEEDS, ModelRef, Subset
from untrac_core.specs.catalogue import BASELINES, PRESETS, UNTRAC
from untrac_core.text.glossary import meaning_of
from untrac_core.text.labels import WHOLE
from untrac_core.text.numbers import count

PREFIX = "t_"
DATA = {"prompts": "prompts", "subsets": "subset"}
PRESELECTED = {"prompts": 6, "subsets": 30}
ARRIVALS = {"model": "t_model", "prompts": "t_prompts", "subset": "t_subsets"}
BESIDES = {name: row.title for name, row in BASELINES.items() if name != "tracin"}
"""The baselines that can stand beside a trace: TracIn needs models that were kept while training."""

SEED_MOST = 2**31 - 1
Shelf = dict[str, dict[str, Entry]]


def shelf() -> Shelf:
    """Everything in the library by kind and id, newest first."""
    store = library()
    return {kind: {entry.id: entry for entry in store.entries(kind)} for kind in ("model", "prompts", "subset")}


def fitting(known: Shelf, model: str | None, data: str) -> list[str]:
    """What goes with a model until another choice is made: the demo's data with the demo, else one's own."""
    return of_kind(known, data, demo=is_demo(known, model))


def is_demo(known: Shelf, model: str | None) -> bool:
    """Whether the model is the demo's, as it is where none is chosen."""
    return model is None or known["model"][model].builtin


def of_kind(known: Shelf, data: str, *, demo: bool) -> list[str]:
    """The demo's data, or one's own: as many as are chosen to begin with."""
    ids = [one for one, entry in known[DATA[data]].items() if entry.builtin == demo and not entry.problem]
    return ids[: PRESELECTED[data]]


def sizes_for(known: Shelf, model: str | None) -> dict[str, int | None]:
    """How many blocks and items to begin with."""
    return precision.sizes_for(demo=is_demo(known, model))


def arrive(known: Shelf, brought: dict[str, str]) -> None:
    """Take up what the address brought from the library (``?model=``, ``?prompts=``, ``?subset=``, also ``own``)."""
    for key in ARRIVALS.values() if brought.keys() & ARRIVALS.keys() else ():
        st.session_state.pop(key, None)
    if brought.get("model") in known["model"]:
        st.session_state["t_model"] = brought["model"]
    option("t_model", list(known["model"]), next(iter(known["model"]), None))
    for key, value in sizes_for(known, st.session_state["t_model"]).items():
        st.session_state.setdefault(key, value)
    for data, kind in DATA.items():
        if (one := brought.get(kind)) in known[kind]:
            rest = of_kind(known, data, demo=known[kind][one].builtin) if data == "subsets" else []
            st.session_state[f"t_{data}"] = list(dict.fromkeys([one, *rest]))
        elif brought.get("subset") == OWN and (own := of_kind(known, data, demo=False)):
            st.session_state[f"t_{data}"] = own
        held = st.session_state.get(f"t_{data}")
        if not isinstance(held, list):
            st.session_state[f"t_{data}"] = fitting(known, st.session_state["t_model"], data)
        else:
            st.session_state[f"t_{data}"] = [one for one in dict.fromkeys(map(str, held)) if one in known[kind]]


def held_among(key: str, options: Container[str], default: Sequence[str]) -> None:
    """Give a choice of several its value; what is no longer offered leaves it.

    Written only when it changes: what is written goes to the browser, over what was chosen there meanwhile.
    """
    held = st.session_state.get(key)
    if not isinstance(held, list):
        st.session_state[key] = list(default)
        return
    kept = [one for one in dict.fromkeys(map(str, held)) if one in options]
    if kept != held:
        st.session_state[key] = kept


def model_section(known: Shelf) -> dict[str, Any]:
    """Which model of the library, and in which number format."""
    st.subheader("1 · Model", anchor=False)
    entries = known["model"]

    def follow() -> None:
        for data in DATA:
            st.session_state[f"t_{data}"] = fitting(known, st.session_state.get("t_model"), data)
        st.session_state.update(sizes_for(known, st.session_state.get("t_model")))

    left, right = st.columns(2)
    picked = left.selectbox(
        "Model",
        list(entries),
        format_func=named(entries),
        key="t_model",
        on_change=follow,
    )
    option("t_dtype", list(DTYPES), "auto")
    dtype = right.selectbox("Data type", list(DTYPES), format_func=shown_as(DTYPES), key="t_dtype")
    entry = entries.get(str(picked))
    if entry is None or not isinstance(entry.value, ModelRef):
        raise InputError("no model is chosen", field="model", hint="add one on the page Models")
    told = entry.facts
    st.text(
        " · ".join(
            (
                str(told.get("architecture") or "unknown architecture"),
                f"{number(told.get('parameters'))} parameters",
                f"context {count(int(told['context']), 'token')}" if told.get("context") else "context not said",
                entry.origin,
            )
        )
    )
    if entry.problem:
        raise InputError(entry.problem.rstrip("."))
    wanted = dtype if dtype != "auto" else entry.value.dtype
    return entry.value.model_copy(update={"dtype": wanted}).model_dump(exclude_none=True)


def _chosen(
    known: Shelf, data: str, label: str, columns: Callable[[Sequence[Entry]], dict[str, list[str]]]
) -> list[Entry]:
    """Some of the library, and a table of what was chosen."""
    entries = known[DATA[data]]
    picked = st.multiselect(
        label,
        list(entries),
        format_func=named(entries),
        key=f"t_{data}",
        label_visibility="collapsed",
        placeholder="Choose from the library",
    )
    chosen = [entries[one] for one in picked if one in entries]
    if chosen:
        st.dataframe(
            pd.DataFrame({"Name": [entry.name for entry in chosen], **columns(chosen)}),
            hide_index=True,
            height="auto" if len(chosen) <= 8 else 250,
            alt=f"The chosen {label.lower()}",
        )
    for entry in chosen:
        if entry.problem:
            raise InputError(entry.problem.rstrip("."))
    return chosen


def prompts_section(known: Shelf, limit: int | None) -> list[dict[str, Any]]:
    """Which prompt sets of the library."""
    _head("2 · Prompt sets: what should be explained", "pages/prompts.py", "Add prompt sets")
    chosen = _chosen(
        known,
        "prompts",
        "Prompt sets",
        lambda entries: {
            "Sides": [sides_in_words(entry) for entry in entries],
            "Items": [items_in_words(entry) for entry in entries],
        },
    )
    if not chosen:
        raise InputError("no prompt set is chosen", field="prompts", hint="choose at least one, or add one")
    return [entry.value.model_copy(update={"limit": limit}).model_dump(exclude_none=True) for entry in chosen]


def subsets_section(known: Shelf, limit: int | None) -> list[dict[str, Any]]:
    """Which training subsets of the library."""
    _head("3 · Training subsets: what should be ranked", "pages/subsets.py", "Add subsets")
    chosen = _chosen(
        known,
        "subsets",
        "Training subsets",
        lambda entries: {
            "Documents": [f"{int(entry.facts.get('documents', 0)):,}" for entry in entries],
            "Characters": [number(entry.facts.get("characters")) for entry in entries],
            "Kept": [seen_in_words(entry) for entry in entries],
        },
    )
    if len(chosen) < 2:
        raise InputError("fewer than two training subsets are chosen", field="subsets", hint="a ranking needs two")
    if is_demo(known, st.session_state["t_model"]) and any(not entry.builtin for entry in chosen):
        st.caption(
            "The demo's model was not trained on your texts: the ranking then says which of them would move it most "
            "towards these prompts, not what it learned from. Choose a model that was trained on them."
        )
    subsets = [entry.value.model_copy(update={"limit": limit}) for entry in chosen if isinstance(entry.value, Subset)]
    tell_without(PREFIX, subsets)
    return [without(PREFIX, subset).model_dump(exclude_none=True) for subset in subsets]


def _head(text: str, page: str, label: str) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader(text, anchor=False, width="content")
        st.page_link(page, label=label, icon=":material/add:", width="content")


def method_section(spots: Spots) -> tuple[dict[str, Any], dict[str, Any]]:
    """The method with what it may move, and what concerns the whole run: seeds, sizes, device, baselines.

    The baselines are chosen under :func:`limits_and_settings`, which comes first.
    """
    st.subheader("4 · Method", anchor=False, help=meaning_of("attribution method"))
    option("t_method", list(UNTRAC), "untrac-inv")
    option("t_preset", list(PRESETS), "robust")
    left, right = st.columns(2)
    name = left.radio(
        "Method", list(UNTRAC), format_func={key: row.title for key, row in UNTRAC.items()}.get, key="t_method"
    )
    left.caption(UNTRAC[str(name)].does)
    preset = right.radio("Preset", list(PRESETS), key="t_preset")
    right.caption(PRESETS[str(preset)][0].upper() + PRESETS[str(preset)][1:] + ".")
    st.session_state.setdefault("t_seeds", ", ".join(map(str, SEEDS)))
    known = {device.name: device.label for device in devices()}
    machines = {"auto": "auto", **known}
    option("t_device", list(machines), "auto")
    option("t_trainable", list(TRAINABLE), "preset")
    option("t_weighting", list(SIZES), "none")
    places = [*st.columns(2), *st.columns(2)]
    seeds = places[0].text_input(
        "Seeds", key="t_seeds", help="whole numbers. UnTrac and the baselines need at least two for an interval."
    )
    spots["seeds"] = places[0].empty()
    device = places[1].selectbox("Device", list(machines), format_func=shown_as(machines), key="t_device")
    trainable = places[2].selectbox(
        "Trainable parameters",
        list(TRAINABLE),
        format_func=shown_as(TRAINABLE),
        key="t_trainable",
        help="Fewer parameters need less memory; which ones move also changes how accurate the estimate is.",
    )
    sizes = places[3].selectbox(
        "Sizes of the subsets",
        list(SIZES),
        format_func=shown_as(SIZES),
        key="t_weighting",
        help="Equal sizes compare texts, token for token. Proportional ones rank what leaving out the whole subset "
        f"would do: {WHOLE}.",
    )
    method = {"name": name, "preset": preset} | ({} if trainable == "preset" else {"trainable": trainable})
    beside = [one for one in BESIDES if one in st.session_state["t_baselines"]]
    whole = {"seeds": parse_seeds(seeds), "device": device, "weighting": sizes, "baselines": beside}
    return method, whole | {"controls": _controls()}


def _controls() -> list[str]:
    """The negative controls: of the default method alone, and none unless they are asked for."""
    chosen = st.session_state.get("t_method", "untrac-inv"), st.session_state.get("t_preset", "robust")
    if chosen != ("untrac-inv", "robust"):
        return []
    st.session_state.setdefault("t_doubled", False)
    asked = st.checkbox(
        "Negative control: the first subset under two names",
        key="t_doubled",
        help="Its documents are dealt into two halves, whose influence must be the same; the result says if it is.",
    )
    return ["doubled"] if asked else []


def parse_seeds(text: str) -> list[int]:
    """'0, 1, 2' as numbers."""
    parts = text.replace(",", " ").split()
    if not parts:
        raise InputError("there are no seeds", field="seeds", hint="write at least one whole number, such as 0, 1, 2")
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise InputError("a seed is a whole number from 0", field="seeds", hint="write them as 0, 1, 2")
    if any(len(part) > 10 or int(part) > SEED_MOST for part in parts):
        raise InputError(f"a seed is at most {SEED_MOST:,}", field="seeds", hint="take smaller ones, as 0, 1, 2")
    seeds = [int(part) for part in parts]
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise InputError(f"two seeds are {twice}", field="seeds", hint="name each seed once")
    return seeds


def limits_and_settings() -> tuple[dict[str, Any], int | None, int | None, int | None]:
    """Settings that few need: items per side, blocks per subset, tokens per block, the method's, and the baselines."""
    robust = st.session_state.get("t_preset", "robust") == "robust"
    flow = robust and st.session_state.get("t_method", "untrac-inv") == "untrac"
    fields: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("limit_prompts", "Max items per side", {"min_value": 1, "step": 1}),
        ("limit_subsets", "Max blocks per subset", {"min_value": 1, "step": 1}),
        ("block_size", "Block size (tokens)", {"min_value": 8, "max_value": 131_072, "step": 1}),
    )
    of_steps: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("steps", "Unlearning steps", {"min_value": 1, "step": 1}),
        ("eval_points", "Evaluation points", {"min_value": 1, "max_value": 50, "step": 1}),
        ("batch_size", "Blocks per subset and step", {"min_value": 1, "step": 1, "help": "more make steadier steps"}),
        (
            "relative_step",
            "Relative step",
            {"min_value": 0.0, "format": "%g", "help": "1 is the longest step that stays in a quadratic valley"},
        ),
    )
    if not robust:
        of_steps = (
            *of_steps[:2],
            ("learning_rate", "Learning rate", {"min_value": 0.0, "format": "%g"}),
            (
                "max_loss_increase",
                "Max loss increase",
                {"min_value": 0.0, "format": "%g", "help": "rise of the unlearned set's own loss, nats per token"},
            ),
        )
    given: dict[str, Any] = {}
    precision.slider()
    with st.expander("Sizes and settings"):
        st.caption("An empty field leaves the choice to the preset, or takes everything.")
        shown = (*fields, *of_steps) if flow or not robust else fields
        places = st.columns(3)
        for position, (name, label, limits) in enumerate(shown):
            st.session_state.setdefault(f"t_{name}", None)
            given[name] = places[position % 3].number_input(label, key=f"t_{name}", placeholder="preset", **limits)
        _baselines()
    method = {name: given[name] for name, _, _ in of_steps if given.get(name) is not None}
    return method, given["limit_prompts"], given["limit_subsets"], given["block_size"]


def _baselines() -> None:
    """What is ranked beside the method."""
    held_among("t_baselines", BESIDES, DEFAULT_BASELINES)
    picked = st.multiselect(
        "Baselines",
        list(BESIDES),
        format_func=shown_as(BESIDES),
        key="t_baselines",
        placeholder="No baseline",
    )
    with st.container(gap="xsmall"):
        for one in picked:
            st.markdown(
                f":small[**{BASELINES[one].title}**: {BASELINES[one].does} :gray[Cost: {BASELINES[one].cost}.]]"
            )
