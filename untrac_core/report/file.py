"""One self-contained HTML file of a finished trace, validation or unlearning: it asks no network for anything.

Figures, tables and words are those of the pages. Texts are masked unless asked for. The same result gives the same
bytes: the only time in it is the run's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError
from untrac_core.report.blocks import Block, Code, Column, Group, Listed, Paragraph, Part, Table
from untrac_core.report.page import Page, Shared, render, when
from untrac_core.report.trace import TraceReport
from untrac_core.report.unlearn import UnlearnReport
from untrac_core.report.validate import ValidationReport
from untrac_core.results.export import file_part, pretty
from untrac_core.results.folders import (
    SPEC,
    TraceFiles,
    UnlearnFiles,
    ValidateFiles,
    kind_of_result,
    load_trace,
    load_unlearn,
    load_validate,
)
from untrac_core.tasks.registry import describe_run

Found = TraceFiles | ValidateFiles | UnlearnFiles
Report = TraceReport | ValidationReport | UnlearnReport
KINDS = ("trace", "validate", "unlearn")
"""Kinds of run that have a report."""


def report(
    folder: str | Path,
    *,
    finished: float | None = None,
    run_id: str = "",
    show_texts: bool = False,
    shared: Shared | None = None,
) -> bytes:
    """The report of a result folder, as HTML.

    ``finished``: when the run ended, in seconds since 1970; 0 stands for the recorded demo. ``run_id``: its id, where
    it has one. ``show_texts``: training texts as they are. ``shared``: it is one of a folder of pages.

    Raises:
        InputError: where the folder holds no finished run of :data:`KINDS`, or a file of it is damaged.
    """
    folder = Path(folder)
    found = load(folder)
    with damage_told(folder):
        made = report_of(found, show_texts=show_texts)
        page = Page(
            title=made.title,
            name=found.spec.name,
            facts=[describe_run(found.spec), when(finished), run_id and f"run {run_id}"],
            notice=made.notice,
            parts=[*made.parts(), *_made_by(found)],
            stem=f"untrac-{run_id or file_part(folder.name)}",
        )
        return render(page, shared)


def load(folder: Path) -> Found:
    """The result in a folder; :class:`InputError` where it is none that has a report."""
    kind = kind_of_result(folder)
    if kind == "trace":
        return load_trace(folder)
    if kind == "validate":
        return load_validate(folder)
    if kind == "unlearn":
        return load_unlearn(folder)
    hint = "name the folder of a finished trace, validation or unlearning"
    raise InputError("this kind of run has no report", field=f"result {folder.name!r}", hint=hint)


def report_of(found: Found, *, show_texts: bool) -> Report:
    """The report of a result, part by part."""
    if isinstance(found, TraceFiles):
        return TraceReport(found, show_texts=show_texts)
    if isinstance(found, UnlearnFiles):
        return UnlearnReport(found, show_texts=show_texts)
    return ValidationReport(found)


@contextmanager
def damage_told(folder: Path) -> Iterator[None]:
    """Say in one line that a file of a result is damaged, where a report finds out as it reads it."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
        raise InputError(
            f"a file is damaged ({type(error).__name__})", field=f"result {folder.name!r}", hint="run it again"
        ) from error


def _made_by(found: Found) -> Iterator[Part]:
    """What was counted, how to run it again, and with which versions and data it was made."""
    notes = found.summary.get("notes", [])
    counted = Listed(notes) if notes else Paragraph("Nothing was cut, and every record was used.")
    yield "Data notes", [counted]
    name = f"{found.spec.kind}.yaml"
    said = f"Save this as {name}; files in it are named as they lay on the machine that ran it. Then:"
    request = Code((found.folder / SPEC).read_text(encoding="utf-8", errors="replace"))
    again = Code(f"untrac run {name} --out result")
    yield "Run it again", [Paragraph(said), again, Group("details", [request], "The request")]
    yield "Versions and data", [*_environment(found.environment)]


def _environment(environment: Mapping[str, Any]) -> Iterator[Block]:
    """The machine, versions and hashes of a run, as tables."""
    columns = [Column("What"), Column("Which")]
    flat = [(key, _plain(value)) for key, value in environment.items() if not isinstance(value, dict)]
    if flat:
        yield Table(columns, flat)
    for key, values in environment.items():
        if isinstance(values, dict) and values:
            rows = [(name, _plain(value)) for name, value in values.items()]
            yield Group("details", [Table(columns, rows)], f"{key} ({len(rows)})")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else pretty(value) if isinstance(value, dict) else json.dumps(value)
