"""Finished cells as files, for runs in this process; the engine keeps its own in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from untrac_core.cells import Cell
from untrac_core.results import read_frame, write_frame


def computed(cells: Sequence[Cell], compute: Callable[[Cell], pd.DataFrame], folder: Path | None) -> list[pd.DataFrame]:
    """The table of every cell, in their order: read where ``folder`` has it, else computed and, with a folder, kept."""
    frames = []
    for cell in cells:
        kept = folder / f"{cell.key}.parquet" if folder else None
        if kept is not None and kept.is_file():
            frames.append(read_frame(kept))
            continue
        frames.append(compute(cell))
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_frame(frames[-1], kept)
    return frames
