"""The pages' frames and figures for a notebook or a script, without a server::

from untrac_core.looking import look
demo = look("demo")
demo.bars("toxicity")
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from untrac_core import figures, group_figures, masking, text_figures, trait_figures
from untrac_core import result_frames as frames
from untrac_core.compared_views import ComparedViews
from untrac_core.engine import Store
from untrac_core.errors import InputError
from untrac_core.home import DEMO, is_folder
from untrac_core.results import Result, load_result
from untrac_core.side_by_side import view_of
from untrac_core.traits import TRAITS
from untrac_core.wording import meaning, unit_of

DEMO_NAME = "demo"
DRAWN = (24, 12)
"""Of a longer ranking, how many subsets are drawn from its two ends."""


def look(what: str | Path) -> Look:
    """Open a finished trace: ``demo``, the id of a run, or a result's folder.

    Raises:
        InputError: where there is no such result, or its files are damaged.
    """
    if what == DEMO_NAME:
        return Look(load_result(DEMO / "run"))
    folder = Path(what)
    if is_folder(folder):
        return Look(load_result(folder))
    if isinstance(what, Path) or "/" in what:
        raise InputError(f"there is no folder {str(what)!r}", mend="name a result's folder, or the id of a run")
    return Look(load_result(Store().run(what).folder))


@dataclass(frozen=True)
class Look:
    """One finished trace. ``side`` is ``contrast``, ``harmful`` or ``harmless``; unset, the first that was ranked.

    Influence is the loss after unlearning minus the loss before, in nats per token; positive: the subset makes the text
    more likely. Intervals are of 95%.
    """

    result: Result

    @property
    def prompt_sets(self) -> list[str]:
        """Their names."""
        return [prompts.name for prompts in self.result.spec.prompts]

    def side(self, prompt_set: str, side: str | None = None) -> str:
        """The side itself, or the first that was ranked; :class:`InputError` where there is no such one."""
        known = frames.sides_of(self.result.summary, prompt_set)
        if prompt_set not in self.prompt_sets or not known:
            raise InputError(f"there is no prompt set {prompt_set!r}", mend=f"choose one of {self.prompt_sets}")
        if side is not None and side not in known:
            raise InputError(f"{prompt_set!r} has no side {side!r}", mend=f"choose one of {known}")
        ranked = (one for one in known if not frames.ranking(self.result.summary, prompt_set, one).empty)
        return side or next(ranked, known[0])

    def answer(self, prompt_set: str, side: str | None = None) -> str:
        """The sentence that answers, and what its sign means."""
        side = self.side(prompt_set, side)
        found = frames.verdict(self.result.summary, prompt_set, side)
        prompts = next(one for one in self.result.spec.prompts if one.name == prompt_set)
        return f"{found['text'] if found else 'No verdict.'} {meaning(self.result.spec, prompts, side)}"

    def ranking(self, prompt_set: str, side: str | None = None) -> pd.DataFrame:
        """subset, rank, influence, low, high, separable; the most influential first."""
        return frames.ranking(self.result.summary, prompt_set, self.side(prompt_set, side))

    def bars(self, prompt_set: str, side: str | None = None, *, dark: bool = False) -> go.Figure:
        """The ranking as bars with intervals; a bracket joins what cannot be separated."""
        side = self.side(prompt_set, side)
        method = self.result.spec.method
        return figures.ranked_bars(
            frames.shown(self.ranking(prompt_set, side), DRAWN),
            side=side,
            dark=dark,
            groups=frames.groups(self.result.summary, prompt_set, side) or (),
            unit=unit_of(method),
        )

    def path(self, prompt_set: str, side: str | None = None, *, dark: bool = False) -> go.Figure:
        """Influence over the steps of the unlearning."""
        side = self.side(prompt_set, side)
        points = frames.trajectory(self.result.influence, prompt_set, side)
        drawn = frames.shown(self.ranking(prompt_set, side), DRAWN)
        points = points[points["subset"].isin(drawn["subset"])]
        return figures.trajectory(points, colours=frames.subset_colours(drawn, side), dark=dark)

    def groups(self, prompt_set: str, side: str | None = None) -> pd.DataFrame:
        """Influence by group of prompts (UnTrac): group, subset, influence, low, high, items; empty for others."""
        return self.result.groups(prompt_set, self.side(prompt_set, side))

    def heatmap(self, prompt_set: str, side: str | None = None, *, dark: bool = False) -> go.Figure:
        """Subsets by groups; :class:`InputError` where the result has no numbers by group."""
        side = self.side(prompt_set, side)
        table = self.groups(prompt_set, side)
        if table.empty:
            raise InputError("this result has no numbers by group", mend="trace with the method untrac")
        order = frames.shown(self.ranking(prompt_set, side), DRAWN)["subset"].tolist()
        return group_figures.group_heatmap(table[table["subset"].isin(order)], subsets=order, side=side, dark=dark)

    def texts(
        self, prompt_set: str, side: str | None = None, *, subset: str | None = None, show: bool = False
    ) -> pd.DataFrame:
        """Single training texts, the most influential first (UnTrac-Inv); masked unless ``show``."""
        rows = self.result.examples(prompt_set, self.side(prompt_set, side), subset)
        rows = rows.sort_values("influence", ascending=False, kind="stable").reset_index(drop=True)
        return rows if show else rows.assign(text=[masking.mask(text) for text in rows["text"]])

    def words(
        self, prompt_set: str, subset: str, id: str, side: str | None = None, *, dark: bool = False, show: bool = False
    ) -> go.Figure:
        """One text with the change of every token's loss behind it; masked unless ``show``.

        :class:`InputError` where the text was not looked at token by token: only those at both ends were.
        """
        side = self.side(prompt_set, side)
        pieces = self.result.tokens(prompt_set, side, subset, id)
        if pieces.empty:
            raise InputError(
                f"text {id!r} of {subset!r} was not looked at token by token",
                mend="choose one of the most or least influential texts of its subset",
            )
        return text_figures.token_text(pieces, side=side, dark=dark, masked=not show)

    def traits(self, prompt_set: str, side: str | None = None, *, subset: str = "", dark: bool = False) -> go.Figure:
        """What the most influential texts have in common against the rest; ``subset``: of one, else of all."""
        rows = self.result.traits(prompt_set, self.side(prompt_set, side), subset)
        return trait_figures.trait_effects(rows, {name: told[0] for name, told in TRAITS.items()}, dark=dark)

    def against(self, prompt_set: str, other: str, side: str | None = None, *, of: Look | None = None) -> ComparedViews:
        """This ranking beside another one: of prompt set ``other``, here or in another result.

        Its ``scatter()``, ``lines()``, ``answer()``, ``agreement()`` and ``table`` are those of the compare page.
        """
        return ComparedViews([view_of(self.result, prompt_set, side), view_of((of or self).result, other, side)])
