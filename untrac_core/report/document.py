"""The document that a report is: escaped text, tables, figures, and one file that asks no network for anything.

plotly.js is in the file once: the whole bundle (4.8 MB), as the plotly package ships no smaller one. A policy in the
file's head names the two scripts by their hash and forbids every request, so that even a text which got past the
escaping could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import plotly
import plotly.graph_objects as go

from untrac_core.colours import GROUND
from untrac_core.figure_parts import ink_of
from untrac_core.report.style import CSS, SCRIPT

Cell = str | int | float | None


def escaped(text: object) -> str:
    """A text for HTML, in content and in quoted attributes."""
    return html.escape(str(text), quote=True)


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; ``kind``: its class."""
    return f"<p{_class(kind)}>{escaped(text)}</p>"


def listed(texts: Iterable[str]) -> str:
    """A list of plain texts; nothing where there are none."""
    items = "".join(f"<li>{escaped(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def box(heading: str, inner: str) -> str:
    """A framed part under a heading of ours; nothing where there is nothing in it."""
    return f'<div class="box"><strong>{escaped(heading)}</strong>{inner}</div>' if inner else ""


def code(text: str) -> str:
    """A text as it is, in letters of one width."""
    return f"<pre>{escaped(text)}</pre>"


def key(marks: Iterable[tuple[str, str]]) -> str:
    """The key to a figure's colours: (colour, words)."""
    return " · ".join(
        f'<span><span class="dot" style="background:{escaped(tint)}"></span>{escaped(words)}</span>'
        for tint, words in marks
    )


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading; ``kind``: ``number`` (to the right), ``wide`` or nothing."""

    heading: str
    kind: str = ""


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, caption: str = "", firsts: bool = False) -> str:
    """A table of plain texts, ``None`` as a dash. ``firsts``: a number 1 is shaded (ranks)."""
    head = "".join(f'<th scope="col"{_class(column.kind)}>{escaped(column.heading)}</th>' for column in columns)
    kinds = [_class(column.kind) for column in columns]
    body = []
    for row in rows:
        cells = []
        for cell, kind in zip(row, kinds, strict=True):
            first = firsts and cell == 1
            cells.append(
                f"<td{_class('number first') if first else kind}>{'–' if cell is None else escaped(cell)}</td>"
            )
        body.append(f"<tr>{''.join(cells)}</tr>")
    said = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{said}<thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def details(summary: str, inner: str) -> str:
    """A part that opens; where there is no JavaScript to close it at first, it is open."""
    return f"<details open><summary>{escaped(summary)}</summary>{inner}</details>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


@dataclass
class Document:
    """A report in the making. ``stem``: what the names of downloaded pictures begin with."""

    title: str
    stem: str
    parts: list[str] = field(default_factory=list)
    contents: list[tuple[str, str]] = field(default_factory=list)
    _figures: list[str] = field(default_factory=list)

    def add(self, *parts: str) -> None:
        """Append HTML that was made by the functions of this module."""
        self.parts += parts

    def heading(self, text: str) -> None:
        """A heading of the second level, which is in the contents too."""
        anchor = f"part-{len(self.contents) + 1}"
        self.contents.append((anchor, text))
        self.add(f'<h2 id="{anchor}">{escaped(text)}</h2>')

    @contextmanager
    def section(self, heading: str, *, folded: bool) -> Iterator[None]:
        """What is added within it stands under a heading of the third level; ``folded``: once there is a script."""
        title = f"<h3>{escaped(heading)}</h3>"
        self.add(f'<details class="section" open><summary>{title}</summary>' if folded else title)
        yield
        self.add("</details>" if folded else "")

    def figure(
        self, drawn: go.Figure, *, name: str, alt: str, caption: str = "", numbers: str = "", least: int = 0
    ) -> str:
        """A figure with buttons for PNG and SVG and its table beneath.

        ``name``: of a downloaded picture, after the report's stem. ``caption``, ``numbers``: HTML of this module.
        ``least``: pixels of width; on a narrower screen it can be moved sideways.
        """
        values = drawn.to_dict()
        values["layout"].pop("template", None)  # everything is set; it would be in the file for each figure
        for trace in values["data"]:
            trace.pop("customdata", None)  # what a click on a page tells; nothing here asks for it
        index = len(self._figures)
        self._figures.append(json.dumps(values, separators=(",", ":"), allow_nan=False))
        place, height = f"figure-{index + 1}", int(values["layout"].get("height", 240))
        buttons = "".join(
            f'<button type="button" data-format="{kind}" data-of="{place}" '
            f'aria-label="{escaped(f"Save as {kind.upper()}: {alt}")}">{kind.upper()}</button>'
            for kind in ("png", "svg")
        )
        beneath = details("The numbers of this figure", numbers) if numbers else ""
        return (
            f'<figure><div class="scroll"><div class="drawing" id="{place}" role="img" aria-label="{escaped(alt)}" '
            f'data-figure="{index}" '
            f'data-name="{escaped(f"{self.stem}-{name}")}" style="--height:{height}px;--least:{least}px">'
            f'</div></div><figcaption><span class="take">{buttons}</span>{caption}</figcaption>{beneath}</figure>'
        )

    def html(self, *, top: str, foot: str) -> bytes:
        """The whole file: ``top`` under the title, then the contents, the parts and ``foot``."""
        bundle = _bundle()
        entries = "".join(f'<li><a href="#{anchor}">{escaped(text)}</a></li>' for anchor, text in self.contents)
        swap = {ink_of(False): ink_of(True), GROUND["light"]: GROUND["dark"]}
        data = f'{{"swap":{json.dumps(swap)},"figures":[{",".join(self._figures)}]}}'
        policy = (
            f"default-src 'none'; script-src '{_hash(bundle)}' '{_hash(SCRIPT.encode())}'; style-src 'unsafe-inline'; "
            "img-src data: blob:; base-uri 'none'; form-action 'none'"
        )
        head = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n'
            f"<title>{escaped(self.title)} · untrac</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
            f"<header><h1>{escaped(self.title)}</h1>{top}"
            f'<nav aria-label="Contents"><ul>{entries}</ul></nav></header>\n'
            '<main>\n<p class="still">The figures need JavaScript; all their numbers are in the tables.</p>\n'
            f"{chr(10).join(self.parts)}\n</main>\n<footer>{foot}</footer>\n"
            f'<script type="application/json" id="figures">{in_script(data)}</script>\n<script>'
        )
        tail = f"</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
        return b"".join((head.encode("utf-8", "replace"), bundle, tail.encode()))


def in_script(text: str) -> str:
    """JSON for a script element: nothing in it can end the element or begin a comment."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _bundle() -> bytes:
    """plotly.js, as the plotly package brings it; nothing in it may end the script element that holds it."""
    script = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
    return script.replace(b"\r\n", b"\n").replace(b"</script", b"<\\/script").replace(b"<!--", b"<\\!--")


@cache
def _hash(script: bytes) -> str:
    """What names a script in the policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script).digest()).decode()
