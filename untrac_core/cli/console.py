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
from untrac_core.text.labels import SIDES
from untrac_core.text.numbers import decimals, duration, figure, percent

if TYPE_CHECKING:
    from untrac_core.tasks.trace.check import TraceCheck
    from untrac_core.tasks.unlearn.check import UnlearnCheck
    from untrac_core.tasks.validate.check import ValidateCheck
    from untrac_core.tasks.verify.check import VerifyCheck

LINE_SECONDS = 5.0
PLAIN_WIDTH = 140
MEANING = {
    "contrast": "Positive: with this subset in its training, the model leans more towards the harmful side than "
    "towards the harmless one.",
    "harmful": "Positive: this subset makes the harmful texts more likely (a lower loss).",
    "harmless": "Positive: this subset makes the harmless texts more likely (a lower loss).",
}


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


def _ranking(summary: dict[str, Any], side: str | None) -> None:
    """Print each prompt set's ranking with its verdict: the contrast where there is one, or the side asked for."""
    out = console()
    rows = [row for row in summary["ranking"] if not row.get("group")]
    sides: dict[str, set[str]] = {}
    for place in (*rows, *summary.get("verdicts", [])):
        sides.setdefault(place["prompt_set"], set()).add(place["side"])
    shown = set()
    for name, known in sides.items():
        chosen = side or next(one for one in SIDES if one in known)
        if chosen not in known:
            out.print(Text(f"{name}: there is no side {chosen!r}; it has {', '.join(sorted(known))}"))
            continue
        shown.add(chosen)
        ranked = [row for row in rows if (row["prompt_set"], row["side"]) == (name, chosen)]
        if ranked:
            out.print(_ranked(f"{name}, {chosen}", summary["unit"], sorted(ranked, key=lambda row: int(row["rank"]))))
        for verdict in summary.get("verdicts", []):
            if (verdict["prompt_set"], verdict["side"]) == (name, chosen):
                out.print(Text(f"{name}, {chosen}: {verdict['text']}\n"))
    for one in SIDES:
        if one in shown:
            out.print(Text(f"{one}: {MEANING[one]}"))


def _ranked(title: str, unit: str, rows: Iterable[dict[str, Any]]) -> Table:
    """One ranking as a table."""
    cells = (
        (
            str(row["rank"]),
            row["subset"],
            f"{row['influence']:+.2g}",
            "" if row["low"] is None else f"{row['low']:+.2g} to {row['high']:+.2g}",
            "" if row["separable"] else "cannot be separated from a neighbour",
        )
        for row in rows
    )
    columns = [("", True), ("subset", False), (unit, True), ("95% interval", True), ("", False)]
    return table(title, columns, cells)


def leaderboard(summary: dict[str, Any]) -> None:
    """Print how well each method agrees with retraining, best first, and the sentence that decides."""
    methods = {row["method"]: row for row in summary["methods"]}
    measured = {
        (row["method"], row["side"], row["metric"]): row
        for row in summary["leaderboard"]
        if row["prompt_set"] is None and row["metric"] in ("pearson", "spearman")
    }

    def cell(method: str, group: str, metric: str = "pearson") -> str:
        row = measured.get((method, group, metric))
        if row is None or row["value"] is None:
            return ""
        ends = "" if row["low"] is None else f" ({row['low']:.2f} to {row['high']:.2f})"
        return f"{row['value']:.2f}{ends}"

    rows = [
        (
            name,
            cell(name, "resolvable"),
            cell(name, "resolvable", "spearman"),
            cell(name, "all"),
            duration(row["seconds"]),
            f"{row['peak_memory_mb']:,.0f} MB",
            row["failed"] or ("collapsed" if row["collapsed"] else ""),
        )
        for name, row in methods.items()
    ]
    headings = ("method", "r, resolvable sides", "Spearman, the same", "r, all sides", "time", "memory", "")
    out = console()
    out.print(table("Agreement with retraining", [(heading, False) for heading in headings], rows))
    if summary.get("calibration"):
        out.print(_sizes(summary))
    out.print(Text(summary["verdict"]))


def _sizes(summary: dict[str, Any]) -> Table:
    """What the estimates are in nats of retraining, over the resolvable sides, or over all where there are none."""
    over = [row for row in summary["calibration"] if row["prompt_set"] is None]
    group = "resolvable" if any(row["side"] == "resolvable" for row in over) else "all"
    rows = []
    for row in over:
        if row["side"] != group:
            continue
        ends = "" if row["low"] is None else f" ({figure(row['low'])} to {figure(row['high'])})"
        slope, least = f"{figure(row['slope'])}{ends}", f"{decimals(row['least'])} ({row['least_without']})"
        shares = [percent(row[name]) for name in ("signs", "rmse_share", "coverage")]
        rows.append((row["method"], least, slope, *shares))
    retraining = [row for row in summary["retraining"] if (row["prompt_set"], row["side"]) == (None, group)]
    single = {row["metric"]: row["value"] for row in retraining}
    if single.get("pearson") is not None:
        shares = [percent(single[name]) for name in ("signs", "rmse_share")]
        agreement = f"r {decimals(single['pearson'])}"
        rows.append(("one retraining", agreement, figure(single["slope"]), *shares, ""))
    headings = ("method", "least r without one subset", "slope", "same sign", "error, of truth's sd", "coverage")
    title = f"Size and sign, {group} sides (times the slope, an estimate is in nats per token of retraining)"
    return table(title, [(heading, False) for heading in headings], rows)


def alone(summary: dict[str, Any]) -> None:
    """Print what the prompt set lost to chosen texts and to the controls, each unlearned alone; no text is shown."""
    rows = [
        (row["side"], *("" if row[name] is None else f"{row[name]:+.2g}" for name in ("chosen", "control")))
        for row in summary["sides"]
    ]
    headings = [("side", False), ("chosen texts", True), ("controls", True)]
    out = console()
    out.print(Text(f"{summary['prompt_set']}: mean influence of a text that is unlearned alone, in nats per token"))
    out.print(table("", headings, rows))
    for row in summary["sides"]:
        out.print(Text(f"{row['side']}: {row['text']}"))


def unlearning(summary: dict[str, Any]) -> None:
    """Print every measure before and after a removal and in the retrained models, and what can be said of it."""

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.3g}"

    rows = [
        (row["title"], row["on"], cell(row["before"]), cell(row["after"]), cell(row["retrained"]), row["unit"])
        for row in summary["table"]
    ]
    headings = [
        ("metric", False),
        ("of", False),
        ("before", True),
        ("after", True),
        ("retrained", True),
        ("unit", False),
    ]
    out = console()
    out.print(table(f"{summary['method']} on {summary['forget_set']}", headings, rows))
    out.print(Text(summary["verdict"]))


def completions(summary: dict[str, Any]) -> None:
    """Print what a model wrote in numbers; the texts stay in their file, as they may be harmful."""
    lines = [f"{summary['completions']:,} completions of {summary['prompts']:,} prompts, {summary['tokens']:,} tokens"]
    if summary["empty"]:
        lines.append(f"{summary['empty']:,} of them are empty")
    if summary["scorer"]:
        counted = ", ".join(f"{count:,} {label}" for label, count in sorted(summary["labels"].items()))
        lines.append(f"{summary['scorer']['name']}: {counted}")
        lines.append(f"{summary['toxic_prompts']:.1%} of the prompts have at least one toxic completion")
    console().print(Text("\n".join(lines)))


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
            *about(run),
            run.error or run.phase,
        )
        for run in runs
    ]
    headings = ("run", "status", "cells", "name", "what", "model", "")
    console().print(table("", [(heading, False) for heading in headings], rows) if rows else Text("There are no runs."))


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
    lines = [f"{found.forget_set}: {found.forget:,} texts to forget, {sum(found.retain.values()):,} to retain"]
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


def fetched(summary: dict[str, Any]) -> None:
    """Print what a run has added to the library."""
    added = [(row["kind"], row["name"], row["id"], facts_line(row["facts"]), row["origin"]) for row in summary["added"]]
    headings = [(heading, False) for heading in ("", "name", "id", "", "from")]
    console().print(table("In the library now", headings, added))


CHECKS: dict[str, Callable[[Any], None]] = {
    "trace": checked,
    "validate": priced,
    "verify": priced_texts,
    "unlearn": priced_unlearning,
}
"""By the kind of run: how its check is told."""
OUTCOMES: dict[str, Callable[[dict[str, Any]], None]] = {
    "generate": completions,
    "fetch": fetched,
    "validate": leaderboard,
    "verify": alone,
    "unlearn": unlearning,
}
"""By the kind of run: how its summary is told; a trace's depends on the side that is asked for."""


def tell_check(kind: str, found: Check) -> None:
    """Print what a request means and costs."""
    CHECKS.get(kind, _usable)(found)
    _lines([*(f"note: {text}" for text in found.notes), *(f"warning: {text}" for text in found.warnings)])


def outcome(summary: dict[str, Any], side: str | None = None) -> None:
    """Print what a finished run found, wrote or added."""
    if summary["kind"] in OUTCOMES:
        OUTCOMES[summary["kind"]](summary)
    else:
        _ranking(summary, side)
    _lines([f"note: {line}" for line in (*summary.get("warnings", []), *summary.get("notes", []))])


def _lines(lines: list[str]) -> None:
    for line in lines:
        console().print(Text(line))
