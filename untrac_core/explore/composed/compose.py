"""One page of several results: parts that were picked, in an order that was chosen, with own words between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from untrac_core.engine import Run, Store, describe_run
from untrac_core.engine.runs import RUN_ID
from untrac_core.errors import InputError
from untrac_core.explore.composed.comparison import comparison
from untrac_core.explore.ranking_view import RankingView, view_of
from untrac_core.paths import is_folder
from untrac_core.report.blocks import Block, Paragraph, Part
from untrac_core.report.file import KINDS, Found, load
from untrac_core.report.page import Page, render, when
from untrac_core.report.picks import NOTHING, PICKS, SIDE, USUAL, part_of, renamed, sides_of
from untrac_core.report.trace import MASKED, OPEN
from untrac_core.report.words import read_words
from untrac_core.results.folders import TraceFiles
from untrac_core.specs.composed import ComposedItem, ComposedReport
from untrac_core.text.numbers import count


@dataclass(frozen=True)
class Opened:
    """A result that a page shows, with the run that it is of, where it is one here."""

    found: Found
    run_id: str = ""
    finished: float | None = None

    @property
    def source(self) -> str:
        """What it is of, in a line; holds a user's words."""
        facts = [self.found.spec.name, describe_run(self.found.spec), when(self.finished)]
        return " · ".join(filter(None, [*facts, self.run_id and f"run {self.run_id}"]))


Find = Callable[[str], Opened]
"""A result by what a request calls it."""


def finished_run(store: Store, run_id: str) -> Run:
    """A finished run that has a report; :class:`InputError` where there is none."""
    run = store.run(run_id)
    if run.status != "done":
        hint = "wait for its end" if run.active else f"'untrac resume {run_id}' goes on with it"
        raise InputError(f"the run is {run.status}, so it has no result yet", field=run_id, hint=hint)
    return run


def of_runs(store: Store) -> Find:
    """Finds results by the ids of runs alone."""

    @cache
    def find(name: str) -> Opened:
        run = finished_run(store, name)
        return Opened(load(run.folder), run.id, run.finished)

    return find


def of_runs_and_folders(store: Store) -> Find:
    """Finds results by the ids of runs and by their folders."""
    by_id = of_runs(store)

    @cache
    def find(name: str) -> Opened:
        if RUN_ID.fullmatch(name):
            return by_id(name)
        if not is_folder(Path(name)):
            hint = "name one of 'untrac runs', or the folder of a result"
            raise InputError("this is neither the id of a run nor a folder", field=name[:200], hint=hint)
        return Opened(load(Path(name).resolve()))

    return find


def usual_items(names: Sequence[str], find: Find) -> list[ComposedItem]:
    """What stands for whole results where nothing is picked: the first figures of each."""
    items = []
    for name in names:
        found = find(name).found
        sets = found.spec.prompts if isinstance(found, TraceFiles) else found.spec.prompts[:1]
        for number, prompts in enumerate(sets):
            for show in USUAL[found.spec.kind]:
                pick = PICKS[found.spec.kind][show]
                if (number and pick.of != SIDE) or (show == "truth" and not _knows_the_truth(found)):
                    continue
                side = next(iter(sides_of(found, prompts.name)), None) if pick.of == SIDE else None
                item = {"show": show, "run": name, "prompt_set": prompts.name if pick.of else None, "side": side}
                items.append(ComposedItem.model_validate(item))
        if not sets:
            items += [ComposedItem.model_validate({"show": show, "run": name}) for show in USUAL[found.spec.kind]]
    return items


def _knows_the_truth(found: Found) -> bool:
    return isinstance(found, TraceFiles) and not (found.ground_truth is None and found.planted is None)


def item_part(item: ComposedItem, find: Find, *, show_texts: bool = False) -> Part:
    """What an item shows: a heading, and blocks; :class:`InputError` where its result has nothing of that kind."""
    if item.text is not None:
        return "", [read_words(item.text)]
    if item.show == "comparison":
        return comparison([_view(view.run, view.prompt_set, view.side, view.method, find) for view in item.views])
    opened = find(item.run or "")
    heading, blocks = part_of(opened.found, item.show or "", item.prompt_set, item.side, show_texts=show_texts)
    source: list[Block] = [Paragraph(opened.source, "quiet user")]
    return heading, [*source, *(blocks or [Paragraph(NOTHING)])]


def _view(run: str, prompt_set: str | None, side: str | None, method: str | None, find: Find) -> RankingView:
    found = find(run).found
    if not isinstance(found, TraceFiles):
        raise InputError("only traces have rankings to compare", field=run[:200], hint="name a trace")
    return view_of(found, prompt_set or found.spec.prompts[0].name, side, method)


def compose(report: ComposedReport, find: Find, *, show_texts: bool = False, stem: str = "untrac-report") -> bytes:
    """A composed report as one HTML file that asks no network for anything.

    ``find``: :func:`of_runs` or :func:`of_runs_and_folders`. ``show_texts``: training texts as they are.

    Raises:
        InputError: where an item names what is not there.
    """
    parts = [*_parts(report.items, find, show_texts=show_texts)]
    shown = len({name for item in report.items for name in (item.run, *(view.run for view in item.views)) if name})
    facts = [count(shown, "result")] if shown else []
    notice = (OPEN if show_texts else MASKED) if shown else ""
    return render(Page(report.title, "", facts, notice, parts, stem))


def _parts(items: Sequence[ComposedItem], find: Find, *, show_texts: bool) -> Iterator[Part]:
    for number, item in enumerate(items, 1):
        try:
            heading, blocks = item_part(item, find, show_texts=show_texts)
        except InputError as error:
            raise InputError(error.message, field=f"item {number}, {error.field}", hint=error.hint) from None
        yield heading, [*renamed([*blocks], str(number))]


__all__ = ["KINDS", "Opened", "compose", "finished_run", "item_part", "of_runs", "of_runs_and_folders", "usual_items"]
