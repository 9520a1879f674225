"""The sections of the validate form: what is repeated, its recipe, the data, the methods. Each returns its part."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.components.forms.refill import refill, tell_without, without
from pages.components.forms.source_picker import option
from pages.components.forms.writing import CLASSIFIER, KNOWN, LEXICON, writing_section
from pages.components.layout.errors import Spots
from pages.components.layout.labels import number, shown_as
from pages.components.library.library_views import named
from pages.components.library.prompt_views import items_in_words, sides_in_words
from pages.components.trace.form import PRESELECTED, Shelf, held_among, parse_seeds
from untrac_core.engine.checks import demo_validation, devices
from untrac_core.errors import InputError
from untrac_core.explore.tables import control_frames
from untrac_core.specs import METHODS_COMPARED, ModelRef, TraceSpec, Training
from untrac_core.specs.catalogue import ATTRIBUTION, BASELINES, PAPER_COSTS, PRESETS, UNTRAC, method_title
from untrac_core.specs.parts import INITS
from untrac_core.text.glossary import meaning_of

PREFIX = "v_"
DEMO = demo_validation()
WAYS = {
    "demo": ("The demo", "Eight small subsets about invented peoples, and a model so small that it takes minutes."),
    **{name: words[:2] for name, words in INITS.items()},
}
CHOICES: dict[str, dict[str, str]] = {
    **{f"{name} {preset}": {"name": name, "preset": preset} for name in UNTRAC for preset in PRESETS},
    **{name: {"name": name} for name in BASELINES},
}
TITLES = {key: method_title(values["name"], values.get("preset")) for key, values in CHOICES.items()}
COSTS = {
    **{f"{name} robust": row.cost for name, row in UNTRAC.items()},
    **{f"{name} paper": cost for name, cost in PAPER_COSTS.items()},
    **{name: row.cost for name, row in BASELINES.items()},
}
CHOSEN = [f"{method.name} {method.variant}" if method.unlearns else method.name for method in METHODS_COMPARED]
BLOCKS = 192
TRAININGS = {
    "halves": (
        "Random halves",
        "Trainings on half of the subsets each: their losses give the linear datamodeling score of every method. Take "
        "a few dozen.",
    ),
    "document_halves": (
        "Random halves of the documents",
        "Trainings without half of every subset's documents: do the influences of single texts add up? Take a few "
        "dozen.",
    ),
    "pairs": (
        "Random pairs",
        "Pairs of subsets that are left out at once, by every seed: do their influences add up? In YAML, pairs can be "
        "named too.",
    ),
}
"""What is trained beside leave-one-out, by its field: label, and what it is for."""
WRITING = {"write": False, "generation": 40, "samples": 4, "tokens": 16, "temperature": 0.4}
"""Prompts, samples and lengths that the form begins with: a rate of a few percent shows in so many."""
DATA = {"prompts": "prompts", "subsets": "subset"}
SHAPES = {"opt": "OPT", "gpt2": "GPT-2", "llama": "Llama", "gpt-neox": "GPT-NeoX", "qwen3": "Qwen3"}
RATES = {"scratch": 0.002, "base": 5e-5, "continued": 5e-6}
DEMO_RATES = {"base": 0.002, "continued": 2e-4}
"""Of the demo's own model: what it was trained with, and for ``continued`` a tenth of it."""
BLOCK = 256
"""Block size (tokens), where the model can take as many."""
STEPS = {"scratch": 500, "base": 200, "continued": 50}
SIZES = (
    ("hidden_size", "Width", 8, 8192, "numbers that stand for a token inside the model"),
    ("num_layers", "Layers", 1, 128, None),
    ("num_heads", "Heads", 1, 128, None),
    ("vocab_size", "Vocabulary", 260, 200_000, "of the byte-level tokenizer that is trained on the subsets"),
)
COURSE = (
    ("steps", "Steps", 1, 1_000_000, None),
    ("batch_size", "Blocks per step", 1, 100_000, None),
    ("block_size", "Block size (tokens)", 8, 8192, None),
    ("warmup_steps", "Warm-up", 0, 100_000, "steps over which the rate rises, before it falls to zero"),
)


def init_of(way: str) -> str:
    """Where the trainings start."""
    return "scratch" if way == "demo" else way


def fitting(known: Shelf, way: str, data: str) -> list[str]:
    """What goes with a way until another choice is made: the demo's data with the demo, else one's own."""
    entries = {one: entry for one, entry in known[DATA[data]].items() if not entry.problem}
    own = [one for one, entry in entries.items() if not entry.builtin]
    builtin = [one for one, entry in entries.items() if entry.builtin]
    return (builtin if way == "demo" or not own else own)[: PRESELECTED[data]]


def arrive(known: Shelf) -> None:
    """Give every field its value before it is drawn; what has left the library leaves the form."""
    option("v_way", list(WAYS), "demo")
    way = st.session_state["v_way"]
    option("v_model", list(known["model"]), next(iter(known["model"]), None))
    if "v_steps" not in st.session_state:
        fill(known, way)
    for data, kind in DATA.items():
        held_among(f"v_{data}", known[kind], fitting(known, way, data))
    held_among("v_methods", CHOICES, CHOSEN)


def fill(known: Shelf, way: str) -> None:
    """The recipe that a way begins with; the demo's is :func:`untrac_core.demo.requests.demo_validation`'s own."""
    init = init_of(way)
    if way == "demo":
        recipe, seen, name = DEMO.training.model_dump(), (DEMO.samples_per_subset, DEMO.prompts[0].limit), DEMO.name
    else:
        recipe = Training(init=init).model_dump() | {"steps": STEPS[way], "learning_rate": RATES[init]}
        seen, name = (BLOCKS, None), "my validation"
    if init != "scratch":
        recipe |= {"warmup_steps": 0, "batch_size": 8}
    for field, value in recipe.items():
        if field != "init":
            st.session_state[f"v_{field}"] = value
    st.session_state["v_samples_per_subset"], st.session_state["v_limit"] = seen
    st.session_state["v_name"] = name
    if init != "scratch":
        fit_to_model(known, init)


def fit_to_model(known: Shelf, init: str) -> None:
    """The rate and the blocks that go with the model that training starts from."""
    entry = known["model"].get(str(st.session_state.get("v_model")))
    if entry is None:
        return
    st.session_state["v_learning_rate"] = (DEMO_RATES if entry.builtin else RATES)[init]
    st.session_state["v_block_size"] = max(8, min(int(entry.facts.get("context") or BLOCK), BLOCK))


def of_trace(known: Shelf, spec: TraceSpec) -> list[str]:
    """Fill the form with a trace's model, prompt sets and subsets; returns the names of what the library lacks.

    The demo is retrained by its recipe; of another model the training is not known, so it is trained on.
    """
    missing = refill(known, spec, PREFIX)
    st.session_state["v_way"] = "demo" if spec.model.path == "demo" else "continued"
    return missing


def way_section(known: Shelf) -> str:
    """What is to be repeated; choosing fills in the recipe and the data that go with it."""
    st.subheader("1 · Retraining", anchor=False, help=meaning_of("leave-one-out retraining"))

    def follow() -> None:
        way = st.session_state["v_way"]
        fill(known, way)
        for data in DATA:
            st.session_state[f"v_{data}"] = fitting(known, way, data)

    way = st.radio(
        "Retraining",
        list(WAYS),
        format_func=shown_as({name: words[0] for name, words in WAYS.items()}),
        captions=[words[1] for words in WAYS.values()],
        key="v_way",
        on_change=follow,
        label_visibility="collapsed",
    )
    return way if way in WAYS else "demo"


def model_section(known: Shelf, way: str) -> dict[str, Any] | None:
    """Which model the trainings start from; ``None`` where they start from nothing."""
    if init_of(way) == "scratch":
        return None
    entries = known["model"]
    picked = st.selectbox(
        "Model",
        list(entries),
        format_func=named(entries),
        key="v_model",
        on_change=fit_to_model,
        args=(known, init_of(way)),
    )
    if way == "continued":
        st.caption(
            "It answers: if this model went on learning, how much would leaving out a subset change what it finds "
            "likely? It does not say what the subset did while the model was trained. Keep the rate about a tenth of "
            "the training's own and the steps few, so that the model stays near what it is."
        )
    entry = entries.get(str(picked))
    if entry is None or not isinstance(entry.value, ModelRef):
        raise InputError("no model is chosen", field="model", hint="add one on the page Models")
    if entry.problem:
        raise InputError(entry.problem.rstrip("."), field="model")
    return entry.value.model_dump(exclude_none=True)


def recipe_section(way: str) -> dict[str, Any]:
    """How a model is trained: its shape (from scratch), the steps and the rate."""
    init, given = init_of(way), {"init": init_of(way)}
    if init == "scratch":
        option("v_architecture", list(SHAPES), "opt")
        places = st.columns(5)
        given["architecture"] = places[0].selectbox(
            "Architecture", list(SHAPES), format_func=shown_as(SHAPES), key="v_architecture"
        )
        for place, field in zip(places[1:], SIZES, strict=True):
            given[field[0]] = _whole(place, *field)
    places = st.columns(5)
    for place, field in zip(places, COURSE, strict=False):
        given[field[0]] = _whole(place, *field)
    given["learning_rate"] = places[4].number_input(
        "Learning rate", min_value=0.0, max_value=1.0, format="%g", key="v_learning_rate", help="of AdamW"
    )
    st.session_state.setdefault("v_equal_tokens", True)
    given["equal_tokens"] = st.checkbox(
        "Cut every subset to the size of the smallest",
        key="v_equal_tokens",
        help="so that size is not taken for influence",
    )
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise InputError("a field is empty", field="recipe", hint="fill it in")
    return given


def _whole(place: Any, name: str, label: str, least: int, most: int, told: str | None) -> Any:
    return place.number_input(label, min_value=least, max_value=most, step=1, key=f"v_{name}", help=told)


def prompts_section(known: Shelf, limit: int | None) -> list[dict[str, Any]]:
    """Which prompt sets of the library."""
    chosen = _chosen(known, "prompts", "Prompt sets: what should be explained")
    if not chosen:
        raise InputError("no prompt set is chosen", field="prompts", hint="choose at least one")
    told = {
        "Sides": [sides_in_words(entry) for entry in chosen],
        "Items": [items_in_words(entry) for entry in chosen],
    }
    _table(chosen, told, "The chosen prompt sets")
    return [entry.value.model_copy(update={"limit": limit}).model_dump(exclude_none=True) for entry in chosen]


def subsets_section(known: Shelf) -> list[dict[str, Any]]:
    """Which training subsets of the library."""
    chosen = _chosen(known, "subsets", "Training subsets: what each retraining leaves out, one at a time")
    if len(chosen) < 3:
        raise InputError("fewer than three subsets are chosen", field="subsets", hint="agreement needs three or more")
    told = {
        "Documents": [f"{int(entry.facts.get('documents', 0)):,}" for entry in chosen],
        "Characters": [number(entry.facts.get("characters")) for entry in chosen],
    }
    _table(chosen, told, "The chosen training subsets")
    whole = {"limit": None}  # training takes all text; ``samples_per_subset`` is what the methods see of it
    subsets = [entry.value.model_copy(update=whole) for entry in chosen]
    tell_without(PREFIX, subsets)
    return [without(PREFIX, subset).model_dump(exclude_none=True) for subset in subsets]


def _chosen(known: Shelf, data: str, label: str) -> list[Any]:
    entries = known[DATA[data]]
    picked = st.multiselect(
        label, list(entries), format_func=named(entries), key=f"v_{data}", placeholder="Choose from the library"
    )
    chosen = [entries[one] for one in picked if one in entries]
    for entry in chosen:
        if entry.problem:
            raise InputError(entry.problem.rstrip("."), field=data)
    return chosen


def _table(chosen: list[Any], told: dict[str, list[str]], alt: str) -> None:
    frame = pd.DataFrame({"Name": [entry.name for entry in chosen], **told})
    st.dataframe(frame, hide_index=True, height="auto" if len(chosen) <= 8 else 250, alt=alt)


def methods_section() -> list[dict[str, str]]:
    """Which methods are to be compared, with what each of them does and costs."""
    st.subheader("2 · Methods", anchor=False)
    picked = st.multiselect(
        "Methods",
        list(CHOICES),
        format_func=shown_as(TITLES),
        key="v_methods",
        label_visibility="collapsed",
        placeholder="Choose methods",
    )
    chosen = [one for one in picked if one in CHOICES]
    if not chosen:
        raise InputError("no method is chosen", field="methods", hint="choose at least one")
    with st.expander("What they do and what they cost"):
        for one, values in CHOICES.items():
            st.markdown(f":small[**{TITLES[one]}**: {ATTRIBUTION[values['name']].does} :gray[Cost: {COSTS[one]}.]]")
    return [CHOICES[one] for one in chosen]


def seeds_section(spots: Spots, known: Shelf) -> dict[str, Any]:
    """How often it is repeated, on what device, and how much of each subset the methods look at."""
    st.subheader("3 · Seeds and sample sizes", anchor=False)
    st.session_state.setdefault("v_seeds", ", ".join(map(str, DEMO.seeds)))
    machines = {"auto": "auto", **{device.name: device.label for device in devices()}}
    option("v_device", list(machines), "auto")
    left, right = st.columns(2)
    seeds = left.text_input(
        "Seeds of retraining", key="v_seeds", help="Each seed trains every model once more; two or more show the noise."
    )
    spots["seeds"] = left.empty()
    device = right.selectbox("Device", list(machines), format_func=shown_as(machines), key="v_device")
    added = additions_section(spots, known)
    st.session_state.setdefault("v_estimate_seeds", ", ".join(map(str, DEMO.estimate_seeds)))
    with st.expander("What the methods see"):
        places = st.columns(3)
        draws = places[0].text_input(
            "Seeds of the estimates",
            key="v_estimate_seeds",
            help="Each draws half of the prompts.",
        )
        spots["estimate_seeds"] = places[0].empty()
        blocks = places[1].number_input("Blocks per subset (mean)", min_value=1, step=1, key="v_samples_per_subset")
        limit = places[2].number_input(
            "Max items per side", min_value=1, step=1, key="v_limit", placeholder="all of them"
        )
    if blocks is None:
        raise InputError("blocks per subset is empty", field="samples_per_subset", hint="fill it in")
    return {
        "seeds": _seeds(seeds, "seeds"),
        "estimate_seeds": _seeds(draws, "estimate_seeds"),
        "samples_per_subset": blocks,
        "limit": limit,
        **added,
        "device": device,
    }


def additions_section(spots: Spots, known: Shelf) -> dict[str, Any]:
    """What is trained beside leave-one-out: halves of the subsets or of their documents, pairs, and controls."""
    numbers = {}
    for place, (field, (label, meaning)) in zip(st.columns(len(TRAININGS)), TRAININGS.items(), strict=True):
        st.session_state.setdefault(f"v_{field}", 0)
        asked = place.number_input(
            label, min_value=0, max_value=1000, step=1, key=f"v_{field}", help=f"{meaning} 0: none."
        )
        numbers[field] = asked or 0
        spots[field] = place.empty()
    held_among("v_controls", control_frames.NAMES, [])
    controls = st.multiselect(
        "Negative controls",
        list(control_frames.NAMES),
        format_func=shown_as(control_frames.NAMES),
        key="v_controls",
        placeholder="None",
        help="Text whose influence is known beforehand: two halves of the first subset must have the same, documents "
        "drawn from all subsets none. Retraining and every method are asked, which doubles the time of the methods.",
    )
    spots["controls"] = st.empty()
    for field, value in WRITING.items():
        st.session_state.setdefault(f"v_{field}", value)
    sets = [known["prompts"][one].name for one in st.session_state.get("v_prompts", []) if one in known["prompts"]]
    generation = writing_section(
        PREFIX, sets, "Let the leave-out models write: does the ranking tell how often it is harmful?", "generation",
        (LEXICON, *KNOWN, CLASSIFIER),
    )  # fmt: skip
    spots["generation"] = st.empty()
    return {
        **numbers,
        "generation": generation,
        "controls": [name for name in control_frames.NAMES if name in controls],
    }


def _seeds(text: str, where: str) -> list[int]:
    try:
        return parse_seeds(text)
    except InputError as error:
        raise InputError(error.message, field=where, hint=error.hint) from None
