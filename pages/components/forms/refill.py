"""A form filled in from a run: its model, prompt sets and subsets as the library has them, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from untrac_core.engine import Run, Store
from untrac_core.engine.library.library import Entry
from untrac_core.errors import InputError
from untrac_core.specs import ModelRef, Subset, TraceSpec
from untrac_core.specs.catalogue import UNTRAC
from untrac_core.text.numbers import count

KINDS = {"prompts": "prompts", "subsets": "subset"}
TOLD = "filled_from"
LEFT_OUT = "left_out_of_trace"
"""What a page brings to the form of a trace: a run's id, and its request less some rows."""
WITHOUT = "without"
"""In a form: the rows that are left out, by the source of their subset."""


def refill(known: Mapping[str, Mapping[str, Entry]], spec: TraceSpec, prefix: str) -> list[str]:
    """Empty a form and choose a trace's model and data in it; returns the names of what the library lacks."""
    for key in [key for key in st.session_state if str(key).startswith(prefix)]:
        del st.session_state[key]
    missing = []
    models = {e.value.path: one for one, e in known["model"].items() if isinstance(e.value, ModelRef)}
    if spec.model.path in models:
        st.session_state[f"{prefix}model"] = models[spec.model.path]
    else:
        missing.append("its model")
    for data, asked in (("prompts", spec.prompts), ("subsets", spec.subsets)):
        entries = {_source(entry.value): one for one, entry in known[KINDS[data]].items()}
        sources = {part.name: _source(part) for part in asked}
        st.session_state[f"{prefix}{data}"] = [entries[source] for source in sources.values() if source in entries]
        missing += [name for name, source in sources.items() if source not in entries]
    st.session_state[f"{prefix}{WITHOUT}"] = {_source(one): one.without for one in spec.subsets if one.without}
    return missing


def refill_trace(known: Mapping[str, Mapping[str, Entry]], spec: TraceSpec, prefix: str) -> list[str]:
    """As :func:`refill`, with the method, its settings and all that the form of a trace has besides."""
    missing = refill(known, spec, prefix)
    settings = spec.method.settings() if spec.method.name in UNTRAC else {}
    values: dict[str, Any] = {
        "dtype": spec.model.dtype,
        "limit_prompts": spec.prompts[0].limit,
        "limit_subsets": spec.subsets[0].limit if spec.subsets else None,
        "block_size": spec.block_size,
        "method": spec.method.name if spec.method.name in UNTRAC else "untrac-inv",
        "preset": spec.method.variant or "robust",
        "trainable": settings.get("trainable") or "preset",
        "seeds": ", ".join(map(str, spec.seeds)),
        "weighting": spec.weighting,
        "device": spec.device,
        "baselines": list(spec.baselines),
        "name": f"{spec.name}, again"[:80],
        **{
            name: settings.get(name)
            for name in ("steps", "eval_points", "batch_size", "relative_step", "learning_rate", "max_loss_increase")
        },
    }
    for name, value in values.items():
        st.session_state[f"{prefix}{name}"] = value
    return missing


def without(prefix: str, subset: Subset) -> Subset:
    """A subset of the library, less the rows that the form leaves out."""
    held = st.session_state.get(f"{prefix}{WITHOUT}")
    rows = held.get(_source(subset)) if isinstance(held, dict) else None
    return Subset.model_validate(subset.model_dump() | {"without": rows}) if rows else subset


def tell_without(prefix: str, subsets: Sequence[Subset]) -> None:
    """How many rows the form leaves out, and the way to take them in again."""
    rows = sum(len(without(prefix, subset).without) for subset in subsets)
    if not rows:
        return

    def take_in() -> None:
        st.session_state.pop(f"{prefix}{WITHOUT}", None)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{count(rows, 'row')} of these subsets {'is' if rows == 1 else 'are'} left out.")
        st.button("Put them back", on_click=take_in, key=f"take_in_{prefix}")


def brought_trace(store: Store, run_id: str | None) -> Run | None:
    """The trace that the address brought; ``None`` where it brought none, or one that is gone."""
    if run_id is None:
        return None
    try:
        run = store.run(run_id)
    except InputError:
        return None
    return run if run.kind == "trace" else None


def tell_refilled(prefix: str) -> None:
    """Which run filled the form, and what of it is not in the library."""
    held = st.session_state.get(f"{prefix}{TOLD}")
    if held is None:
        return
    name, missing = held
    with st.container(border=True, gap="xxsmall"):
        st.caption("Filled in from the run")
        st.text(name)
        if missing:
            st.caption("Not in the library, so to be added or left out:")
            st.text(", ".join(missing))


def note_refilled(prefix: str, name: str, missing: list[str]) -> None:
    """Remember for :func:`tell_refilled`."""
    st.session_state[f"{prefix}{TOLD}"] = (name, missing)


def _source(value: Any) -> str:
    return str(value.source.model_dump_json()) if getattr(value, "source", None) is not None else ""
