"""One self-contained HTML file of a finished trace or validation: it asks no network for anything.

Figures, tables and words are those of the pages. Texts are masked unless asked for. The same result gives the same
bytes: the only time in it is the run's own.

Templates alone write HTML, and escape every word. plotly.js is in the file once: the whole bundle (4.8 MB), as the
plotly package ships no smaller one. A policy in the file's head names the two scripts by their hash and forbids every
request, so that even a text which got past the escaping could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import plotly
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from untrac_core import __version__
from untrac_core.errors import InputError
from untrac_core.figures.base import ink_of
from untrac_core.figures.palette import GROUND
from untrac_core.report.blocks import Block, Code, Column, Group, Listed, Paragraph, Part, Table, figures_of
from untrac_core.report.trace import TraceReport
from untrac_core.report.validate import ValidationReport
from untrac_core.results.export import file_part, pretty
from untrac_core.results.folders import SPEC, TraceFiles, ValidateFiles, kind_of_result, load_trace, load_validate
from untrac_core.tasks.registry import describe_run

FOLDER = Path(__file__).parent / "templates"
ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
ENVIRONMENT.filters["kind"] = lambda block: type(block).__name__
ENVIRONMENT.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
TEMPLATE = ENVIRONMENT.get_template("report.html")
SWAP = {ink_of(False): ink_of(True), GROUND["light"]: GROUND["dark"]}
"""The colours of a figure that are others in the dark look."""


def report(folder: str | Path, *, finished: float | None = None, run_id: str = "", show_texts: bool = False) -> bytes:
    """The report of a result folder, as HTML.

    ``finished``: when the run ended, in seconds since 1970; 0 stands for the recorded demo. ``run_id``: its id, where
    it has one. ``show_texts``: training texts as they are.

    Raises:
        InputError: where the folder holds no finished trace or validation, or a file of it is damaged.
    """
    folder = Path(folder)
    found = _load(folder)
    try:
        made = TraceReport(found, show_texts=show_texts) if isinstance(found, TraceFiles) else ValidationReport(found)
        parts = [(heading, blocks) for heading, blocks in (*made.parts(), *_made_by(found)) if blocks]
        figures = [figure for _, blocks in parts for figure in figures_of(blocks)]
        page = TEMPLATE.render(
            title=made.title,
            name=found.spec.name,
            facts=[describe_run(found.spec), _when(finished), run_id and f"run {run_id}"],
            notice=made.notice,
            parts=parts,
            figures=figures,
            drawings={"swap": SWAP, "figures": [figure.values for figure in figures]},
            stem=f"untrac-{run_id or file_part(folder.name)}",
            stylesheet=_own(FOLDER / "report.css"),
            scripts=_scripts(),
            version=__version__,
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
        raise InputError(
            f"a file is damaged ({type(error).__name__})", field=f"result {folder.name!r}", hint="run it again"
        ) from error
    return page.encode("utf-8", "replace")


def _load(folder: Path) -> TraceFiles | ValidateFiles:
    """The result in a folder; :class:`InputError` where it is neither a trace nor a validation."""
    kind = kind_of_result(folder)
    if kind == "trace":
        return load_trace(folder)
    if kind == "validate":
        return load_validate(folder)
    hint = "name the folder of a finished trace or validation"
    raise InputError("this kind of run has no report", field=f"result {folder.name!r}", hint=hint)


def _when(finished: float | None) -> str:
    if not finished:
        return "" if finished is None else "recorded"
    at = time.gmtime(finished)
    return f"finished {at.tm_mday} {time.strftime('%B %Y, %H:%M', at)} UTC"


def _made_by(found: TraceFiles | ValidateFiles) -> Iterator[Part]:
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


@cache
def _scripts() -> dict[str, Markup]:
    """plotly.js, as the plotly package brings it, and the report's own script, by what names each in the policy."""
    bundle = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    found = [_own(path) for path in (bundle, FOLDER / "report.js")]
    return {f"sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}": one for one in found}


def _own(path: Path) -> Markup:
    """A script or stylesheet as it is; nothing in it may end the element that holds it."""
    text = path.read_text(encoding="utf-8").replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return Markup(text)  # noqa: S704 - a file of ours or of plotly's, without any word of a user
