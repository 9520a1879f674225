"""What a job does, by the kind of its run: each task is a list of cells and a result made from their tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from untrac_core.engine.runs import Run
from untrac_core.progress import Progress
from untrac_core.specs import ExamineSpec, FetchSpec, GenerateSpec, UnlearnSpec, ValidateSpec

if TYPE_CHECKING:
    import pandas as pd

    from untrac_core.cells import Cell


class Task(Protocol):
    """What a job needs of what it does; :class:`untrac_core.tracing.Tracer` is one."""

    cells: list[Cell]
    """Independent of each other."""

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """The rows of one cell; the model is as before when it returns."""

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str
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


MOMENTS = "moments"
"""Of a data home: what the curvature of models was estimated from, for other runs of the same model and data."""
GOLDS = "golds"
"""Of a data home: models retrained without a target, for other requests about the same one."""
MakeTask = Callable[[Run, Progress, int | None], Task]


def load_task(run: Run, progress: Progress, threads: int | None) -> Task:
    """The task of a run; making it loads what it needs: torch and a model, or, for a ``fetch``, neither."""
    spec = run.spec
    if isinstance(spec, FetchSpec):
        from untrac_core.engine.fetching import Fetcher

        return Fetcher(spec, run.folder.parent.parent, run.id, progress)
    progress.phase("loading torch")
    if isinstance(spec, GenerateSpec):
        from untrac_core.generation import Generator

        return Generator(spec, progress, threads)
    if isinstance(spec, ValidateSpec):
        from untrac_core.validation import WORK, Validator

        return Validator(spec, run.folder / WORK, progress, threads)
    if isinstance(spec, UnlearnSpec):
        from untrac_core.removal import WORK as ON_THE_WAY
        from untrac_core.removal import Remover

        return Remover(spec, run.folder / ON_THE_WAY, progress, threads, run.folder.parent.parent / GOLDS)
    moments = run.folder.parent.parent / MOMENTS
    if isinstance(spec, ExamineSpec):
        from untrac_core.examination import Examiner

        return Examiner(spec, progress, threads, moments)
    from untrac_core.tracing import Tracer

    return Tracer(spec, progress, threads, moments)
