"""What the compare page draws: views joined, their agreement and what differs, computed once; nothing here draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.components.compare.selection import Choice, finished
from pages.components.layout.results import cached_result
from untrac_core.engine import Run, Store
from untrac_core.errors import InputError
from untrac_core.explore.agreement import RankAgreement, rank_agreement
from untrac_core.explore.comparison import ComparedViews
from untrac_core.explore.ranking_view import LETTERS, RankingView, view_of
from untrac_core.figures.base import LETTERS as LETTERS_SIZE
from untrac_core.results.folders import TraceFiles
from untrac_core.specs.diff import differences

Key = tuple[Path, float, Choice, str]


def _key(run: Run, choice: Choice) -> Key:
    return run.folder, run.changed, choice, run.name  # a run may be renamed


# What begins with an underscore is not part of a cache's key.
@st.cache_resource(max_entries=64, show_spinner=False)
def _view(key: Key, _result: TraceFiles) -> RankingView:
    choice, sets = key[2], _result.spec.prompts
    if choice.number > len(sets):
        what = f"run {choice.run} has {len(sets)} prompt sets, and this address asks for number {choice.number}"
        raise InputError(what, hint="choose one of its prompt sets")
    try:
        view = view_of(_result, sets[choice.number - 1].name, choice.side, choice.method)
    except InputError:
        what = f"run {choice.run} has no ranking of that side by that method"
        raise InputError(what, hint="choose another side, method or prompt set") from None
    return replace(view, run_name=key[3])


@dataclass(frozen=True)
class Seen:
    """A view with its run, its result and how the address names it."""

    choice: Choice
    run: Run
    result: TraceFiles
    view: RankingView

    @property
    def key(self) -> Key:
        """What a cache knows it by."""
        return _key(self.run, self.choice)


def as_item(seen: Seen) -> dict[str, str]:
    """A view as a composed report names it."""
    place = {"run": seen.choice.run, "prompt_set": seen.view.prompts.name, "side": seen.view.side}
    return place | ({"method": seen.choice.method} if seen.choice.method else {})


def open_views(store: Store, choices: Sequence[Choice]) -> tuple[list[Seen], list[str]]:
    """The views that can be shown, and one line on each that cannot."""
    found: list[Seen] = []
    faults: list[str] = []
    runs: dict[str, Run] = {}
    for choice in choices:
        try:
            run = runs.get(choice.run) or finished(store, choice.run)
            runs[run.id] = run
            result: TraceFiles = cached_result(run)
            if choice.method == result.spec.method.name:
                choice = replace(choice, method=None)
            view = _view(_key(run, choice), result)
        except InputError as error:
            # Its own words only: a run's files may hold a user's.
            faults.append(str(error)[:1].upper() + str(error)[1:300])
        except (OSError, ValueError, KeyError, TypeError):
            faults.append(f"The files of run {choice.run} cannot be read. Choose another run, or run it again.")
        else:
            if all(choice != one.choice for one in found):
                found.append(Seen(choice, run, result, view))
    return found, list(dict.fromkeys(faults))


@st.cache_resource(max_entries=16, show_spinner=False)
def _comparison(keys: tuple[Key, ...], _views: list[RankingView]) -> ComparedViews:
    return ComparedViews(_views)


def comparison(seen: Sequence[Seen]) -> ComparedViews:
    """Two views or more, joined; computed once for all visits."""
    return _comparison(tuple(one.key for one in seen), [one.view for one in seen])


@st.cache_resource(max_entries=32, show_spinner=False)
def _answered(keys: tuple[Key, ...], letter: str, _found: ComparedViews) -> str:
    return _found.answer(letter)


def answered(seen: Sequence[Seen], letter: str) -> str:
    """What the subsets do in the baseline and in another view, in words that may be a user's (show as text)."""
    return _answered(tuple(one.key for one in seen), letter, comparison(seen))


@st.cache_resource(max_entries=16, show_spinner=False)
def _rows_shown(keys: tuple[Key, ...], letter: str, _found: ComparedViews) -> pd.DataFrame:
    source, columns = _found.table, {"Subset": _found.table["subset"]}
    for one in _found.letters:
        columns[f"Rank {one}"] = source[f"rank_{one}"]
        if one != "A":
            columns[f"Move {one}"] = source[f"move_{one}"]
            columns[f"{one} holds"] = _told(source["subset"], _found.holds[one])
    words = dict(_found.pair(letter)[["subset", "words"]].itertuples(index=False))
    columns[f"In A and {letter}"] = pd.Series(
        [words.get(subset, "not in both") for subset in source["subset"]], dtype=str
    )
    for one in _found.letters:
        for part, name in (("value", "Value"), ("low", "95% CI low"), ("high", "95% CI high")):
            columns[f"{name} {one}"] = source[f"{part}_{one}"]
        if f"difference_{one}" in source:
            for part, name in (("", ""), ("low_", " from"), ("high_", " to")):
                columns[f"{one} − A{name}"] = source[f"difference_{part}{one}"]
    return pd.DataFrame(columns)


def _told(subsets: pd.Series, holds: pd.Series) -> pd.Series:
    known = {subset: "yes" if held else "no" for subset, held in holds.items()}
    return pd.Series([known.get(subset, "") for subset in subsets], index=subsets.index, dtype=str)


def rows_shown(seen: Sequence[Seen], letter: str) -> pd.DataFrame:
    """The joined table with headings for people, a row for each of its rows; shared, so never to be altered."""
    return _rows_shown(tuple(one.key for one in seen), letter, comparison(seen))


@st.cache_resource(max_entries=64, show_spinner=False)
def _agreement(keys: tuple[Key, Key], _views: list[RankingView]) -> RankAgreement:
    return rank_agreement(*_views)


def agreement(first: Seen, second: Seen) -> RankAgreement:
    """How far two views agree; the order of the two does not matter."""
    one, two = sorted((first, second), key=lambda seen: str(seen.choice))
    return _agreement((one.key, two.key), [one.view, two.view])


@st.cache_resource(max_entries=32, show_spinner=False)
def _scatter(
    keys: tuple[Key, ...], letter: str, dark: bool, size: int, height: int, _found: ComparedViews
) -> go.Figure:
    return _found.scatter(letter, dark=dark, size=size, height=height)


def scatter(seen: Sequence[Seen], letter: str, *, dark: bool, size: int = LETTERS_SIZE, height: int = 460) -> go.Figure:
    """The baseline against another view, as points. ``size``: of the letters, in pixels."""
    return _scatter(tuple(one.key for one in seen), letter, dark, size, height, comparison(seen))


@st.cache_resource(max_entries=32, show_spinner=False)
def _lines(keys: tuple[Key, ...], dark: bool, _found: ComparedViews) -> go.Figure:
    return _found.lines(dark=dark)


def lines_of_places(seen: Sequence[Seen], *, dark: bool) -> go.Figure:
    """The places of the subsets that all views have, as lines."""
    return _lines(tuple(one.key for one in seen), dark, comparison(seen))


@st.cache_resource(max_entries=16, show_spinner=False)
def _differences(keys: tuple[Key, ...], every: bool, _seen: Sequence[Seen]) -> pd.DataFrame:
    columns = []
    for letter, one in zip(LETTERS, _seen, strict=False):
        view = one.view
        shown = {"prompt set": view.prompts.name, "side": view.side, "method": view.method, "unit": view.unit}
        spec = one.result.spec.model_dump(mode="json")
        whole = {"view": {"run": one.choice.run, **shown}, "spec": spec, "environment": one.result.environment}
        columns.append((letter, whole))
    return differences(columns, every=every)


def what_differs(seen: Sequence[Seen], *, every: bool) -> pd.DataFrame:
    """Specs and environments, a column a view, only what differs or every setting; shared, so never to be altered."""
    return _differences(tuple(one.key for one in seen), every, seen)


def take_home(found: ComparedViews) -> pd.DataFrame:
    """The joined table to export, with the significant rank changes and what each letter stands for."""
    table = found.table.drop(columns=[name for name in found.table.columns if name.startswith("sign_")])
    for letter in found.letters[1:]:
        table[f"move_holds_{letter}"] = _told(table["subset"], found.holds[letter])
    for letter, name, view in zip(found.letters, found.names, found.views, strict=True):
        table[f"view_{letter}"] = f"{name} ({view.unit}, run {view.run})"
    return table
