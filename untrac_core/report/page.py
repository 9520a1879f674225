"""A page of blocks as one HTML file: escaped by templates, its scripts named by a policy that forbids every request.

Templates alone write HTML, and escape every word. plotly.js is in the file once: the whole bundle (4.8 MB), as the
plotly package ships no smaller one. A policy in the file's head names the two scripts by their hash and forbids every
request, so that even a text which got past the escaping could neither run nor load anything. In a folder of pages
plotly.js lies beside them, and the policy names it by a number that no text can know.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import plotly
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from untrac_core import __version__
from untrac_core.figures.base import ink_of
from untrac_core.figures.comparison import HALO
from untrac_core.figures.palette import GROUND
from untrac_core.report.blocks import Part, figures_of

FOLDER = Path(__file__).parent / "templates"
ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
ENVIRONMENT.filters["kind"] = lambda block: type(block).__name__
ENVIRONMENT.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
SWAP = {ink_of(False): ink_of(True), GROUND["light"]: GROUND["dark"], HALO[False]: HALO[True]}
"""The colours of a figure that are others in the dark look."""
TEXTS = ("customdata", "hovertext", "ticktext", "tickvals", "text", "name", "x", "y", "z")
"""Where a figure has words and values and no colours."""


@dataclass(frozen=True)
class Shared:
    """Where a page of a folder finds what lies beside it: plotly.js, and the list of all pages. ``nonce``: a number
    that the policy lets the first of them run by; no text of a user may know it."""

    plotly: str
    index: str
    nonce: str


@dataclass(frozen=True)
class Page:
    """What a page says. ``name``: what a user called it; ``facts``: what it is of, in a line; ``notice``: a warning;
    ``stem``: what its pictures are called when they are saved."""

    title: str
    name: str
    facts: Sequence[str]
    notice: str
    parts: Sequence[Part]
    stem: str


def render(page: Page, shared: Shared | None = None) -> bytes:
    """A page as HTML; ``shared``: it is one of a folder of pages."""
    parts = [(heading, blocks) for heading, blocks in page.parts if blocks]
    figures = [figure for _, blocks in parts for figure in figures_of(blocks)]
    scripts = [own(FOLDER / "report.js")] if shared else [own(PLOTLY), own(FOLDER / "report.js")]
    text = ENVIRONMENT.get_template("report.html").render(
        page=page,
        facts=[fact for fact in page.facts if fact],
        parts=parts,
        figures=figures,
        drawings={"swap": SWAP, "figures": [figure.values for figure in figures]},
        stylesheet=own(FOLDER / "report.css"),
        scripts={digest(script): script for script in scripts},
        shared=shared,
        version=__version__,
    )
    return text.encode("utf-8", "replace")


def in_dark(value: Any) -> Any:
    """What plotly draws in the inks of the dark look, as the script of a report does; texts are left alone."""
    if isinstance(value, str):
        return SWAP.get(value, value)
    if isinstance(value, list | tuple):
        return [in_dark(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: one if key in TEXTS and key != "title" else in_dark(one) for key, one in value.items()}


def when(finished: float | None) -> str:
    """When a run ended, in words; ``finished``: in seconds since 1970, 0 for what is recorded."""
    if not finished:
        return "" if finished is None else "recorded"
    at = time.gmtime(finished)
    return f"finished {at.tm_mday} {time.strftime('%B %Y, %H:%M', at)} UTC"


@cache
def own(path: Path) -> Markup:
    """A script or stylesheet as it is; nothing in it may end the element that holds it."""
    text = path.read_text(encoding="utf-8").replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return Markup(text)  # noqa: S704 - a file of ours or of plotly's, without any word of a user


@cache
def digest(script: Markup) -> str:
    """What names a script in a policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
