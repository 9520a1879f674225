"""The task of a ``fetch`` run: bring models and data here and put them into the library, one cell a thing.

It needs neither torch nor a device. A thing that was added stays added, whatever becomes of the run; a resumed run goes
on with those that are missing, and a download with the bytes that are missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from untrac_core.cells import Cell
from untrac_core.data.collections import unique_names
from untrac_core.engine.library.entries import TITLES, Entry
from untrac_core.engine.library.library import Library
from untrac_core.engine.library.metadata import pinned
from untrac_core.fileio import write_bytes
from untrac_core.progress import Progress, Silent
from untrac_core.results.folders import SPEC, SUMMARY, write_json
from untrac_core.specs import FetchSpec, ModelRef, PromptSet, Subset
from untrac_core.specs.build import build
from untrac_core.specs.files import to_yaml
from untrac_core.tasks.base import Place

if TYPE_CHECKING:
    import pandas as pd

    from untrac_core.data.subsets import SubsetData

Part = ModelRef | PromptSet | Subset
EXPANDED = "expanded.json"
COLUMNS = ["kind", "id", "name", "origin", "facts", "notes"]


class FetchTask:
    """The parts of a ``fetch`` run; making it looks up what its collections consist of."""

    def __init__(self, spec: FetchSpec, home: Path, run_id: str, progress: Progress | None = None) -> None:
        self.spec, self.run_id, self.progress = spec, run_id, progress or Silent()
        self.library = Library(home)
        self._read: dict[str, SubsetData] = {}
        whole = self._expanded(home / "runs" / run_id / EXPANDED)
        names = unique_names(subset.name for subset in whole.subsets)
        self.subsets = [part.model_copy(update={"name": n}) for part, n in zip(whole.subsets, names, strict=True)]
        self.parts: list[Part] = [*whole.models, *whole.prompts, *self.subsets]
        self.cells = [self._cell(number, part) for number, part in enumerate(self.parts)]

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """Bring one thing and add it; the table has one row, the entry that it became."""
        import pandas as pd

        part = self.parts[self.cells.index(cell)]
        self.progress.phase(f"fetching {cell.label}")
        entry = self._added(part)
        row = [entry.kind, entry.id, entry.name, entry.origin, json.dumps(entry.facts, default=str)]
        return pd.DataFrame([[*row, json.dumps(entry.notes)]], columns=COLUMNS)

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str = ""
    ) -> dict[str, Any]:
        """Write what was added; returns the summary."""
        rows = [dict(zip(COLUMNS, frame[COLUMNS].iloc[0].tolist(), strict=True)) for frame in frames]
        added = [row | {"facts": json.loads(row["facts"]), "notes": json.loads(row["notes"])} for row in rows]
        summary = {
            "run": run,
            "name": self.spec.name,
            "kind": self.spec.kind,
            "added": added,
            "warnings": [],
            "notes": [note for row in added for note in row["notes"]],
            "seconds": seconds,
            "peak_memory_mb": peak_memory_mb,
        }
        write_bytes(to_yaml(self.spec).encode(), folder / SPEC)
        write_json(summary, folder / SUMMARY)
        return summary

    def _added(self, part: Part) -> Entry:
        if isinstance(part, ModelRef):
            return self._model(part)
        if isinstance(part, PromptSet):
            return self.library.add_prompts(part, progress=self.progress)
        return self.library.add_subset(part, progress=self.progress, data=self._data(part))

    def _model(self, ref: ModelRef) -> Entry:
        from untrac_core.hub.locate import fetch_adapter, fetch_model

        fetch_model(ref, self.progress)
        fetch_adapter(ref, self.progress)
        return self.library.add_model(ref, progress=self.progress)

    def _data(self, subset: Subset) -> SubsetData | None:
        """The documents of a subset that shares its source with others: they are read in one pass.

        How much of each is kept depends on how many share, so those that a resumed run has already count as well.
        """
        from untrac_core.data.subsets import load_subsets

        if subset.name not in self._read:
            sharing = [part for part in self.subsets if part.source == subset.source and part.where is not None]
            if len(sharing) < 2 or subset.where is None:
                return None
            read = load_subsets(sharing, self.progress)
            later = self.subsets[self.subsets.index(subset) :]
            self._read |= {part.name: read[part.name] for part in later if part.name in read}
        return self._read.pop(subset.name)

    def _expanded(self, path: Path) -> FetchSpec:
        """What the request names, written out once a run: a resumed one goes on with the same, whatever has changed."""
        from untrac_core.data.resolve import expand

        if path.is_file():
            return build(FetchSpec, json.loads(path.read_text(encoding="utf-8")), where=f"run {self.run_id}")
        self.progress.phase("looking what there is to fetch")
        whole = expand(self.spec, self.progress)
        whole = whole.model_copy(update={"models": [pinned(ref) for ref in whole.models]})
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(whole.model_dump_json().encode(), path)
        return whole

    def _cell(self, number: int, part: Part) -> Cell:
        """A cell of this run alone: another run brings the thing again, as it may have been removed or changed."""
        key = hashlib.sha256(f"fetch {self.run_id} {number} {part.model_dump_json()}".encode()).hexdigest()
        kind = "model" if isinstance(part, ModelRef) else "prompts" if isinstance(part, PromptSet) else "subset"
        name = part.path if isinstance(part, ModelRef) else part.name
        return Cell(key, f"{TITLES[kind]} {name}", 0)


def open_task(spec: FetchSpec, place: Place) -> FetchTask:
    """The task of a run at a place: in the data home that the run's folder lies in."""
    return FetchTask(spec, place.folder.parent.parent, place.run_id, place.progress)
