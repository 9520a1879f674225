"""Computes the cells of a run: a small interface, so that a cluster can replace the local loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from untrac_core.errors import Cancelled

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


class LocalExecutor:
    """The cells in their order; one model, one device, nothing shared."""

    def run_cells(
        self,
        cells: Sequence[C],
        run_cell: Callable[[C], F],
        on_done: Callable[[C, F, float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """See :class:`Executor`."""
        for cell in cells:
            if should_stop():
                raise Cancelled
            start = time.monotonic()
            frame = run_cell(cell)
            on_done(cell, frame, time.monotonic() - start)
