"""What every kind of run shares: the contract of its check and of its task, and the run of a task in this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from untrac_core.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from untrac_core.cells import Cell


@dataclass(frozen=True, kw_only=True)
class Check:
    """A request that can run, and what running it takes: rough, and not a number where only the run can tell."""

    spec: Any = None
    """The request as it will run: written out by :func:`untrac_core.data.resolve.expand`."""
    seconds: float = math.nan
    memory_mb: float = math.nan
    """Of the device, in 2^20 bytes."""
    disk_mb: float = math.nan
    notes: list[str] = field(default_factory=list)
    """What is not used and why."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where and how a task runs."""

    folder: Path
    """Of the run: work on the way lies in it, and the result at the end."""
    shared: Path | None = None
    """A folder for what other runs of the same model and data can use, too."""
    progress: Progress | None = None
    threads: int | None = None
    """Of torch; unset: as many as it takes."""
    run_id: str = ""

    def kept(self, name: str) -> Path | None:
        """A folder in ``shared``, if there is one."""
        return None if self.shared is None else self.shared / name


class Task(Protocol):
    """A list of cells, and a result made from their tables."""

    cells: list[Cell]
    """Independent of each other."""

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """The rows of one cell; the model is as before when it returns."""

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str = ""
    ) -> dict[str, Any]:
        """Write the result folder from the frames of all cells, in their order."""


@runtime_checkable
class Staged(Task, Protocol):
    """A task with cells that hang on the tables of others: known beforehand, done after them, stage by stage."""

    @property
    def later(self) -> Sequence[Sequence[Cell]]:
        """The cells of each stage after ``cells``; those of one stage are independent of each other."""

    def tell(self, frames: Sequence[pd.DataFrame]) -> None:
        """The frames of all cells so far, in their order, before the first of a later stage is run."""


def later_stages(task: Task) -> list[Sequence[Cell]]:
    """The stages after a task's own cells; none of a task without any."""
    return list(task.later) if isinstance(task, Staged) else []


def all_frames(task: Task, compute: Callable[[Sequence[Cell]], list[pd.DataFrame]]) -> list[pd.DataFrame]:
    """The tables of all cells, stage by stage; ``compute`` gives those of some cells, in their order."""
    frames = compute(task.cells)
    for stage in later_stages(task):
        if isinstance(task, Staged):
            task.tell(frames)
        frames += compute(stage)
    return frames


def computed(cells: Sequence[Cell], compute: Callable[[Cell], pd.DataFrame], folder: Path | None) -> list[pd.DataFrame]:
    """The table of every cell, in their order: read where ``folder`` has it, else computed and, with a folder, kept."""
    from untrac_core.results.folders import read_frame, write_frame

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
