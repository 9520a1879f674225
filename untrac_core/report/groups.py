"""The part of a trace's report on groups: which subset moves the texts about whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from untrac_core.figures.groups import group_heatmap
from untrac_core.report.blocks import Block, Column, Figure, Heading, Table
from untrac_core.specs import PromptSet
from untrac_core.text.numbers import signed

GROUPS_MOST = 40
"""Groups drawn and listed at most; the file has all."""


def group_part(
    cells: pd.DataFrame, prompts: PromptSet, side: str, subsets: Sequence[str], stem: str, part: str, unit: str
) -> Iterator[Block]:
    """The heatmap of ``subsets`` and groups with its numbers; nothing where there are none.

    ``cells``: of one side, as :meth:`Result.groups` gives them.
    ``part``: which part of the ranking ``subsets`` are, in words. ``unit``: of the influence.
    """
    cells = cells[cells["subset"].isin(set(subsets))]
    if cells.empty:
        return
    named = sorted(cells["group"].unique())
    cells = cells[cells["group"].isin(named[:GROUPS_MOST])]
    said = (
        "Grey: zero is inside the interval, which is widened for the number of cells. A number is the influence on the "
        f"group's own items. {part}"
    )
    if len(named) > GROUPS_MOST:
        said += f" Drawn: {GROUPS_MOST} of {len(named)} groups."
    yield Heading("About whom?")
    yield Figure(
        group_heatmap(cells, subsets=subsets, side=side, unit=unit),
        name=f"{stem}-groups",
        alt=f"Heatmap: the influence of each subset on each group of {prompts.name}, {side}",
        caption=[said],
        numbers=_numbers(cells, subsets, unit),
        least=180 + 30 * min(len(named), GROUPS_MOST),
    )


def _numbers(cells: pd.DataFrame, subsets: Sequence[str], unit: str) -> Table:
    """A row per subset, a column per group; in brackets where zero is inside the interval."""
    said = [
        signed(value) if low > 0 or high < 0 else f"({signed(value)})"
        for value, low, high in zip(cells["influence"], cells["low"], cells["high"], strict=True)
    ]
    wide = cells.assign(said=said).pivot(index="subset", columns="group", values="said")
    wide = wide.reindex(list(subsets)).fillna("–")
    columns = [Column("Subset"), *(Column(str(group), "number") for group in wide.columns)]
    rows = [[name, *values] for name, values in zip(wide.index, wide.to_numpy(), strict=True)]
    return Table(columns, rows, caption=f"{unit}; in brackets: zero is inside the interval")
