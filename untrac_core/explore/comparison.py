"""Two views or more as one thing: joined, drawn and answered, for pages and notebooks alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pandas as pd
import plotly.graph_objects as go

from untrac_core.explore import quadrants
from untrac_core.explore.agreement import RankAgreement, rank_agreement, significant_rank_changes
from untrac_core.explore.ranking_view import LETTERS, RankingView, joined, names
from untrac_core.figures import comparison as comparison_figures
from untrac_core.figures.base import LETTERS as LETTERS_SIZE

SHORT = 16
"""Letters of a view's name that stand over its places."""
PARTS = (("value", ""), ("low", "_low"), ("high", "_high"), ("sign", "_sign"))


class ComparedViews:
    """Rankings side by side, the first the baseline; a letter from A on stands for each. Never to be altered."""

    def __init__(self, views: Sequence[RankingView]) -> None:
        self.views = list(views)
        self.names = names(self.views)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per subset, as :func:`untrac_core.explore.ranking_view.joined` gives it."""
        return joined(self.views)

    @cached_property
    def holds(self) -> pd.DataFrame:
        """Whether a subset's move against the baseline is more than the intervals allow, a column a letter."""
        return significant_rank_changes(self.views, self.table)

    @property
    def letters(self) -> str:
        """A letter for each view, the baseline's first."""
        return LETTERS[: len(self.views)]

    def of(self, letter: str) -> RankingView:
        """The view with this letter."""
        return self.views[LETTERS.index(letter)]

    def pair(self, letter: str = "B") -> pd.DataFrame:
        """The subsets of the baseline and of another view, as :func:`comparison_figures.view_scatter` takes them."""
        both = self.table["views"].str.contains("A") & self.table["views"].str.contains(letter)
        columns = {f"{part}_{one}": f"{axis}{end}" for one, axis in (("A", "x"), (letter, "y")) for part, end in PARTS}
        rows = self.table.loc[both, ["subset", *columns]].rename(columns=columns)
        pair = (self.views[0], self.of(letter))
        signs = zip(rows["x_sign"], rows["y_sign"], strict=True)
        return rows.assign(words=[quadrants.quadrant(*pair, x, y, f"A{letter}") for x, y in signs])

    def answer(self, letter: str = "B") -> str:
        """What the subsets do in the baseline and in another view; holds a user's words (show as text)."""
        return quadrants.answer(self.views[0], self.of(letter), self.table, f"A{letter}")

    def agreement(self, letter: str = "B") -> RankAgreement:
        """How far the orders of the baseline and of another view agree."""
        return rank_agreement(self.views[0], self.of(letter))

    def scatter(
        self, letter: str = "B", *, dark: bool = False, size: int = LETTERS_SIZE, height: int = 460
    ) -> go.Figure:
        """The baseline across and another view upwards, a point per subset. ``size``: of the letters, in pixels."""
        first, second = self.views[0], self.of(letter)
        return comparison_figures.view_scatter(
            self.pair(letter),
            across=self._axis("A"),
            upwards=self._axis(letter),
            corners=quadrants.corners(first, second, f"A{letter}"),
            harm=(first.harm(1), second.harm(1)),
            dark=dark,
            size=size,
            height=height,
        )

    def plot(self, *, dark: bool = False) -> go.Figure:
        """Two views as a point per subset; more of them as lines of places."""
        return self.scatter(dark=dark) if len(self.views) == 2 else self.lines(dark=dark)

    def lines(self, *, dark: bool = False) -> go.Figure:
        """The places of the subsets that all views have, as lines from view to view."""
        shared = self.table[self.table["place_A"].notna()].set_index("subset")
        places = shared[[f"place_{letter}" for letter in self.letters]]
        short = len(self.letters) == 2 and max(map(len, self.names)) <= SHORT
        labels = [
            f"{letter} · {name}" if short else letter for letter, name in zip(self.letters, self.names, strict=True)
        ]
        return comparison_figures.place_lines(places, self.holds, names=labels, dark=dark)

    def _axis(self, letter: str) -> tuple[str, str]:
        view, name = self.of(letter), self.names[LETTERS.index(letter)]
        return f"{letter} · {name}", f"influence, {view.unit}" if view.measures_loss else view.unit
