"""Where an unlearning's model and data come from, and what else its request rests on; nothing here draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.layout.context import context
from pages.components.layout.results import cached_result
from pages.components.results import example_data
from pages.components.trace.form import Shelf
from untrac_core.engine import DEMO_RUN, Run, Store
from untrac_core.engine.checks import RECIPE, demo_unlearning, read_records, unlearn_inputs
from untrac_core.engine.library.sources import distinct_ids, fetch_tokenizer, model_info, read_tokenizer
from untrac_core.errors import InputError
from untrac_core.results.folders import EXAMPLES, TraceFiles
from untrac_core.specs import ModelRef, PromptSet, Recipe, Subset, Training, TrainSpec, UnlearnSpec
from untrac_core.specs.build import build
from untrac_core.specs.catalogue import UNLEARNING
from untrac_core.specs.files import load_spec

PREFIX = "u_"
DEMO, LIBRARY = "demo", "library"
TRACES_MOST = 40
RECIPE_FILE = "recipe.yaml"
SHARED = ("learning_rate", "batch_size", "retain", "trainable")
"""Settings that hold for what is compared, too."""
ASKED_OF = {"trace": "u_from", "subset": "u_subset", "texts": "u_texts", "prompts": "u_texts_set", "on": "u_texts_on"}


@dataclass(frozen=True)
class Origin:
    """What an unlearning can choose from."""

    model: ModelRef | None
    prompts: list[PromptSet]
    subsets: list[Subset]
    block_size: int | None = None
    trace: Run | None = None
    """Whose first texts can be taken."""
    parameters: float = 0.0

    @property
    def is_demo(self) -> bool:
        """Whether it is the demo's own model with the demo's subsets."""
        return (
            self.model is not None
            and (self.model.path, self.model.adapter) == ("demo", None)
            and set(_names(self.subsets)) == set(_names(demo_unlearning().subsets))
        )


def _names(parts: list[Subset] | list[PromptSet]) -> list[str]:
    return [part.name for part in parts]


def choices(store: Store, wanted: str | None = None) -> dict[str, str]:
    """Where model and data can come from, in words: finished traces, the demo where none stands for it, the library."""
    runs = [run for run in store.runs(kind="trace", limit=TRACES_MOST) if run.status == "done"]
    if wanted is not None and wanted not in [run.id for run in runs]:
        try:
            named = store.run(wanted)
            runs += [named] if named.kind == "trace" and named.status == "done" else []
        except InputError:  # it has been deleted
            pass
    found = {run.id: f"the trace: {run.name}" for run in runs}
    first = {DEMO_RUN: found.pop(DEMO_RUN)} if DEMO_RUN in found else {DEMO: "the demo"}
    found = {**first, **found}
    return found | {LIBRARY: "models, prompt sets and subsets of the library"}


def first_choice(known: Mapping[str, str], shelf: Shelf) -> str:
    """The trace that is looked at; else the demo, or what was set up for a trace in this session."""
    if context().run in known:
        return context().run
    model = draft.peek("t_").get("t_model")
    return LIBRARY if model in shelf["model"] and model != DEMO else next(iter(known))


def of_trace(store: Store, run_id: str) -> Origin:
    """A finished trace's model and data; all of its subsets' text.

    Raises:
        InputError: when there is no such trace.
    """
    run = store.run(run_id)
    spec = run.spec
    if spec.kind != "trace":
        raise InputError("this run is no trace", field="from", hint="choose another")
    return Origin(spec.model, spec.prompts, _whole(spec.subsets), spec.block_size, run, _parameters(spec.model))


def of_demo() -> Origin:
    """The demo's model and data."""
    spec = demo_unlearning()
    return Origin(spec.model, spec.prompts, spec.subsets)


def of_library(shelf: Shelf, model: str, prompts: list[str], subsets: list[str]) -> Origin:
    """What was chosen of the library; raises :class:`InputError` for what cannot be used."""
    for kind, ids in (("model", [model]), ("prompts", prompts), ("subset", subsets)):
        for one in ids:
            entry = shelf[kind].get(one)
            if entry is not None and entry.problem:
                raise InputError(entry.problem.rstrip("."), field=kind)
    entry = shelf["model"].get(model)
    if entry is None or not isinstance(entry.value, ModelRef):
        raise InputError("no model is chosen", field="model", hint="add one on the page Models")
    chosen = [value for one in prompts if isinstance(value := shelf["prompts"][one].value, PromptSet)]
    texts = [value for one in subsets if isinstance(value := shelf["subset"][one].value, Subset)]
    return Origin(entry.value, chosen, _whole(texts), parameters=float(entry.facts.get("parameters") or 0))


def _whole(subsets: list[Subset]) -> list[Subset]:
    """All text: a model was trained on more than a trace looked at."""
    return [subset.model_copy(update={"limit": None}) for subset in subsets]


@st.cache_data(max_entries=32, ttl=600, show_spinner=False)
def _counted(model: str) -> float:
    try:
        return float(model_info(ModelRef.model_validate_json(model)).parameters)
    except InputError:  # the check says so
        return 0.0


def _parameters(model: ModelRef) -> float:
    return _counted(model.model_dump_json())


# --- the recipe -------------------------------------------------------------------------------------------------------


def recipe_of(origin: Origin) -> TrainSpec | None:
    """How the model was trained, where that is known: the demo's, or the recipe that lies in a local model's folder."""
    model = origin.model
    if model is None or model.adapter is not None:
        return None
    if model.path == DEMO:
        return RECIPE
    file = Path(model.path) / RECIPE_FILE
    if not Path(model.path).is_absolute() or not file.is_file():
        return None
    try:
        spec = load_spec(file)
    except InputError:
        return None
    return spec if isinstance(spec, TrainSpec) else None


def strangers(recipe: TrainSpec, origin: Origin) -> list[str]:
    """The recipe's subsets, where they are not the chosen ones: retraining on others would be no retrained model."""
    return [] if set(_names(recipe.subsets)) == set(_names(origin.subsets)) else _names(recipe.subsets)


def training_of(recipe: TrainSpec) -> dict[str, Any]:
    """The recipe without its data, as a request has it."""
    return Training(**{name: getattr(recipe, name) for name in Recipe.model_fields}).model_dump()


# --- single texts -----------------------------------------------------------------------------------------------------


def result_of(origin: Origin) -> TraceFiles | None:
    """The trace's result, where it has numbers for single training texts."""
    if origin.trace is None:
        return None
    try:
        result: TraceFiles = cached_result(origin.trace)
    except (InputError, OSError):
        return None
    return result if result.has(EXAMPLES) else None


def first_texts(run: Run, prompt_set: str, side: str, among: str | None, number: int, trained: Any) -> pd.DataFrame:
    """The most influential texts of a trace, of those that the model was ``trained`` on (ids by subset; or ``None``).

    Columns subset, id, text, influence, low, high; ``attrs['passed']``: how many were passed over on the way.
    """
    rows = example_data.texts(run, prompt_set, side, among).sort_values("influence", ascending=False, kind="stable")
    seen = [True] * len(rows)
    if trained is not None:
        seen = [name in trained.get(subset, ()) for subset, name in zip(rows["subset"], rows["id"], strict=True)]
    kept = rows[seen].head(number)
    places = [place for place, own in enumerate(seen) if own][:number]
    found = kept[["subset", "id", "text", "influence", "low", "high"]].reset_index(drop=True)
    found.attrs["passed"] = places[-1] + 1 - len(places) if places else len(rows)
    return found


def trained_ids(
    origin: Origin, training: dict[str, Any] | None, block_size: int | None
) -> dict[str, frozenset[str]] | None:
    """The ids of all texts that the model was trained on, by subset; ``None`` where that is only known in the run."""
    if origin.model is None or len(origin.subsets) < 2:
        return None
    values = {
        "model": origin.model.model_dump(),
        "forget": {"subset": origin.subsets[0].name},
        "subsets": [subset.model_dump() for subset in origin.subsets],
        "compare": [],
        "stop": {"rule": "fixed"},
        "training": training,
        "block_size": None if training else block_size,
    }
    try:
        return _ids(build(UnlearnSpec, values, where="request").model_dump_json())
    except InputError:  # the check of the whole request says so
        return None


@st.cache_resource(max_entries=4, ttl=600, show_spinner="Looking for the texts in the training")
def _ids(spec: str) -> dict[str, frozenset[str]] | None:
    request = UnlearnSpec.model_validate_json(spec)
    encoder = read_tokenizer(fetch_tokenizer(request.model))
    if encoder is None:
        return None
    data = unlearn_inputs(request, read_records(request), encoder, model_info(request.model).context)
    blocks = data.trained or {**data.retain, str(request.forget.subset): data.forget}
    return {name: frozenset(distinct_ids(each)) for name, each in blocks.items()}


# --- methods ----------------------------------------------------------------------------------------------------------


def method_values(chosen: str, beside: list[str], given: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The method and what is run beside it; ``given``: the settings that were named."""
    wanted = {name: value for name, value in given.items() if value is not None}
    shared = {name: value for name, value in wanted.items() if name in SHARED}

    def taken(name: str, settings: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, **{key: value for key, value in settings.items() if key in UNLEARNING[name].takes}}

    return taken(chosen, wanted), [taken(name, shared) for name in beside]
