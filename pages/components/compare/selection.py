"""Which views the compare page shows: read from an address, checked, and offered.

An address names views as ``views=RUN.NUMBER.SIDE[.METHOD]_...``: the run's id, the number of its prompt set (from 1),
the side, and a baseline's name where it is not the run's own method. It comes from anyone, so it is read by one
pattern and nothing else of it is used.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from pages.components.layout.context import Context, context
from pages.components.layout.results import cached_result
from untrac_core.engine import Run, Store
from untrac_core.errors import InputError
from untrac_core.explore.ranking_view import LETTERS, available
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import TraceSpec

MOST = len(LETTERS)
ADDRESS_MOST = 1000
BETWEEN = "_"
METHOD = re.compile(r"[a-z0-9-]{1,40}")
CHOICE = re.compile(r"([0-9a-f]{12})\.([1-9][0-9]?)\.(contrast|harmful|harmless)(?:\.([a-z0-9-]{1,40}))?")
LISTED = 60
"""Runs that can be chosen from, the newest first."""


@dataclass(frozen=True)
class Choice:
    """One view as an address names it; ``method`` unset: the run's own."""

    run: str
    number: int
    side: str
    method: str | None = None

    def __str__(self) -> str:
        return ".".join([self.run, str(self.number), self.side, *([self.method] if self.method else [])])


def read(address: str) -> tuple[list[Choice], list[str]]:
    """The views of an address, at most :data:`MOST`, each once; and what could not be used, in words of ours only."""
    choices: list[Choice] = []
    faults: list[str] = []
    for part in filter(None, address[:ADDRESS_MOST].split(BETWEEN)):
        found = CHOICE.fullmatch(part)
        if found is None:
            faults.append("A view in this address cannot be read, so it is left out. Choose another in its place.")
            continue
        choice = Choice(found[1], int(found[2]), found[3], found[4])
        if choice in choices:
            faults.append("This address names a view twice; it is shown once. Choose another to compare it with.")
        elif len(choices) == MOST:
            faults.append(
                f"This address names more than {MOST} views; the rest is left out. Remove one to add another."
            )
        else:
            choices.append(choice)
    return choices, list(dict.fromkeys(faults))


def address(choices: Iterable[Choice]) -> str:
    """The address of views; :func:`read` understands it."""
    return BETWEEN.join(str(choice) for choice in choices)


def traces(store: Store) -> list[Run]:
    """The finished traces, the newest first."""
    return [run for run in store.runs(limit=LISTED, kind="trace") if run.status == "done"]


def finished(store: Store, run_id: str) -> Run:
    """A run that has a ranking to look at.

    Raises:
        InputError: with one line for the page: there is none, it is no trace, or it has not finished.
    """
    try:
        run = store.run(run_id)
    except InputError:
        what = f"there is no run {run_id}; it may have been deleted"
        raise InputError(what, hint="choose another run for this view") from None
    if run.kind != "trace":
        raise InputError(f"run {run_id} ranks nothing: it is no trace", hint="choose another run for this view")
    if run.status != "done":
        raise InputError(f"run {run_id} has no result yet", hint="wait until it is done, or choose another run")
    return run


def pair_of(spec: TraceSpec, first: str = "") -> tuple[int, int] | None:
    """Which two prompt sets of a run to set side by side: toxicity against truthfulness where it has them.

    ``first``: one that is looked at, and so comes first.
    """
    named = [prompts.name.lower() for prompts in spec.prompts]
    if len(named) < 2:
        return None
    if first.lower() in named:
        own = named.index(first.lower())
        return own, next((i for i, name in enumerate(named) if i != own and "truth" in name), 0 if own else 1)
    toxic = next((i for i, name in enumerate(named) if "toxi" in name), 0)
    true = next((i for i, name in enumerate(named) if "truth" in name and i != toxic), None)
    return toxic, true if true is not None else next(i for i in range(len(named)) if i != toxic)


@st.cache_resource(max_entries=32, show_spinner=False)
def _available(folder: Path, changed: float, _result: TraceFiles) -> dict[str, dict[str, list[str]]]:
    own = _result.spec.method.name
    known: dict[str, dict[str, list[str]]] = {}
    for name, sides in available(_result).items():
        known[name] = {}
        for side, methods in sides.items():
            # A method that no address can name is not offered.
            usable = [one for one in methods if one == own or METHOD.fullmatch(one)]
            if usable:
                known[name][side] = usable
    return known


def ranked_by(run: Run) -> dict[int, dict[str, list[str]]]:
    """Number of a prompt set (from 1) to side (contrast first) to the methods that ranked it, the run's own first.

    Raises:
        InputError, OSError: when the run's files cannot be read.
    """
    result: TraceFiles = cached_result(run)
    found = _available(run.folder, run.changed, result)
    return {number: found[prompts.name] for number, prompts in enumerate(result.spec.prompts, 1)}


def nearest(run: Run, like: Choice) -> Choice | None:
    """The view of a run that is most like another: its set, side and method where the run has them, else its first.

    ``None`` where the run has no ranking at all, or cannot be read.
    """
    try:
        found = {number: sides for number, sides in ranked_by(run).items() if sides}
    except (InputError, OSError, ValueError, KeyError, TypeError):
        return None
    if not found:
        return None
    number = like.number if like.number in found else next(iter(found))
    side = like.side if like.side in found[number] else next(iter(found[number]))
    methods, own = found[number][side], cached_result(run).spec.method.name
    method = like.method if like.method in methods else own if own in methods else methods[0]
    return Choice(run.id, number, side, None if method == own else method)


def opening(runs: Sequence[Run]) -> list[Choice]:
    """What to show where an address names no views: two prompt sets of one run, else one view to begin with.

    ``runs``: finished traces; the first one with several prompt sets is shown, so the demo where there is no other.
    """
    for run in runs:
        held = context() if context().run == run.id else Context()
        pair = pair_of(run.spec, held.prompt_set) if run.spec.kind == "trace" else None
        found = [nearest(run, Choice(run.id, number + 1, held.side or "contrast")) for number in pair or ()]
        kept = list(dict.fromkeys(choice for choice in found if choice is not None))
        if len(kept) == 2:
            return kept
    any_of = (nearest(run, Choice(run.id, 1, "contrast")) for run in runs)
    single = next((choice for choice in any_of if choice is not None), None)
    return [single] if single else []


def side_by_side(runs: Sequence[Run]) -> str:
    """The address of some finished traces, each by the prompt set that all have, else by its first.

    Raises:
        InputError, OSError: where a result cannot be read.
    """
    names = [[prompts.name for prompts in cached_result(run).spec.prompts] for run in runs]
    shared = next((name for name in names[0] if all(name in others for others in names)), None)
    numbers = [own.index(shared) + 1 if shared else 1 for own in names]
    wanted = [Choice(run.id, number, "contrast") for run, number in zip(runs, numbers, strict=True)]
    return address(filter(None, map(nearest, runs, wanted)))


def beside(run: Run, choice: Choice, known: Collection[Choice], runs: Sequence[Run]) -> list[tuple[str, Choice]]:
    """What can be set beside a view, beyond those ``known``: (words of ours, the view), the likeliest first."""
    found, own = ranked_by(run), cached_result(run).spec.method.name
    sides = found[choice.number]
    offers: list[tuple[str, Choice | None]] = [
        ("another prompt set", nearest(run, replace(choice, number=number))) for number in found if found[number]
    ]
    offers += [("another side", nearest(run, replace(choice, side=side))) for side in sides]
    offers += [
        ("another method", replace(choice, method=None if method == own else method)) for method in sides[choice.side]
    ]
    offers += [("another run", nearest(other, choice)) for other in runs[:5] if other.id != choice.run]
    kept: dict[str, Choice] = {}
    for words, offered in offers:
        if offered is not None and offered not in known:
            kept.setdefault(words, offered)
    return list(kept.items())
