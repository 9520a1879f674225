"""UnTrac: unlearn a training subset, watch the prompt sets (Isonuma and Titov, ACL 2024, equations 2 and 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import pandas as pd

from untrac_core.attribution.protocol import Part, Study
from untrac_core.attribution.unlearner import Unlearner
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example


class UnTrac(Unlearner):
    """I(Q, Z) = L(Q; model after ascent on Z) - L(Q; model), read for every prompt set off one ascent per subset."""

    name: ClassVar[str] = "untrac"
    inverse: ClassVar[bool] = False

    def unlearned(self, study: Study) -> Mapping[str, Sequence[Example]]:
        """Every training subset."""
        return {subset: packed.blocks for subset, packed in study.subsets.items()}

    def cells(self, study: Study) -> list[Cell]:
        """One cell per subset and seed."""
        return [
            Cell(
                key=self.key(study, seed, part, self._watched(study, part.subset)),
                label=f"unlearning {part.subset}, seed {seed}",
                seed=seed,
                subset=part.subset,
            )
            for seed in study.seeds
            for part in study.subset_parts()
        ]

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
        """Watch every item of every prompt set while the subset is unlearned."""
        before = study.before("prompt sets", study.all_items)
        blocks = study.subsets[cell.subset].blocks
        return self.unlearn(study, cell, blocks, self._watched(study, cell.subset), before)

    def _watched(self, study: Study, subset: str) -> list[Part]:
        return [replace(part, subset=subset) for part in study.prompt_parts()]
