"""Who computes the cells of a run: one small contract, so that a cluster can stand where the local loop does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

C = TypeVar("C")
F = TypeVar("F")


class Executor(Protocol):
    """Runs independent cells, in any order and number at once."""

    def run_cells(
        self,
        cells: Sequence[C],
        run_cell: Callable[[C], F],
        on_done: Callable[[C, F, float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """Compute every cell; call ``on_done(cell, frame, seconds)`` in this process as each one finishes.

        Raises:
            Cancelled: when ``should_stop()`` says so between two cells; those that are done have been handed over.
        """
