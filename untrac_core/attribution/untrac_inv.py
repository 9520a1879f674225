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

    def parts(self, study: Study) -> list[Part]:
        """Every side of every prompt set."""
        return study.prompt_parts()

    def watched(self, study: Study, unlearned: Part) -> list[Part]:
        """Every training subset."""
        return [replace(part, prompt_set=unlearned.prompt_set, side=unlearned.side) for part in study.subset_parts()]

    def cells(self, study: Study) -> list[Cell]:
        """One cell per prompt set, side and seed."""
        return [
            Cell(
                key=self.key(study, seed, part, self.watched(study, part)),
                label=f"unlearning {part.prompt_set}, {part.side} side, seed {seed}",
                seed=seed,
                prompt_set=part.prompt_set,
                side=part.side,
            )
            for seed in study.seeds
            for part in self.parts(study)
        ]

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
        """Watch every block of every subset while one side of the prompt set is unlearned."""
        return self.unlearn(study, cell, study.before("training subsets", study.all_blocks))
