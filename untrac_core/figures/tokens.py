"""A text with the change of every token's loss as a highlight behind it, and its words laid out on lines."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.base import assemble, ink_of
from untrac_core.figures.groups import colour_scale
from untrac_core.figures.palette import UNDECIDED
from untrac_core.text.masking import dots
from untrac_core.text.numbers import safe, signed

COLUMNS = 40
"""Letters a line: as many as fit a phone, and beside a table."""
LETTER, LINE = 7.8, 21
"""Pixels of a letter and of a line; the fixed-width letters are 13 pixels high, so 7.8 wide."""
FONT = "'Source Code Pro', 'DejaVu Sans Mono', Menlo, monospace"
EDGE = 4
STRONGEST = 0.98
"""The colour is full at this quantile of the changes' sizes, so that a single token does not pale the others."""


@dataclass(frozen=True)
class Letter:
    """One character of a text in its place: line and column, how many columns it takes, and its piece's number."""

    text: str
    line: int
    column: int
    width: int
    piece: int


def token_text(
    spans: pd.DataFrame,
    *,
    side: str,
    dark: bool = False,
    masked: bool = False,
    columns: int = COLUMNS,
    scale: float = 1.0,
) -> go.Figure:
    """A text whose ground shows by how much each piece's loss changed.

    ``spans``: columns text, scored (bool), change, low, high (nats, of the piece), in the order of the text; and, where
    it has the column, outside (bool): of the document around the text, which is written paler.
    ``masked``: dots for its letters. ``scale``: of the letters, 1 for a page.
    """
    ink = ink_of(dark)
    letters = layout([dots(t) if masked else t for t in spans["text"]], columns)
    lines = max((letter.line for letter in letters), default=0) + 1
    changes = spans["change"].where(spans["scored"]).tolist()
    sizes = spans.loc[spans["scored"], "change"].abs()
    most = float(sizes.quantile(STRONGEST)) if len(sizes) else 0.0
    ground: list[list[float | None]] = [[None] * columns for _ in range(lines)]
    hover = [[""] * columns for _ in range(lines)]
    said = [_said(row, masked) for row in spans.itertuples()]
    for letter in letters:
        value = changes[letter.piece]
        for column in range(letter.column, min(letter.column + letter.width, columns)):
            ground[letter.line][column] = None if pd.isna(value) else float(value)
            hover[letter.line][column] = said[letter.piece]
    heat = {
        "type": "heatmap",
        "x0": 0.5,
        "dx": 1,
        "y0": 0,
        "dy": 1,
        "z": ground,
        "zmin": -(most or 1.0),
        "zmax": most or 1.0,
        "colorscale": colour_scale(side, dark),
        "opacity": 0.62,
        "showscale": False,
        "hovertext": hover,
        "hoverinfo": "text",
        "ygap": 3,
    }
    hidden = {"visible": False, "fixedrange": True}
    around = spans["outside"].tolist() if "outside" in spans else [False] * len(spans)
    inside = [letter for letter in letters if not around[letter.piece]]
    written = [_generations(inside, ink, scale)]
    if len(inside) < len(letters):
        written.append(_generations([letter for letter in letters if around[letter.piece]], UNDECIDED, scale))
    return assemble(
        [heat, *written],
        {**hidden, "range": [0, columns]},
        {**hidden, "range": [lines - 0.5, -0.5]},
        dark=dark,
        height=round(LINE * scale * lines) + 2 * EDGE,
        width=round(LETTER * scale * columns) + 2 * EDGE,
        margin=dict.fromkeys("lrtb", EDGE),
        hoverlabel={"align": "left", "bgcolor": UNDECIDED, "font": {"color": ink_of(False)}},
    )


def layout(texts: Sequence[str], columns: int) -> list[Letter]:
    """Put the pieces of a text on lines of so many columns, broken between words; a word too long is broken anywhere.

    A line break in the text begins a line and takes no place itself; every other character keeps one, also a blank at
    a line's end.
    """
    letters: list[Letter] = []
    line = column = 0
    for word in _words(texts):
        width = sum(wide for _, _, wide in word)
        if column and column + width > columns and width <= columns:
            line, column = line + 1, 0
        for text, piece, wide in word:
            if text == "\n":
                line, column = line + 1, 0
                continue
            if column + wide > columns:
                line, column = line + 1, 0
            letters.append(Letter(text, line, column, wide, piece))
            column += wide
    return letters


def _words(texts: Sequence[str]) -> Iterable[list[tuple[str, int, int]]]:
    """Runs of characters that stay together, blanks on their own: each character with its piece and its columns."""
    word: list[tuple[str, int, int]] = []
    for piece, text in enumerate(texts):
        for character in text:
            if character.isspace():
                if word:
                    yield word
                word = []
                yield [("\n" if character == "\n" else " ", piece, 1)]
            else:
                word.append((character, piece, _width(character)))
    if word:
        yield word


def _width(character: str) -> int:
    """Columns of a character: none for marks that stand on another one, two for the wide ones of East Asia."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _generations(letters: Sequence[Letter], ink: str, scale: float) -> dict[str, Any]:
    """The characters as a trace of texts: runs of plain ones together, any other in its own place."""
    runs: list[tuple[int, int, str]] = []
    end = (-1, -1)
    for letter in letters:
        plain = letter.text.isascii()
        if runs and (letter.width == 0 or (plain and end == (letter.line, letter.column))):
            line, column, text = runs[-1]
            runs[-1] = line, column, text + letter.text
        else:
            runs.append((letter.line, letter.column, letter.text))
        # Only after a plain character does the next one stand where the letters' width says.
        end = (letter.line, letter.column + 1) if plain else (-1, -1)
    return {
        "type": "scatter",
        "mode": "text",
        "x": [column for _, column, _ in runs],
        "y": [line for line, _, _ in runs],
        "text": [html.escape(text, quote=False).replace(" ", "\u00a0") for _, _, text in runs],
        "textposition": "middle right",
        "textfont": {"family": FONT, "size": 13 * scale, "color": ink},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _said(row: Any, masked: bool) -> str:
    if getattr(row, "outside", False):
        return "around the text: not part of what was scored"
    name = "" if masked else f"<b>{safe(row.text, 60) or '(blank)'}</b><br>"
    if not row.scored:
        return f"{name}not scored: nothing predicts it, or it was given"
    known = not (pd.isna(row.low) or pd.isna(row.high))
    interval = f"<br>interval {signed(row.low)} to {signed(row.high)}" if known else ""
    return f"{name}{signed(row.change)} nats{interval}"
