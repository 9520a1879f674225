"""Several attribution methods on one study: their cells in one list, and each cell done by the method it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import pandas as pd

from untrac_core.attribution import Method, Study, make_method
from untrac_core.attribution.protocol import failed_frame
from untrac_core.cells import Cell
from untrac_core.errors import InputError
from untrac_core.ranking import Outcome
from untrac_core.specs import MethodSpec


class Panel:
    """The methods of a run, by their titles; the first is the one that was asked for, the others stand beside it."""

    def __init__(self, specs: Sequence[MethodSpec], *, first_may_fail: bool = False) -> None:
        """Raises :class:`InputError` for settings that a method does not have."""
        self.methods: dict[str, Method] = {spec.title: make_method(spec) for spec in specs}
        self._must = None if first_may_fail else specs[0].title

    def cells(self, study: Study) -> list[Cell]:
        """The cells of every method, one method after the other."""
        return [replace(cell, method=title) for title, method in self.methods.items() for cell in method.cells(study)]

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
        """One cell's table; of a method that cannot work on this model or data, a table that says why."""
        try:
            return self.methods[cell.method].run(study, cell)
        except InputError as error:
            if cell.method == self._must:
                raise
            return failed_frame(str(error))

    def outcomes(self, study: Study, cells: Sequence[Cell], frames: Sequence[pd.DataFrame]) -> list[Outcome]:
        """The cells and tables of each method."""
        pairs = groupby(zip(cells, frames, strict=True), key=lambda pair: pair[0].method)
        found = []
        for title, group in pairs:
            own = list(group)
            found.append(
                Outcome(study, self.methods[title], title, [cell for cell, _ in own], [frame for _, frame in own])
            )
        return found
