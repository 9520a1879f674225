"""Cells one after the other, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from untrac_core.engine.executors import C, F
from untrac_core.errors import Cancelled


class LocalExecutor:
    """The cells in their order; one model, one device, nothing shared."""

    def run_cells(
        self,
        cells: Sequence[C],
        run_cell: Callable[[C], F],
        on_done: Callable[[C, F, float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """See :class:`untrac_core.engine.executors.Executor`."""
        for cell in cells:
            if should_stop():
                raise Cancelled
            start = time.monotonic()
            frame = run_cell(cell)
            on_done(cell, frame, time.monotonic() - start)
