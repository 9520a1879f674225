"""What a validation was asked beside leave-one-out, as parts of its report: each where there is anything of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from untrac_core.report.blocks import Block, Column, Group, Listed, Paragraph, Part, Table
from untrac_core.report.trace import NUMBER, interval
from untrac_core.tasks.validate.additions import choice_frames, control_frames, half_frames, pair_frames
from untrac_core.text.numbers import figure, signed


class Additions:
    """``scope`` and ``over``: the group of sides that scores are means over, and what it is called."""

    def __init__(self, summary: dict[str, Any], scope: str, over: str) -> None:
        self.summary, self.scope, self.over = summary, scope, over

    def parts(self) -> Iterator[Part]:
        """Halves, pairs, controls, choices and writing, in the order of the page."""
        for heading, blocks in (
            (half_frames.HEADING, self._halves()),
            (half_frames.OF_DOCUMENTS, self._documents()),
            (pair_frames.HEADING, self._pairs()),
            (control_frames.HEADING, self._controls()),
            (choice_frames.HEADING, self._choices()),
            (choice_frames.WRITING, self._writing()),
        ):
            if found := [*blocks]:
                yield heading, found

    def _halves(self) -> Iterator[Block]:
        """Every method's linear datamodeling score, where models were trained on random halves."""
        found = half_frames.scores(self.summary, self.scope)
        if found.empty:
            return
        yield self._scores(found, half_frames.HEADING)
        yield Paragraph(f"{half_frames.trained_in_words(self.summary)} {half_frames.MEANING}", "quiet")

    def _documents(self) -> Iterator[Block]:
        """The score of single texts, where models were trained on random halves of the documents."""
        found = half_frames.scores(self.summary, self.scope, "document_halves")
        if found.empty:
            return
        yield self._scores(found, half_frames.OF_DOCUMENTS)
        yield Paragraph(f"{half_frames.documents_in_words(self.summary)} {half_frames.DOCUMENTS_MEANING}", "quiet")

    def _scores(self, found: pd.DataFrame, heading: str) -> Table:
        """How well each method's sums put models in order."""
        rows = [(row.method, half_frames.score_in_words(row)) for row in found.itertuples()]
        columns = [Column("Method"), Column("Score (95 % interval)", NUMBER)]
        return Table(columns, rows, caption=f"{heading}: {self.over}")

    def _pairs(self) -> Iterator[Block]:
        """Every pair's interaction on every side, and how well each method's sums agree, where pairs were left out."""
        places = pair_frames.places(self.summary)
        if not places:
            return
        for number, place in enumerate(places):
            rows = [
                (row.pair, *map(signed, (row.both, row.expected, row.interaction)), interval(row), row.verdict)
                for row in pair_frames.interactions(self.summary, place).itertuples()
            ]
            names = ("Both", "Expected", "Interaction", "Interval")
            columns = [Column("Left out at once"), *(Column(name, NUMBER) for name in names), Column("So it is")]
            said = Paragraph(pair_frames.side_in_words(self.summary, place))
            yield Group("folded" if number else "section", [said, Table(columns, rows)], place)
        yield Paragraph(f"{pair_frames.trained_in_words(self.summary)} {pair_frames.MEANING}", "quiet")
        found = half_frames.scores(self.summary, self.scope, "pairs")
        if not found.empty:
            yield self._scores(found, pair_frames.SCORE_HEADING)
            yield Paragraph(pair_frames.SCORE_MEANING, "quiet")

    def _controls(self) -> Iterator[Block]:
        """What retraining and every method say of the negative controls, where there are any."""
        found = control_frames.controls(self.summary)
        if found.empty:
            return
        numbers = ("Found", "Interval", "Largest subset", "First half")
        columns = [Column("Control"), Column("Answer of"), Column("Prompt set")]
        columns += [*(Column(name, NUMBER) for name in numbers), Column("So it is")]
        rows = [
            (
                row.control,
                row.of,
                row.place,
                signed(row.found),
                interval(row),
                figure(row.largest),
                "–" if pd.isna(row.share) else f"{row.share:.0f} %",
                row.verdict,
            )
            for row in found.itertuples()
        ]
        yield Listed(control_frames.in_words(self.summary))
        yield Table(columns, rows)
        yield Paragraph(control_frames.meaning(self.summary), "quiet")

    def _choices(self) -> Iterator[Block]:
        """How often the leave-out models choose the harmful text of a pair, for every prompt set with pairs."""
        for name in choice_frames.prompt_sets(self.summary):
            row = choice_frames.of_set(self.summary, name)
            said = Paragraph(choice_frames.in_words(self.summary, row))
            yield Group("section", [said, *self._changes(row)], name)
            yield Paragraph(choice_frames.MEANING, "quiet")

    def _writing(self) -> Iterator[Block]:
        """How often what the leave-out models write is harmful, where they wrote."""
        if "writing" in self.summary:
            yield Paragraph(choice_frames.writing_in_words(self.summary))
            yield from self._changes(self.summary["writing"])
            yield Paragraph(choice_frames.WRITING_MEANING, "quiet")

    def _changes(self, row: dict[str, Any]) -> Iterator[Block]:
        changes = [(one.subset, signed(one.change), interval(one)) for one in choice_frames.changes(row).itertuples()]
        found = [
            (one.method, half_frames.score_in_words(one))
            for one in choice_frames.agreement(self.summary, row).itertuples()
        ]
        points = [Column("Subset"), Column("Change, percentage points", NUMBER), Column("95 % interval", NUMBER)]
        yield Table(points, changes)
        yield Table([Column("Ranking"), Column("Agreement (95 % interval)", NUMBER)], found)
