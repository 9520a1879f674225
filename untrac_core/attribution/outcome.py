"""Several attribution methods on one study: their cells in one list, and each cell done by the method it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pandas as pd

from untrac_core.attribution.base import BLOCKS, ITEMS, AttributionContext, Method, failed_frame, make_method
from untrac_core.attribution.continuation import Continuation
from untrac_core.attribution.rest_flow import RestFlow
from untrac_core.attribution.untrac import Unlearner
from untrac_core.cells import Cell
from untrac_core.errors import InputError
from untrac_core.specs import MethodSpec
from untrac_core.specs.parts import CONTRAST


class MethodRunner:
    """The methods of a run, by their titles; the first is the one that was asked for, the others stand beside it."""

    def __init__(self, specs: Sequence[MethodSpec], *, first_may_fail: bool = False) -> None:
        """Raises :class:`InputError` for settings that a method does not have."""
        self.methods: dict[str, Method] = {spec.title: make_method(spec) for spec in specs}
        self._must = None if first_may_fail else specs[0].title

    def cells(self, study: AttributionContext) -> list[Cell]:
        """The cells of every method, one method after the other."""
        return [replace(cell, method=title) for title, method in self.methods.items() for cell in method.cells(study)]

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """One cell's table; of a method that cannot work on this model or data, a table that says why."""
        try:
            return self.methods[cell.method].run(study, cell)
        except InputError as error:
            if cell.method == self._must:
                raise
            return failed_frame(str(error))

    def outcomes(
        self, study: AttributionContext, cells: Sequence[Cell], frames: Sequence[pd.DataFrame]
    ) -> list[MethodOutput]:
        """The cells and tables of each method."""
        pairs = groupby(zip(cells, frames, strict=True), key=lambda pair: pair[0].method)
        found = []
        for title, group in pairs:
            own = list(group)
            tables = [frame for _, frame in own]
            found.append(method_output(study, self.methods[title], title, [cell for cell, _ in own], tables))
        return found


@dataclass(frozen=True)
class MethodOutput:
    """The cells of one method, each with its table, and the study that they belong to."""

    study: AttributionContext
    method: Method
    title: str
    cells: Sequence[Cell]
    frames: Sequence[pd.DataFrame]
    """Of what the method watches."""
    of_items: Sequence[pd.DataFrame] = ()
    """Of a method that watches blocks and has the same influence item by item as well: each seed's own items."""

    @property
    def subsets(self) -> list[str]:
        """The subsets that have numbers, in their order: not each, where others were left out alone."""
        named = {str(name) for frame in self.frames for name in frame["subset"].unique()}
        return [name for name in self.study.subsets if name in named]

    @property
    def leaves_out(self) -> bool:
        """Whether a number is already that of leaving the whole subset out."""
        return isinstance(self.method, Continuation | RestFlow)

    @property
    def takes_steps(self) -> bool:
        """Whether a model climbed a loss, step by step."""
        return isinstance(self.method, Unlearner)

    @property
    def seeds_needed(self) -> bool:
        """Whether only a second seed would show the noise of its numbers."""
        return len(self.study.seeds) == 1 and not self.of_items

    @property
    def inverse(self) -> bool:
        """Whether the watched examples are those of the training subsets."""
        return self.method.inverse

    @property
    def same_batch(self) -> bool:
        """Whether all seeds unlearn the same prompts in the same steps, as UnTrac-Inv does in the paper."""
        if not isinstance(self.method, Unlearner) or not self.inverse:
            return False
        settings = self.method.settings
        return settings.subsample == 1.0 and settings.sequences is None and settings.batch_size is None

    @property
    def one_size(self) -> bool:
        """Whether steps compare over all sets of a prompt set, so that the last common one is taken."""
        scaled = isinstance(self.method, Unlearner) and self.method.settings.optimizer == "kronecker"
        return self.inverse or scaled or isinstance(self.method, RestFlow)

    @property
    def failed(self) -> str | None:
        """Why the method could not work here, where it could not."""
        bare = [frame for frame in self.frames if str(frame["subset"].iloc[0]) == ""]
        return str(bare[0]["ended"].iloc[0]) if bare else None

    def collapsed_cells(self) -> list[Cell]:
        """Cells in which the model ended knowing nothing."""
        return [cell for cell, frame in zip(self.cells, self.frames, strict=True) if bool(frame["collapsed"].iloc[0])]

    def drawn_share(self, subset: str, prompt_set: str, side: str) -> float:
        """The share that a seed drew of what a number hangs on: of the side's items, else of the subset's blocks."""
        if not isinstance(self.method, Unlearner):
            return self.method.subsample
        if not self.inverse:
            return self.method.settings.share(len(self.study.block_clusters[subset].numbers))
        sides = self.study.prompts[prompt_set]
        return self.method.settings.share(len(sides[next(iter(sides)) if side == CONTRAST else side]))

    def collapsed(self, prompt_set: str, side: str, subset: str | None = None) -> bool:
        """Whether a model collapsed in a cell that this side hangs on; ``subset``: or this number of it."""
        return bool(self._broken(prompt_set, side, subset))

    def ranked(self, prompt_set: str, side: str) -> bool:
        """Whether a side has a ranking: none of its models collapsed, or the preset ranks those too, as the paper does.

        Where losses are no numbers there is nothing to rank.
        """
        broken = self._broken(prompt_set, side)
        past = isinstance(self.method, Unlearner) and self.method.settings.past_collapse
        return not broken or (past and all(bool(np.isfinite(frame["change"]).all()) for frame in broken))

    def _broken(self, prompt_set: str, side: str, subset: str | None = None) -> list[pd.DataFrame]:
        sides = ("harmful", "harmless") if side == CONTRAST else (side,)
        return [
            frame
            for cell, frame in zip(self.cells, self.frames, strict=True)
            if bool(frame["collapsed"].iloc[0])
            and (not cell.prompt_set or (cell.prompt_set == prompt_set and cell.side in sides))
            and (subset is None or not cell.subset or cell.subset == subset)
        ]


def method_output(
    study: AttributionContext, method: Method, title: str, cells: Sequence[Cell], tables: Sequence[pd.DataFrame]
) -> MethodOutput:
    """The cells of a method with their tables, those of the two populations apart.

    Of a :class:`Continuation`, those without a subset less that with everything of the same seed.
    """
    if isinstance(method, Continuation):
        return _differences(study, method, title, cells, tables)
    frames, of_items = [], []
    for table in tables:
        if "population" in table:
            of_items.append(table[table["population"] == ITEMS])
            frames.append(table[table["population"] == BLOCKS])
        else:
            frames.append(table)
    return MethodOutput(study, method, title, cells, frames, of_items)


def _differences(
    study: AttributionContext, method: Method, title: str, cells: Sequence[Cell], tables: Sequence[pd.DataFrame]
) -> MethodOutput:
    """Each training without a subset against that with everything; where one has failed or collapsed, all say so."""
    with_all = {cell.seed: table for cell, table in zip(cells, tables, strict=True) if not cell.subset}
    broken = next((table for table in tables if "loss" not in table or table["collapsed"].iloc[0]), None)
    own, frames = [], []
    for cell, table in zip(cells, tables, strict=True):
        if not cell.subset:
            continue
        own.append(cell)
        if broken is not None and "loss" not in broken:
            frames.append(broken)
            continue
        before = with_all[cell.seed]["loss"]
        frame = table.drop(columns="loss").assign(loss_before=before, change=table["loss"] - before)
        frames.append(frame.assign(collapsed=broken is not None))
        if "seconds" in frame and cell.subset == own[0].subset:  # of each seed, the first pays for the one with all
            frames[-1]["seconds"] += with_all[cell.seed]["seconds"]
    return MethodOutput(study, method, title, own, frames)
