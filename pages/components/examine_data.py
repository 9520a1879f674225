"""What the examples page knows of deep checks: which there are of a trace, what they found, what one would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components import influence_data
from untrac_core.costs import Load, Workload
from untrac_core.devices import device_facts
from untrac_core.engine import Run, Store
from untrac_core.errors import InputError
from untrac_core.model_files import find_adapter, find_model, inspect_model
from untrac_core.results import Examination, Result, load_examination
from untrac_core.spec_files import build
from untrac_core.specs import ExamineSpec

FIRST = 10
"""Texts of the list that a check takes, and as many controls."""
LOOKED_AT = 12
"""Of a trace's newest checks."""
Texts = list[tuple[str, str]]
"""Subset and id of each."""


@dataclass(frozen=True)
class Found:
    """A deep check of a trace; ``same``: of the very texts that stand first in the list."""

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
        if isinstance(spec, ExamineSpec) and spec.prompt_set == prompt_set:
            found.append(Found(one, {(text.subset, text.id) for text in spec.texts} == set(texts)))
    order = {"done": 0, **dict.fromkeys(("queued", "running", "cancelling"), 1)}
    return min(found, key=lambda one: (not one.same, order.get(one.run.status, 2)), default=None)


def request(run: Run, result: Result, prompt_set: str, texts: Texts) -> ExamineSpec:
    """A check of these texts, as the trace unlearned.

    Raises:
        InputError: when there is no such request.
    """
    values = {
        "name": f"Deep check of {run.name}"[:80],
        "trace": result.spec.model_dump(),
        "of": run.id,
        "prompt_set": prompt_set,
        "texts": [{"subset": subset, "id": name} for subset, name in texts],
        "controls": FIRST,
        "device": result.spec.device,
    }
    return build(ExamineSpec, values, where="request")


@st.cache_resource(max_entries=8, show_spinner=False)
def _load(folder: Path, changed: float) -> Examination:
    return load_examination(folder)


def load(run: Run) -> Examination:
    """What a finished check found; shared, so never altered.

    Raises:
        InputError, OSError: when the files cannot be read.
    """
    return _load(run.folder, run.changed)


@st.cache_resource(max_entries=16, show_spinner=False)
def _points(
    folder: Path, changed: float, trace: Path, trace_changed: float, prompt_set: str, side: str
) -> pd.DataFrame:
    checks = _load(folder, changed).checks
    checks = checks[checks["side"] == side]
    result = influence_data.load_folder(trace, trace_changed)
    columns = ["subset", "id", "influence", "low", "high"]
    scores = result.examples(prompt_set, side, ids=checks["id"].tolist(), columns=columns)
    names = {"influence": "score", "low": "score_low", "high": "score_high"}
    return checks.merge(scores.rename(columns=names), on=["subset", "id"])


def points(check: Run, trace: Run, prompt_set: str, side: str) -> pd.DataFrame:
    """The checked texts of one side with their scores: the columns of ``checks.parquet``, score, score_low, score_high.

    Kept for the next click and never to be altered.
    """
    places = (check.folder, check.changed, trace.folder, trace.changed)
    return _points(*places, prompt_set, side)


def about_seconds(result: Result, prompt_set: str, texts: int, rates: dict[str, float]) -> float:
    """About how long a check of so many texts takes with its controls; not a number where that cannot be told."""
    return _seconds(result.folder, prompt_set, texts + FIRST, tuple(sorted(rates.items())), result)


@st.cache_data(max_entries=64, show_spinner=False)
def _seconds(folder: Path, prompt_set: str, texts: int, rates: Sequence[tuple[str, float]], _result: Result) -> float:
    from untrac_core.examination_check import price

    spec, counted = _result.spec, _result.summary.get("data", {})
    try:
        model, device = find_model(spec.model), device_facts(spec.device)
        if model is None:
            return math.nan
        facts = inspect_model(model, spec.model.path, adapter=find_adapter(spec.model), adapter_name=spec.model.adapter)
        block = math.ceil(max(part["tokens"] / part["blocks"] for part in counted["subsets"].values()))
        sides = [Load(part["items"], part["tokens"]) for part in counted["prompt_sets"][prompt_set].values()]
        work = Workload([Load(1, block)] * texts, sides, block, block, 1)
        return price(facts, spec, work, device, dict(rates)).seconds
    except (InputError, OSError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return math.nan
