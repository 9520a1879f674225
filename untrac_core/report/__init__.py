"""One self-contained HTML file of a finished trace or validation: it asks no network for anything.

Figures, tables and words are those of the pages. Texts are masked unless asked for. The same result gives the same
bytes: the only time in it is the run's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from untrac_core import __version__
from untrac_core.errors import InputError
from untrac_core.exports import file_part, pretty
from untrac_core.report.document import Column, Document, code, details, listed, paragraph, table
from untrac_core.report.trace import TraceReport
from untrac_core.report.validation import ValidationReport
from untrac_core.result_frames import sides_of
from untrac_core.results import SPEC, SUMMARY, Result, Validation, load_result, load_validation
from untrac_core.wording import question, shape

MASKED = "Training texts are masked in this file: only their outlines are shown, as they may be harmful."
OPEN = "This file shows training texts as they are, which was asked for when it was made; they may be harmful."


def report(folder: Path, *, finished: float | None = None, run_id: str = "", show_texts: bool = False) -> bytes:
    """The report of a result folder, as HTML.

    ``finished``: when the run ended, in seconds since 1970; 0 stands for the recorded demo. ``run_id``: its id, where
    it has one. ``show_texts``: training texts as they are.

    Raises:
        InputError: where the folder holds no finished trace or validation, or a file of it is damaged.
    """
    found = _load(folder)
    spec = found.spec
    stem = f"untrac-{run_id or file_part(folder.name)}"
    try:
        if isinstance(found, Validation):
            document = Document("Can the estimate be trusted here?", stem)
            ValidationReport(found, document).write()
        else:
            document = Document(_question(found), stem)
            TraceReport(found, document, show_texts=show_texts).write()
        _made_by(document, found)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
        raise InputError(
            f"a file is damaged ({type(error).__name__})", where=f"result {folder.name!r}", mend="run it again"
        ) from error
    facts = [shape(spec), *([_when(finished)] if finished is not None else []), *([f"run {run_id}"] if run_id else [])]
    top = paragraph(spec.name, "user") + paragraph(" · ".join(facts), "quiet")
    if isinstance(found, Result):
        top += paragraph(OPEN if show_texts else MASKED, "quiet")
    made = f"Made by untrac {__version__}. This file holds all it needs and asks no network for anything."
    return document.html(top=top, foot=paragraph(made))


def _load(folder: Path) -> Result | Validation:
    """The result in a folder; :class:`InputError` where it is neither a trace nor a validation."""
    where, again = f"result {folder.name!r}", "name the folder of a finished trace or validation"
    if not (folder / SUMMARY).is_file():
        raise InputError(f"{SUMMARY} is missing", where=where, mend=again)
    try:
        kind = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["kind"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{SUMMARY} is damaged", where=where, mend="run it again") from None
    if kind == "trace":
        return load_result(folder)
    if kind == "validate":
        return load_validation(folder)
    raise InputError("this kind of run has no report", where=where, mend=again)


def _question(result: Result) -> str:
    """The title: the question that is asked; of several prompt sets, what they share."""
    spec = result.spec
    if len(spec.prompts) == 1:
        prompts = spec.prompts[0]
        return question(prompts, next(iter(sides_of(result.summary, prompts.name)), "harmful"))
    return "Which training subsets push the model towards such texts?"


def _when(finished: float) -> str:
    if finished == 0:
        return "recorded"
    at = time.gmtime(finished)
    return f"finished {at.tm_mday} {time.strftime('%B %Y, %H:%M', at)} UTC"


def _made_by(document: Document, found: Result | Validation) -> None:
    """What was counted, how to run it again, and with which versions and data it was made."""
    notes = found.summary.get("notes", [])
    document.heading("What was counted and what was cut")
    document.add(listed(notes) or paragraph("Nothing was cut, and every record was used."))
    document.heading("Run it again")
    name = f"{found.spec.kind}.yaml"
    document.add(
        paragraph(f"Save this as {name}; files in it are named as they lay on the machine that ran it. Then:"),
        code(f"python -m untrac_core run {name} --out result"),
        details("The request", code((found.folder / SPEC).read_text(encoding="utf-8", errors="replace"))),
    )
    document.heading("Versions and data")
    document.add(_environment(found.environment))


def _environment(environment: Mapping[str, Any]) -> str:
    """The machine, versions and hashes of a run, as tables."""
    flat = [(key, _plain(value)) for key, value in environment.items() if not isinstance(value, dict)]
    parts = [table([Column("What"), Column("Which")], flat)] if flat else []
    for key, values in environment.items():
        if isinstance(values, dict) and values:
            rows = [(name, _plain(value)) for name, value in values.items()]
            parts.append(details(f"{key} ({len(rows)})", table([Column("What"), Column("Which")], rows)))
    return "".join(parts)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else pretty(value) if isinstance(value, dict) else json.dumps(value)


__all__ = ["report"]
