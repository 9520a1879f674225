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

    def parts(self, study: Study) -> list[Part]:
        """Every training subset."""
        return study.subset_parts()

    def watched(self, study: Study, unlearned: Part) -> list[Part]:
        """Every side of every prompt set."""
        return [replace(part, subset=unlearned.subset) for part in study.prompt_parts()]

    def cells(self, study: Study) -> list[Cell]:
        """One cell per subset and seed."""
        return [
            Cell(
                key=self.key(study, seed, part, self.watched(study, part)),
                label=f"unlearning {part.subset}, seed {seed}",
                seed=seed,
                subset=part.subset,
            )
            for seed in study.seeds
            for part in self.parts(study)
        ]

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
        """Watch every item of every prompt set while the subset is unlearned."""
        return self.unlearn(study, cell, study.before("prompt sets", study.all_items))
