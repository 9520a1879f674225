"""UnTrac: unlearn a training subset, watch the prompt sets (Isonuma and Titov, ACL 2024, equations 2 and 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pandas as pd

from untrac_core.attribution.protocol import Part, Study, cell_frame
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example, Packed


class UnTrac:
    """I(Q, Z) = L(Q; model after ascent on Z) - L(Q; model), read for every prompt set off one ascent per subset."""

    name: ClassVar[str] = "untrac"

    def unlearned(
        self, prompts: Mapping[str, Mapping[str, list[Example]]], subsets: Mapping[str, Packed]
    ) -> dict[str, list[Example]]:
        """Every training subset."""
        return {subset: packed.blocks for subset, packed in subsets.items()}

    def cells(self, study: Study) -> list[Cell]:
        """One cell per subset and seed."""
        return [
            Cell(
                key=study.key(self.name, seed, Part(packed.blocks, subset), self._watched(study, subset)),
                label=f"unlearning {subset}, seed {seed}",
                seed=seed,
                subset=subset,
            )
            for seed in study.spec.seeds
            for subset, packed in study.subsets.items()
        ]

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
        """Watch every item of every prompt set while the subset is unlearned."""
        before = study.before("prompt sets", study.all_items)
        blocks = study.subsets[cell.subset].blocks
        unlearning = study.unlearn(cell.label, blocks, study.all_items, before, cell.seed)
        return cell_frame(unlearning, before, self._watched(study, cell.subset))

    def _watched(self, study: Study, subset: str) -> list[Part]:
        return [
            Part(items, subset, prompt_set, side)
            for prompt_set, sides in study.prompts.items()
            for side, items in sides.items()
        ]
