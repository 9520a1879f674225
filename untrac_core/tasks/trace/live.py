"""The curve of a trace that is under way: what its method has seen of the prompts so far, for the page of the run.

A method that moves a model step by step evaluates the prompts on the way. Each evaluation is one row a side here;
nothing is measured for it. The table lies in the run's folder while the run is under way, and is removed when there is
a result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from untrac_core.cells import Cell
from untrac_core.results.folders import read_frame, write_frame
from untrac_core.tasks.trace.frames import trajectory

if TYPE_CHECKING:
    from untrac_core.attribution.base import AttributionContext
    from untrac_core.models.losses import Losses

LIVE = Path(".work") / "live.parquet"
"""Of a run's folder."""
EVERY_SECONDS = 1.0
"""Between two writings: small models are evaluated faster than a page can draw."""
KEYS = ["method", "seed", "step", "prompt_set", "side"]


class LiveTable:
    """The evaluations of a run, in memory and in a file; those of an earlier attempt are taken over."""

    def __init__(self, path: Path, study: AttributionContext) -> None:
        self.path = path
        self._parts = study.prompt_parts()
        self._evaluations: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        self._written, self._new = 0.0, False
        self._take_over()

    def __call__(self, cell: Cell, subset: str, step: int, losses: Losses) -> None:
        """Note an evaluation: every item's loss in nats, in the study's order.

        Subset "": what the others are held against.
        """
        about = {"cell": cell.key, "method": cell.method, "seed": cell.seed, "subset": subset, "step": step}
        rows, start = [], 0
        for part in self._parts:
            stop = start + len(part.examples)
            tokens = sum(item.tokens for item in part.examples)
            loss = float(losses[start:stop].sum()) / max(1, tokens)
            rows.append({**about, "prompt_set": part.prompt_set, "side": part.side, "loss": loss})
            start = stop
        self._evaluations[cell.key, subset, step] = rows
        self._new = True
        if time.monotonic() - self._written >= EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is new."""
        if not self._new:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_frame(pd.DataFrame([row for rows in self._evaluations.values() for row in rows]), self.path)
        self._written, self._new = time.monotonic(), False

    def remove(self) -> None:
        """Remove the file, and its folder where that holds nothing else."""
        self.path.unlink(missing_ok=True)
        if self.path.parent.is_dir() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()

    def _take_over(self) -> None:
        try:
            found = read_frame(self.path).to_dict("records")
        except (OSError, ValueError):
            return
        for row in found:
            self._evaluations.setdefault((row["cell"], row["subset"], row["step"]), []).append(row)


def changes(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Of every evaluation: the change of the loss in nats per token, as ``influence``.

    Against that of subset "" at the same step by the same seed: the untouched model, or one that was trained on
    with everything. Columns: those of :data:`KEYS`, subset, group (always empty), influence.
    """
    base = evaluations[evaluations["subset"] == ""].drop_duplicates(KEYS, keep="last")[[*KEYS, "loss"]]
    found = evaluations[evaluations["subset"] != ""].merge(base, on=KEYS, suffixes=("", "_base"))
    return found.assign(influence=found["loss"] - found["loss_base"], group="")[[*KEYS, "subset", "group", "influence"]]


def curve(evaluations: pd.DataFrame, method: str, prompt_set: str, side: str) -> pd.DataFrame:
    """The lines so far, as :func:`untrac_core.tasks.trace.frames.trajectory` has them.

    A subset's line is that of the seeds that came furthest with it, so that none of them leaves the mean on the way.
    """
    found = changes(evaluations[evaluations["method"] == method])
    furthest = found.groupby(["subset", "seed"])["step"].transform("max")
    kept = found[furthest == furthest.groupby(found["subset"]).transform("max")]
    return trajectory(kept, prompt_set, side)


def sides_so_far(evaluations: pd.DataFrame, prompt_set: str) -> Sequence[str]:
    """The sides that a prompt set can be shown on, contrast first."""
    found = set(evaluations.loc[evaluations["prompt_set"] == prompt_set, "side"])
    return [*(["contrast"] if len(found) == 2 else []), *sorted(found)]
