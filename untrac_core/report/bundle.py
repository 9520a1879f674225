"""A folder of reports with a list of them that can be filtered: any web server shows it, and so does a browser alone.

Every page asks for nothing but what lies beside it: plotly.js, once for all of them. No result file and no training
text is in the folder, but what a report shows.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untrac_core import __version__
from untrac_core.errors import InputError
from untrac_core.fileio import write_bytes
from untrac_core.report.file import Found, damage_told, load, report
from untrac_core.report.page import ENVIRONMENT, FOLDER, PLOTLY, Shared, digest, own, when
from untrac_core.report.picks import sides_of
from untrac_core.results.export import file_part
from untrac_core.results.folders import TraceFiles, UnlearnFiles
from untrac_core.specs.catalogue import method_title
from untrac_core.specs.parts import INITS
from untrac_core.tasks.registry import describe_run
from untrac_core.tasks.trace import frames as trace_frames
from untrac_core.tasks.unlearn import frames as unlearn_frames
from untrac_core.tasks.validate import frames as validate_frames
from untrac_core.text.labels import titles

INDEX, RESULTS, BUNDLE = "index.html", "results", "plotly.min.js"
KINDS = {"trace": "trace", "validate": "validation", "unlearn": "unlearning"}


@dataclass(frozen=True)
class Entry:
    """A result of a bundle: its folder, and of a run its id and when it ended, in seconds since 1970."""

    folder: Path
    run_id: str = ""
    finished: float | None = None


@dataclass(frozen=True)
class Row:
    """A result in the list: what one filters by, and what one reads. All but ``page`` may hold a user's words."""

    page: str
    name: str
    kind: str
    model: str
    methods: Sequence[str]
    facts: Sequence[str]
    answers: Sequence[str]
    words: str
    """What a search looks into: names of prompt sets and subsets, too."""


def write_bundle(entries: Sequence[Entry], out: Path, *, title: str = "Results", show_texts: bool = False) -> list[str]:
    """Write the folder of some results; returns its pages. ``show_texts``: training texts as they are.

    Raises:
        InputError: where one of them is no result that has a report, two are the same, or a file cannot be written.
    """
    names = _page_names(entries)
    rows = [_row(entry, name) for entry, name in zip(entries, names, strict=True)]
    try:
        (out / RESULTS).mkdir(parents=True, exist_ok=True)
        write_bytes(PLOTLY.read_bytes(), out / BUNDLE)
        for entry, name in zip(entries, names, strict=True):
            shared = Shared(f"../{BUNDLE}", f"../{INDEX}", secrets.token_hex(16))
            content = report(
                entry.folder, finished=entry.finished, run_id=entry.run_id, show_texts=show_texts, shared=shared
            )
            write_bytes(content, out / RESULTS / name)
        write_bytes(index(rows, title), out / INDEX)
    except OSError as error:
        raise InputError(
            f"the folder cannot be written ({error.strerror})", field=str(out), hint="name another"
        ) from None
    return [INDEX, *(f"{RESULTS}/{name}" for name in names)]


def index(rows: Sequence[Row], title: str) -> bytes:
    """The list of all results as HTML, with filters by kind, model, method and words."""
    script = own(FOLDER / "index.js")
    text = ENVIRONMENT.get_template("index.html").render(
        title=title,
        rows=rows,
        choices={
            "kind": list(dict.fromkeys(row.kind for row in rows)),
            "model": sorted({row.model for row in rows}),
            "method": sorted({method for row in rows for method in row.methods}),
        },
        known=[
            {"kind": [row.kind], "model": [row.model], "method": list(row.methods), "words": row.words} for row in rows
        ],
        stylesheet=own(FOLDER / "report.css"),
        script=script,
        hash=digest(script),
        version=__version__,
    )
    return text.encode("utf-8", "replace")


def _page_names(entries: Sequence[Entry]) -> list[str]:
    """A file name for each result: by the run's id, else by its folder, numbered where two are alike."""
    if len({entry.folder.resolve() for entry in entries}) < len(entries):
        raise InputError("a result is named twice", field="bundle", hint="name each once")
    names: list[str] = []
    for entry in entries:
        stem = entry.run_id or file_part(entry.folder.name)
        number = sum(name.rsplit(".", 1)[0].split("_")[0] == stem for name in names)
        names.append(f"{stem}_{number + 1}.html" if number else f"{stem}.html")
    return names


def _row(entry: Entry, page: str) -> Row:
    found = load(entry.folder)
    with damage_told(entry.folder):
        spec, sets = found.spec, [prompts.name for prompts in found.spec.prompts]
        methods, answers = _methods(found), _answers(found)
        facts = [describe_run(spec), when(entry.finished), entry.run_id and f"run {entry.run_id}"]
        model, kind = _model(found), KINDS[spec.kind]
        subsets = [subset.name for subset in spec.subsets]
        words = " ".join([spec.name, kind, model, *methods, *sets, *subsets, *answers, entry.run_id])
        return Row(
            f"{RESULTS}/{page}", spec.name, kind, model, methods, [f for f in facts if f], answers, words.casefold()
        )


def _model(found: Found) -> str:
    """The model by the last part of its place; how it was trained, where it is one of a recipe."""
    spec: Any = found.spec
    if spec.model is not None:
        return str(spec.model.path).rstrip("/").rsplit("/", 1)[-1]
    return str(INITS[spec.training.init][0])


def _methods(found: Found) -> list[str]:
    if isinstance(found, TraceFiles):
        return [method_title(found.spec.method.name, found.spec.method.variant)]
    if isinstance(found, UnlearnFiles):
        return [titles(found.spec).get(found.summary["method"], found.summary["method"])]
    return list(dict.fromkeys(validate_frames.titles(found.summary).values()))


def _answers(found: Found) -> list[str]:
    """The sentence of a result; of a trace, that of each prompt set's first side."""
    if isinstance(found, UnlearnFiles):
        return [unlearn_frames.in_words(found.spec, found.summary["verdict"])]
    if not isinstance(found, TraceFiles):
        return [validate_frames.in_words(found.summary, found.summary["verdict"])]
    said = []
    for prompts in found.spec.prompts:
        sides = sides_of(found, prompts.name)
        verdict = trace_frames.verdict(found.summary, prompts.name, sides[0]) if sides else None
        said += [str(verdict["text"])] if verdict else []
    return said
