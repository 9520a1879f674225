"""The blocks that a report is made of, as plain data; templates/blocks.html has a macro for each class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from untrac_core.report.words import Words

Cell = str | int | float | None


@dataclass(frozen=True)
class Heading:
    """A small heading within a part."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text; ``look``: its class; ``lead``: words in bold before it."""

    text: str
    look: str = ""
    lead: str = ""


@dataclass(frozen=True)
class Listed:
    """A list of plain texts."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Code:
    """A text as it is, in letters of one width."""

    text: str


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading; ``look``: ``number`` (to the right), ``wide`` or nothing."""

    heading: str
    look: str = ""


@dataclass(frozen=True)
class Table:
    """A table of plain texts, ``None`` as a dash. ``firsts``: a number 1 is shaded (ranks)."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    firsts: bool = False


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure with buttons for PNG and SVG, the key to its colours as (colour, words), a caption and its numbers.

    ``name``: of a downloaded picture, after the report's stem. ``least``: pixels of width; on a narrower screen it can
    be moved sideways.
    """

    drawn: go.Figure
    name: str
    alt: str
    numbers: Table
    key: Sequence[tuple[str, str]] = ()
    caption: Sequence[str] = ()
    least: int = 0

    @property
    def values(self) -> dict[str, Any]:
        """What plotly.js draws."""
        values: dict[str, Any] = self.drawn.to_dict()
        values["layout"].pop("template", None)  # everything is set; it would be in the file for each figure
        for trace in values["data"]:
            trace.pop("customdata", None)  # what a click on a page tells; nothing here asks for it
        return values


@dataclass(frozen=True)
class Group:
    """Blocks that belong together.

    ``look``: ``box``; ``details``, which open; ``section``, and ``folded`` where it has to be opened; ``pair`` or
    ``pair even``, whose blocks are groups side by side; or nothing. Where there is no script to close it, it is open.
    """

    look: str
    blocks: Sequence[Block]
    heading: str = ""


Block = Heading | Paragraph | Listed | Code | Table | Figure | Group | Words
Part = tuple[str, Sequence[Block]]
"""A heading that is in the contents too, and what stands under it; an empty heading is not shown."""


def figures_of(blocks: Iterable[Block]) -> Iterator[Figure]:
    """The figures among blocks, in the order in which they are read."""
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Group):
            yield from figures_of(block.blocks)
