"""A model of the library: its facts, what each method would need with it, and samples of what it writes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.forms.jobs import launch, watch
from pages.components.forms.source_picker import option
from pages.components.layout.labels import DTYPES, MODEL_KINDS, TRAINABLE, bytes_in_words, number, shown_as
from pages.components.layout.masked_tables import completions_table
from pages.components.library.library_views import card_head, facts, origin, table
from untrac_core.engine import Run, Store
from untrac_core.engine.checks import REFERENCE, devices, needs
from untrac_core.engine.library.library import Entry
from untrac_core.engine.library.sources import AdapterInfo, ModelInfo
from untrac_core.errors import InputError
from untrac_core.specs import FetchSpec, GenerateSpec, ModelRef, method_spec
from untrac_core.specs.build import build
from untrac_core.specs.catalogue import PRESETS, UNTRAC
from untrac_core.text.numbers import count, duration, megabytes

SAMPLE_PROMPTS = ("The people of the valley", "Yesterday at the market", "Everybody knows that", "My neighbour is")
TEXT = st.column_config.TextColumn


def models_table(entries: Sequence[Entry]) -> None:
    """Every model with what its files say."""
    columns = {
        "architecture": [_said(entry, "architecture") for entry in entries],
        "parameters": [number(entry.facts.get("parameters")) for entry in entries],
        "context": [_context(entry) for entry in entries],
        "dtype": [_said(entry, "dtype") for entry in entries],
        "adapter": [_adapter_in_short(entry) for entry in entries],
        "licence": [_said(entry, "licence") for entry in entries],
        "origin": [entry.origin for entry in entries],
    }
    config = {
        "architecture": TEXT("Architecture", width=140),
        "parameters": TEXT("Parameters", width=90),
        "context": TEXT("Context", width=85),
        "dtype": TEXT("Stored as", width=75),
        "adapter": TEXT("Adapter", width=68),
        "licence": TEXT("Licence", width=80),
        "origin": TEXT("From", width=118),
    }
    table("model", entries, columns, config, name_width=130)


def _said(entry: Entry, name: str) -> str:
    return str(entry.facts.get(name) or "not said")


def _context(entry: Entry) -> str:
    return count(int(entry.facts["context"]), "token") if entry.facts.get("context") else "not said"


def _adapter_in_short(entry: Entry) -> str:
    adapter = entry.facts.get("adapter")
    return f"rank {adapter.get('rank')}" if isinstance(adapter, dict) else "none"


def card(entry: Entry, store: Store) -> None:
    """One model: facts, what it needs here, what it writes, and what can be done with it."""
    ref = entry.value
    assert isinstance(ref, ModelRef)  # noqa: S101 - the library's own promise
    with st.container(border=True, key="model"):
        card_head(entry)
        facts(_facts(entry, ref))
        origin(entry)
        here = bool(entry.facts.get("here", True))
        if not here:
            _download(entry, ref, store)
        first, second = st.tabs(["What it needs here", "What it writes"])
        with first:
            needs_table(entry, ref, store)
        with second:
            samples(entry, ref, store)


def _facts(entry: Entry, ref: ModelRef) -> dict[str, str]:
    told = entry.facts
    pairs = {
        "Architecture": _said(entry, "architecture"),
        "Kind": MODEL_KINDS.get(str(told.get("kind")), "not said"),
        "Parameters": number(told.get("parameters")),
        "Layers": str(told.get("num_layers") or "not said"),
        "Context": _context(entry),
        "Vocabulary": count(int(told.get("vocab_size") or 0), "token"),
        "Tokenizer": _said(entry, "tokenizer"),
        "Weights": f"{bytes_in_words(float(told.get('weight_bytes') or 0))}, {_said(entry, 'dtype')}",
        "Licence": _said(entry, "licence"),
        "Data type": DTYPES[ref.dtype],
        "On this machine": "yes" if told.get("here", True) else "not yet",
    }
    if ref.revision:
        pairs["Commit"] = ref.revision[:12]
    adapter = told.get("adapter")
    if isinstance(adapter, dict):
        targets = adapter.get("targets") or []
        pairs["Adapter"] = f"rank {adapter.get('rank')}, {number(adapter.get('parameters'))} parameters"
        pairs["It changes"] = ", ".join(str(name) for name in targets[:8])
    return pairs


def _download(entry: Entry, ref: ModelRef, store: Store) -> None:
    size = bytes_in_words(float(entry.facts.get("weight_bytes") or 0))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Its weights ({size}) are not on this machine yet; a run would fetch them first.")
        if st.button("Download now", icon=":material/download:", key="download"):
            spec = build(FetchSpec, {"name": f"Download {entry.name}"[:80], "models": [ref]}, where="model")
            if launch(spec, store):
                st.rerun()


def facts_of(entry: Entry) -> ModelInfo:
    """The entry's facts as the core knows them; raises KeyError or TypeError where some are missing."""

    def made(kind: Any, told: dict[str, Any]) -> Any:
        names = {field.name for field in dataclasses.fields(kind)}
        return kind(**{"folder": None, **{name: value for name, value in told.items() if name in names}})

    adapter = entry.facts.get("adapter")
    told = {**entry.facts, "adapter": made(AdapterInfo, adapter) if isinstance(adapter, dict) else None}
    return made(ModelInfo, told)


def needs_table(entry: Entry, ref: ModelRef, store: Store) -> None:
    """Memory and time of each method on each device, and whether it fits."""
    left, right = st.columns(2)
    option("needs_dtype", list(DTYPES), ref.dtype)
    option("needs_trainable", list(TRAINABLE), "preset")
    dtype = left.selectbox("Data type", list(DTYPES), format_func=shown_as(DTYPES), key="needs_dtype")
    trainable = right.selectbox(
        "Trainable parameters", list(TRAINABLE), format_func=shown_as(TRAINABLE), key="needs_trainable"
    )
    chosen = {} if trainable == "preset" else {"trainable": trainable}
    rows = []
    try:
        facts_known, rates = facts_of(entry), store.rates()
        for device in devices():
            for name, preset in itertools.product(UNTRAC, PRESETS):
                method = method_spec(name, preset=preset, **chosen)
                found = needs(facts_known, method, str(dtype), device, rates=rates)
                rows.append(
                    {
                        "Device": f"{device.name}: {device.label}, {megabytes(device.memory_mb)}",
                        "Method": f"{UNTRAC[name].title}, {preset}",
                        "Data type": found.dtype,
                        "Memory": f"about {megabytes(found.memory_mb)}",
                        "Time": f"about {duration(found.seconds)}",
                        "Here": "fits" if found.fits else "does not fit",
                    }
                )
    except (InputError, KeyError, TypeError, ValueError) as error:
        st.text(str(error) if isinstance(error, InputError) else "Its files do not say enough to tell.")
        return
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="What each method needs on each device, and whether it fits")
    st.caption(f"Estimates, right within a factor of two or three, for a reference request: {REFERENCE}.")


def samples_of(entry: Entry, store: Store) -> Run | None:
    """The newest run that let this model write without a scorer, if any."""
    for run in store.runs(kind="generate"):
        spec = run.spec
        if spec.kind == "generate" and spec.scorer is None and spec.model == entry.value:
            return run
    return None


def samples(entry: Entry, ref: ModelRef, store: Store) -> None:
    """What the model writes after a few words, masked until asked for."""
    run = samples_of(entry, store)
    st.session_state.setdefault("samples_texts", "\n".join(SAMPLE_PROMPTS))
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    texts = left.text_area("Prompts to continue, one per line", key="samples_texts", height=120, max_chars=4000)
    busy = run is not None and run.active
    if right.button("Write samples", icon=":material/edit_note:", key="write", disabled=busy, width="stretch"):
        wanted = [line.strip() for line in texts.splitlines() if line.strip()][:20]
        values: dict[str, Any] = {
            "name": f"Samples of {entry.name}"[:80],
            "model": ref,
            "texts": wanted,
            "sampling": {"samples": 2, "tokens": 40},
        }
        try:
            spec = build(GenerateSpec, values, where="samples")
        except InputError as error:
            st.text(str(error))
        else:
            if launch(spec, store, watch_it=False):
                st.rerun()
    if run is None:
        st.caption("Nothing was written yet. It takes some seconds on a small model, minutes on a large one.")
    elif run.status != "done":
        watch(store, run)
    else:
        completions_table(run, key=f"samples_{run.id}", most=40)
