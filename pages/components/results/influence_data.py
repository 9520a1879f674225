"""What the influence page draws of a result, kept between visits; nothing here draws."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components.layout.results import cached_folder, cached_result
from untrac_core.engine import Run
from untrac_core.errors import InputError
from untrac_core.explore.tables import Scale, fits, scale_of
from untrac_core.explore.tables import trace_frames as frames
from untrac_core.results.folders import TraceFiles
from untrac_core.specs.catalogue import method_title

VALIDATIONS_MOST = 12
"""That are looked at, from the latest on, for one that calibrates a trace."""


@dataclass(frozen=True)
class Picture:
    """What is drawn of one side of a prompt set: frames as those of :mod:`untrac_core.tasks.trace.frames`.

    ``key``: what a cache knows it by. ``scale``: the ranking in the unit in which it is shown. ``ranks``: by the method
    and by each baseline. ``agreement``: how far each baseline agrees with the ranking, in words that may be a user's
    (show as text). ``numbers``: the ranking with the truth beside it.
    """

    key: tuple[Hashable, ...]
    ranked: pd.DataFrame
    scale: Scale
    groups: list[list[str]] | None
    beside: pd.DataFrame
    ranks: pd.DataFrame
    agreement: list[str]
    path: pd.DataFrame
    retrained: pd.DataFrame
    planted: pd.DataFrame
    numbers: pd.DataFrame


@st.cache_resource(max_entries=32, show_spinner=False)
def _picture(folder: Path, changed: float, prompt_set: str, side: str, by: tuple[Path, float] | None) -> Picture:
    result = cached_folder("trace", folder, changed)
    scale = scale_of(result, prompt_set, side, cached_folder("validate", *by) if by else None)
    own = method_title(result.spec.method.name)
    ranked = frames.ranking(result.summary, prompt_set, side)
    beside = frames.baselines(result.summary, prompt_set, side)
    agreement = frames.of_side(result.summary.get("agreement", []), prompt_set, side)
    retrained = frames.with_ground_truth(ranked, result.ground_truth, prompt_set, side)
    planted = frames.with_planted(ranked, result.planted, prompt_set, side)
    return Picture(
        key=(folder, changed, prompt_set, side, *(by or ())),
        ranked=ranked,
        scale=scale,
        groups=frames.groups(result.summary, prompt_set, side),
        beside=beside,
        ranks=pd.DataFrame() if beside.empty else frames.rank_table(ranked, beside, own),
        agreement=[frames.agreement_in_words(row, beside, own) for row in agreement],
        path=frames.trajectory(result.influence, prompt_set, side),
        retrained=retrained,
        planted=planted,
        numbers=_numbers(ranked, scale, true=retrained, planted=planted),
    )


def _numbers(ranked: pd.DataFrame, scale: Scale, **truths: pd.DataFrame) -> pd.DataFrame:
    """The ranking as it is shown, with ``own``, its influence in the method's unit, where that is another."""
    told = ["yes" if settled else "no" for settled in ranked["separable"]]
    told = ["no: collapsed" if gone else word for word, gone in zip(told, ranked["collapsed"], strict=True)]
    table = scale.ranked.drop(columns="collapsed").assign(separable=told)
    if not scale.ranked.equals(ranked):
        table = table.assign(own=ranked["influence"])
    for name, pairs in truths.items():
        if not pairs.empty:
            table = table.merge(pairs[["subset", "truth"]].rename(columns={"truth": name}), on="subset", how="left")
    return table[["rank", *[name for name in table.columns if name != "rank"]]]


def picture(run: Run, prompt_set: str, side: str, validation: Run | None = None) -> Picture:
    """The frames of one side, computed once for all visits, so that switching sides is quick; never to be altered.

    ``validation``: a finished one by which numbers are calibrated.
    """
    by = (validation.folder, validation.changed) if validation else None
    return _picture(run.folder, run.changed, prompt_set, side, by)


def calibrated_by(result: TraceFiles, validations: Sequence[Run]) -> Run | None:
    """The first of these that asked the same method about the same texts; one that cannot be read is passed over."""
    for run in validations[:VALIDATIONS_MOST]:
        try:
            if run.status == "done" and fits(result, cached_result(run)):
                return run
        except (InputError, OSError):
            continue
    return None
