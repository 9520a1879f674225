"""UnTrac-Inv: unlearn a prompt set, watch the training subsets (Isonuma and Titov, ACL 2024, equation 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pandas as pd

from untrac_core.attribution.protocol import Part, Study, cell_frame
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example, Packed


class UnTracInv:
    """I'(Q, Z) = L(Z; model after ascent on Q) - L(Z; model); to first order the same as UnTrac (equations 5 and 6).

    Each side of a prompt set is unlearned on its own; the change of every training block comes with it for free.
    """

    name: ClassVar[str] = "untrac-inv"

    def unlearned(
        self, prompts: Mapping[str, Mapping[str, list[Example]]], subsets: Mapping[str, Packed]
    ) -> dict[str, list[Example]]:
        """Every side of every prompt set."""
        return {f"{name}, {side} side": items for name, sides in prompts.items() for side, items in sides.items()}

    def cells(self, study: Study) -> list[Cell]:
        """One cell per prompt set, side and seed."""
        return [
            Cell(
                key=study.key(
                    self.name, seed, Part(items, "", prompt_set, side), self._watched(study, prompt_set, side)
                ),
                label=f"unlearning {prompt_set}, {side} side, seed {seed}",
                seed=seed,
                prompt_set=prompt_set,
                side=side,
            )
            for seed in study.spec.seeds
            for prompt_set, sides in study.prompts.items()
            for side, items in sides.items()
        ]

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
        """Watch every block of every subset while one side of the prompt set is unlearned."""
        before = study.before("training subsets", study.all_blocks)
        items = study.prompts[cell.prompt_set][cell.side]
        unlearning = study.unlearn(cell.label, items, study.all_blocks, before, cell.seed)
        return cell_frame(unlearning, before, self._watched(study, cell.prompt_set, cell.side))

    def _watched(self, study: Study, prompt_set: str, side: str) -> list[Part]:
        return [Part(packed.blocks, subset, prompt_set, side) for subset, packed in study.subsets.items()]
