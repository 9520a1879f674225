"""What the examples page knows of verifications: which a trace has, what they found, what one would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components.layout.results import cached_folder
from untrac_core.engine import Run, Store
from untrac_core.engine.library.sources import find_adapter, find_model, inspect_model
from untrac_core.errors import InputError
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import VerifySpec
from untrac_core.specs.build import build

FIRST = 10
"""Texts of the list that a check takes, and as many controls."""
LOOKED_AT = 12
"""Of a trace's newest checks."""
Texts = list[tuple[str, str]]
"""Subset and id of each."""


@dataclass(frozen=True)
class Found:
    """A verification of a trace; ``same``: of the very texts that stand first in the list."""

    run: Run
    same: bool


def first_of(rows: pd.DataFrame) -> Texts:
    """The texts that a check of this list would take."""
    head = rows.head(FIRST)
    return list(zip(head["subset"].astype(str), head["id"].astype(str), strict=True))


def newest(store: Store, run: Run, prompt_set: str, texts: Texts) -> Found | None:
    """The check to show: of these texts before others, a finished one before one under way, the newest first."""
    found = []
    for one in store.runs(limit=LOOKED_AT, of=run.id):
        spec = one.spec
        if spec.kind == "verify" and spec.prompt_set == prompt_set:
            found.append(Found(one, {(text.subset, text.id) for text in spec.texts} == set(texts)))
    order = {"done": 0, **dict.fromkeys(("queued", "running", "cancelling"), 1)}
    return min(found, key=lambda one: (not one.same, order.get(one.run.status, 2)), default=None)


def request(run: Run, result: TraceFiles, prompt_set: str, texts: Texts) -> VerifySpec:
    """A check of these texts, as the trace unlearned.

    Raises:
        InputError: when there is no such request.
    """
    values = {
        "name": f"Verification of {run.name}"[:80],
        "trace": result.spec.model_dump(),
        "of": run.id,
        "prompt_set": prompt_set,
        "texts": [{"subset": subset, "id": name} for subset, name in texts],
        "controls": FIRST,
        "device": result.spec.device,
    }
    return build(VerifySpec, values, where="request")


@st.cache_resource(max_entries=16, show_spinner=False)
def _points(
    folder: Path, changed: float, trace: Path, trace_changed: float, prompt_set: str, side: str
) -> pd.DataFrame:
    verified_examples = cached_folder("verify", folder, changed).verified_examples
    verified_examples = verified_examples[verified_examples["side"] == side]
    result = cached_folder("trace", trace, trace_changed)
    columns = ["subset", "id", "influence", "low", "high"]
    scores = result.examples(prompt_set, side, ids=verified_examples["id"].tolist(), columns=columns)
    names = {"influence": "score", "low": "score_low", "high": "score_high"}
    return verified_examples.merge(scores.rename(columns=names), on=["subset", "id"])


def points(check: Run, trace: Run, prompt_set: str, side: str) -> pd.DataFrame:
    """One side's verified texts: the columns of ``verified_examples.parquet``, score, score_low, score_high.

    Kept for the next click and never to be altered.
    """
    places = (check.folder, check.changed, trace.folder, trace.changed)
    return _points(*places, prompt_set, side)


def about_seconds(result: TraceFiles, prompt_set: str, texts: int, rates: dict[str, float]) -> float:
    """About how long a check of so many texts takes with its controls; not a number where that cannot be told."""
    return _seconds(result.folder, prompt_set, texts + FIRST, tuple(sorted(rates.items())), result)


@st.cache_data(max_entries=64, show_spinner=False)
def _seconds(
    folder: Path, prompt_set: str, texts: int, rates: Sequence[tuple[str, float]], _result: TraceFiles
) -> float:
    from untrac_core.engine.checks import Load, Workload, device_info, price

    spec, counted = _result.spec, _result.summary.get("data", {})
    try:
        model, device = find_model(spec.model), device_info(spec.device)
        if model is None:
            return math.nan
        facts = inspect_model(model, spec.model.path, adapter=find_adapter(spec.model), adapter_name=spec.model.adapter)
        block_size = math.ceil(max(part["tokens"] / part["blocks"] for part in counted["subsets"].values()))
        sides = [Load(part["items"], part["tokens"]) for part in counted["prompt_sets"][prompt_set].values()]
        work = Workload([Load(1, block_size)] * texts, sides, block_size, block_size, 1)
        return price(facts, spec, work, device, dict(rates)).seconds
    except (InputError, OSError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return math.nan
