"""What every addition to a validation has: the models that it trains, and what it says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from untrac_core.cells import Cell

if TYPE_CHECKING:
    from untrac_core.tasks.validate.findings import Findings


class Addition(Protocol):
    """Something that is asked beside leave-one-out; its trainings come after those of the truth."""

    cells: list[Cell]
    """Its trainings; none where it was not asked for."""

    def tell(self, folder: Path, findings: Findings, frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
        """Write its table into the result folder; returns its part of ``summary.json``, empty without trainings.

        ``frames``: the tables of its cells, in their order.
        """
