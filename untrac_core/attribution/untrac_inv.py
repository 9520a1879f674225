"""UnTrac-Inv: unlearn a prompt set, watch the training subsets (Isonuma and Titov, ACL 2024, equation 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import pandas as pd

from untrac_core.attribution.protocol import Part, Study
from untrac_core.attribution.unlearner import Unlearner
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example


class UnTracInv(Unlearner):
    """I'(Q, Z) = L(Z; model after ascent on Q) - L(Z; model); to first order the same as UnTrac (equations 5 and 6).

    Each side of a prompt set is unlearned on its own; the change of every training block comes with it for free.
    """

    name: ClassVar[str] = "untrac-inv"
    inverse: ClassVar[bool] = True

    def unlearned(self, study: Study) -> Mapping[str, Sequence[Example]]:
        """Every side of every prompt set."""
        return {f"{part.prompt_set}, {part.side} side": part.examples for part in study.prompt_parts()}

    def cells(self, study: Study) -> list[Cell]:
        """One cell per prompt set, side and seed."""
        return [
            Cell(
                key=self.key(study, seed, part, self._watched(study, part.prompt_set, part.side)),
                label=f"unlearning {part.prompt_set}, {part.side} side, seed {seed}",
                seed=seed,
                prompt_set=part.prompt_set,
                side=part.side,
            )
            for seed in study.seeds
            for part in study.prompt_parts()
        ]

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
        """Watch every block of every subset while one side of the prompt set is unlearned."""
        before = study.before("training subsets", study.all_blocks)
        items = study.prompts[cell.prompt_set][cell.side]
        return self.unlearn(study, cell, items, self._watched(study, cell.prompt_set, cell.side), before)

    def _watched(self, study: Study, prompt_set: str, side: str) -> list[Part]:
        return [replace(part, prompt_set=prompt_set, side=side) for part in study.subset_parts()]
