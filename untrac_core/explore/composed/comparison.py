"""A comparison of rankings as a part of a composed page: the figure and sentences of the page Compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from untrac_core.explore.agreement import agreement_in_words
from untrac_core.explore.comparison import ComparedViews
from untrac_core.explore.quadrants import meaning, question
from untrac_core.explore.ranking_view import RankingView, other_texts
from untrac_core.figures.comparison import CROWDED
from untrac_core.figures.palette import HARMFUL, HARMLESS, UNDECIDED
from untrac_core.report.blocks import Block, Cell, Column, Figure, Group, Listed, Paragraph, Part, Table
from untrac_core.text.limits import NOT_PROOF
from untrac_core.text.numbers import signed

TEXTS_MOST = 8


def comparison(views: Sequence[RankingView]) -> Part:
    """Two to four rankings side by side, the first the baseline."""
    found = ComparedViews(views)
    return question(views), [*_blocks(found)]


def _blocks(found: ComparedViews) -> Iterator[Block]:
    names = zip(found.letters, found.names, found.views, strict=True)
    yield Listed([f"{letter} · {name}, from {view.run_name}" for letter, name, view in names])
    for letter in found.letters[1:]:
        yield Paragraph(found.answer(letter), "answer")
        yield Paragraph(agreement_in_words(found.agreement(letter), f"A{letter}"))
    if changed := other_texts(found.views):
        more = f" and {len(changed) - TEXTS_MOST} more" if len(changed) > TEXTS_MOST else ""
        said = f"The same name, but other texts: {', '.join(changed[:TEXTS_MOST])}{more}."
        yield Group("box", [Listed([f"{said} A move of these may come from their texts."])], "Warnings")
    for letter in found.letters[1:]:
        yield from _scatter(found, letter)
    yield Paragraph(NOT_PROOF, "quiet")


def _scatter(found: ComparedViews, letter: str) -> Iterator[Block]:
    """The baseline against another view, a point per subset, with all numbers below."""
    both = found.table["views"].str.contains("A") & found.table["views"].str.contains(letter)
    if not both.any():
        yield Paragraph(f"No subset is in both A and {letter}, so there is no point to draw.")
        return
    first, second = found.views[0], found.of(letter)
    said = f"A. {meaning(first)}" + ("" if meaning(first) == meaning(second) else f" {letter}. {meaning(second)}")
    crowded = ["Only the outermost are named."] if both.sum() > CROWDED else []
    yield Figure(
        found.scatter(letter),
        name=f"A-and-{letter}",
        alt=f"Every subset as a point: its value in view A across, in view {letter} upwards, with intervals both ways",
        numbers=_numbers(found, letter),
        key=[
            ("", f"inside: A, ring: {letter}"),
            (HARMFUL, "towards the harm"),
            (HARMLESS, "away from it"),
            (UNDECIDED, f"cannot separate from zero in A or in {letter}"),
        ],
        caption=[said, *crowded],
    )


def _numbers(found: ComparedViews, letter: str) -> Table:
    columns = [Column("Subset")]
    for one in ("A", letter):
        columns += [Column(f"{part} {one}", "number") for part in ("Rank", "Value", "95 % interval")]
    rows: list[list[Cell]] = []
    for row in found.table.to_dict("records"):
        cells: list[Cell] = [str(row["subset"])]
        for one in ("A", letter):
            if one not in row["views"]:
                cells += [None, None, None]
                continue
            low, high = row[f"low_{one}"], row[f"high_{one}"]
            ends = "no interval" if low != low or high != high else f"{signed(low)} to {signed(high)}"
            cells += [int(row[f"rank_{one}"]), signed(row[f"value_{one}"]), ends]
        rows.append(cells)
    units = dict.fromkeys(found.of(one).unit for one in ("A", letter))
    return Table(columns, rows, caption="; ".join(units))
