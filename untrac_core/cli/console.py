"""What the command line shows: progress on standard error, results as tables on standard output."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from untrac_core.engine import Entry, Event, Run
from untrac_core.tasks.base import Check
from untrac_core.text.numbers import duration

if TYPE_CHECKING:
    from untrac_core.tasks.trace.check import TraceCheck
    from untrac_core.tasks.unlearn.check import UnlearnCheck
    from untrac_core.tasks.validate.check import ValidateCheck
    from untrac_core.tasks.verify.check import VerifyCheck

LINE_SECONDS = 5.0
PLAIN_WIDTH = 140


class Display:
    """Progress of a run or a training: a bar on a terminal, plain lines elsewhere; always on standard error."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[left]}", markup=False),
                TimeElapsedColumn(),
                console=console,
            )
            self._task = self._bar.add_task("starting", total=1.0, left="")
        self._phase, self._lined = "", 0.0

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def phase(self, text: str) -> None:
        """What is being done now."""
        self._phase = text
        if self._bar:
            self._bar.update(self._task, description=text, completed=0.0)
        else:
            self._line(text)

    def tick(self, done: int, total: int) -> None:
        """``done`` of ``total`` parts of the phase."""
        share = done / total if total else 0.0
        if self._bar:
            self._bar.update(self._task, completed=share)
        elif time.monotonic() - self._lined >= LINE_SECONDS or done == total:
            self._line(f"{self._phase}: {done} of {total}")

    def run(self, run: Run, events: Iterable[Event]) -> None:
        """The state of a run, and what has happened to it since the last call."""
        left = duration(run.eta_seconds) + " left" if run.eta_seconds is not None else ""
        if self._bar:
            waits = f"waiting for {run.device}, {run.queue_position} ahead" if run.queue_position else "waiting"
            text = waits if run.status == "queued" else run.phase or run.status
            self._bar.update(self._task, description=text, completed=run.progress, left=left)
            return
        for event in events:
            if event.kind != "cell":
                self._line(event.text)
                continue
            seconds = event.data.get("seconds")
            took = f"{seconds:.1f} s" if seconds is not None else "kept from before"
            about = f", about {left}" if left else ""
            self._line(f"{event.data['done']} of {event.data['total']} cells: {event.text} ({took}{about})")

    def _line(self, text: str) -> None:
        self._lined = time.monotonic()
        print(text, file=sys.stderr, flush=True)


def console() -> Console:
    """Standard output; wide enough for tables where it is a file or a pipe."""
    out = Console(highlight=False, markup=False, soft_wrap=False)
    return out if out.is_terminal else Console(highlight=False, markup=False, width=PLAIN_WIDTH)


def table(title: str, columns: list[tuple[str, bool]], rows: Iterable[Iterable[str]]) -> Table:
    """A table; every column is a heading and whether it holds numbers. Cells are text, never markup."""
    made = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading, number in columns:
        made.add_column(heading, justify="right" if number else "left", no_wrap=number)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def facts_line(facts: dict[str, Any]) -> str:
    """The facts of an entry of the library in a few words."""
    if "parameters" in facts:
        return f"{facts['parameters']:,} parameters, context {facts.get('context') or 'unknown'}"
    if "items" in facts:
        return ", ".join(f"{count:,} {side}" for side, count in facts["items"].items())
    if "documents" not in facts:
        return ""
    whole = "" if facts.get("whole", True) else f" of {facts['seen']:,}"
    return f"{facts['documents']:,}{whole} documents, {facts['characters']:,} characters"


def shelf(title: str, entries: Iterable[Entry]) -> None:
    """Print one kind of the library's entries."""
    rows = [(e.id, e.name, facts_line(e.facts), e.problem or e.origin) for e in entries]
    headings = [(heading, False) for heading in ("id", "name", "", "")]
    console().print(table(title, headings, rows) if rows else Text(f"There are no {title}."))


def run_list(runs: Iterable[Run]) -> None:
    """Print a table of runs."""
    rows = [
        (
            run.id,
            run.status,
            f"{run.cells_done}/{run.cells_total}" if run.cells_total else "",
            run.name,
            ", ".join(run.tags),
            *about(run),
            run.error or run.phase,
        )
        for run in runs
    ]
    headings = ("run", "status", "cells", "name", "tags", "what", "model", "")
    nothing = Text("There are no such runs.")
    console().print(table("", [(heading, False) for heading in headings], rows) if rows else nothing)


def about(run: Run) -> tuple[str, str]:
    """What a run does, and with which model."""
    spec: Any = run.spec
    model = getattr(getattr(spec, "trace", spec), "model", None)
    what = spec.method.name if run.kind == "trace" else run.kind
    return what, model.path if model else "" if run.kind == "fetch" else "a recipe"


def state(run: Run) -> None:
    """Print what a run is and how far it is."""
    spec: Any = run.spec
    what = spec.method.title if run.kind == "trace" else run.kind
    lines = [f"run {run.id}: {run.name} ({what}), {run.status}"]
    if run.active:
        lines.append(f"{run.cells_done} of {run.cells_total} cells; {run.phase}")
    if run.silent:
        lines.append("Nothing was heard of it for a minute.")
    if run.eta_seconds is not None:
        lines.append(f"about {duration(run.eta_seconds)} left")
    if run.error:
        lines.append(run.error)
    lines += [f"{run.taken_over}"] if run.taken_over else []
    lines += [f"tags: {', '.join(run.tags)}"] if run.tags else []
    lines += [f"notes: {run.notes}"] if run.notes else []
    console().print(Text("\n".join(lines)))


def priced(found: ValidateCheck) -> None:
    """Print what a validation means and costs."""
    lines = [
        f"{found.trainings} trainings of a model of {found.parameters:,} parameters, about "
        f"{duration(found.training_seconds)}",
        *(f"{title}: about {duration(seconds)}" for title, seconds in found.method_seconds.items()),
        f"together about {duration(found.seconds)} and {found.memory_mb:,.0f} MB of memory",
    ]
    console().print(Text("\n".join(lines)))


def priced_texts(found: VerifyCheck) -> None:
    """Print what a verification means and costs."""
    lines = [f"{found.texts} texts and {found.controls} controls, each unlearned alone"]
    if math.isfinite(found.seconds):
        lines.append(f"about {duration(found.seconds)} and {found.memory_mb:,.0f} MB of memory")
    console().print(Text("\n".join(lines)))


def priced_unlearning(found: UnlearnCheck) -> None:
    """Print what an unlearning means and costs."""
    lines = [f"{found.forget_set}: {found.forget:,} texts to forget, {found.retained:,} to retain"]
    lines.append(f"{found.trainings} trainings without them, {found.unlearnings} unlearnings")
    if math.isfinite(found.seconds):
        lines.append(f"at most about {duration(found.seconds)} and {found.memory_mb:,.0f} MB of memory")
    console().print(Text("\n".join(lines)))


def checked(found: TraceCheck) -> None:
    """Print what a spec means and costs."""
    out = console()
    subsets = ((s.name, f"{s.documents:,}", f"{s.blocks:,}", f"{s.tokens:,}") for s in found.subsets)
    headings = [("subset", False), ("documents", True), ("blocks", True), ("tokens", True)]
    out.print(table("Training subsets", headings, subsets))
    prompts = ((p.name, p.side, f"{p.items:,}", f"{p.tokens:,}", f"{p.longest:,}") for p in found.prompt_sets)
    headings = [("prompt set", False), ("side", False), ("items", True), ("tokens", True), ("longest", True)]
    out.print(table("Prompt sets", headings, prompts))
    lines = [
        f"{found.parameters:,} parameters, context {found.context or 'unknown'}, blocks of {found.block_size} tokens"
    ]
    cost = f"{found.cells} cells"
    if math.isfinite(found.seconds):
        cost += f", about {duration(found.seconds)} and {found.memory_mb:,.0f} MB of memory"
    out.print(Text("\n".join([*lines, cost])))


def _usable(found: Check) -> None:
    """Print that a request of a kind without more to tell can run."""
    console().print(Text("The request can be used."))


CHECKS: dict[str, Callable[[Any], None]] = {
    "trace": checked,
    "validate": priced,
    "verify": priced_texts,
    "unlearn": priced_unlearning,
}
"""By the kind of run: how its check is told."""


def tell_check(kind: str, found: Check) -> None:
    """Print what a request means and costs."""
    CHECKS.get(kind, _usable)(found)
    print_lines([*(f"note: {text}" for text in found.notes), *(f"warning: {text}" for text in found.warnings)])


def print_lines(lines: list[str]) -> None:
    """Print lines as text."""
    for line in lines:
        console().print(Text(line))
