"""The linear datamodeling score: do sums of influence predict the losses of models trained on random halves?

Models are trained on random halves of the subsets by the recipe of the ground truth. Unlike leave-one-out, the score
(:mod:`untrac_core.tasks.validate.additions.sets`) asks whether influences add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from untrac_core.results.folders import HALVES, write_frame
from untrac_core.specs import ValidateSpec
from untrac_core.tasks.validate.additions.sets import Names, SetLosses, random_sets, score_rows, set_losses

if TYPE_CHECKING:
    from untrac_core.tasks.validate.findings import Findings
    from untrac_core.training.leave_one_out import LeaveOneOut

COLUMNS = ["half", "without", "prompt_set", "side", "loss"]


def random_halves(subsets: Sequence[str], count: int) -> list[Names]:
    """What each of ``count`` trainings lacks: half of the subsets, rounded down, and no two the same.

    All halves that there are, where these are not more.
    """
    return random_sets(subsets, len(subsets) // 2, count)


def half_table(truth: SetLosses) -> pd.DataFrame:
    """The table of ``halves.parquet``: half, without (names, one a line), prompt_set, side, loss."""
    rows = [
        (number, "\n".join(sorted(half)), *place, float(losses[number]))
        for number, half in enumerate(truth.sets)
        for place, losses in truth.losses.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


class Halves:
    """The trainings on random halves, by the first seed."""

    def __init__(self, spec: ValidateSpec, leave_out: LeaveOneOut) -> None:
        self.seed = spec.seeds[0]
        self.halves = random_halves(list(leave_out.material.blocks), spec.halves)
        self.cells = leave_out.set_cells(self.seed, self.halves)

    def tell(self, folder: Path, findings: Findings, frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
        """Write the losses; the summary has how many halves, how large, by which seed, and the scores."""
        if not frames:
            return {}
        truth = set_losses(self.halves, frames)
        write_frame(half_table(truth), folder / HALVES)
        scores = score_rows(truth, findings.estimate_table, findings.groups)
        told = {"count": len(truth.sets), "without": len(truth.sets[0]), "seed": self.seed, "scores": scores}
        return {"halves": told}
