"""From a spec to a result folder: load, run the cells, write the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from untrac_core.attribution.settings import SAME_BATCH, ascent_settings, notes_of
from untrac_core.cells import Cell
from untrac_core.data import overlap
from untrac_core.data.balancing import amounts
from untrac_core.fileio import write_bytes
from untrac_core.progress import Progress, Silent
from untrac_core.results.folders import (
    ENVIRONMENT,
    EXAMPLES,
    GROUPS,
    INFLUENCE,
    PROMPT_EXAMPLES,
    SPEC,
    SUMMARY,
    TEXT_FEATURES,
    TOKENS,
    write_frame,
    write_json,
    write_parts,
)
from untrac_core.specs import TraceSpec, method_spec
from untrac_core.specs.files import to_yaml
from untrac_core.stats.intervals import LEAST
from untrac_core.stats.mixture import large_shares
from untrac_core.tasks.base import Place
from untrac_core.tasks.costs import work_flop
from untrac_core.tasks.prepare import cut_notes, same_texts
from untrac_core.tasks.trace.context import build_context, context_environment
from untrac_core.tasks.trace.live import LIVE, LiveTable
from untrac_core.tasks.workload import read_again, workload_of
from untrac_core.text.numbers import count


class TraceTask:
    """A run in this process: loads its model and data when made, then does one cell at a time.

    Two stages: ``cells``, then, told the tables of these, ``eval_points`` (:mod:`untrac_core.tasks.trace.tokens`).
    Raises :class:`InputError` where the spec cannot be run. ``threads`` sets torch's threads; results are the same to
    the last bit for the same number of threads on the same kind of machine. ``cache``: a folder for what is slow to
    compute and may be needed again; ``live``: a file for the curve of a run that is under way.
    """

    def __init__(
        self,
        spec: TraceSpec,
        progress: Progress | None = None,
        threads: int | None = None,
        cache: Path | None = None,
        live: Path | None = None,
    ) -> None:
        self.progress = progress or Silent()
        self.progress.phase("loading torch")
        # Imported here, so that looking at a result or checking a spec stays free of torch.
        from untrac_core.attribution.outcome import MethodRunner
        from untrac_core.tasks.trace.baselines import Controls
        from untrac_core.tasks.trace.tokens import TokenPass

        self.spec = spec
        self.panel = MethodRunner([spec.method, *(method_spec(name) for name in spec.beside)])
        self.study = build_context(spec, self.progress, threads, cache)
        self.live = None if live is None else LiveTable(live, self.study)
        if self.live is not None:
            self.study.on_evaluation = self.live
        ranked = self.panel.cells(self.study)
        self.ranked, self.controls = len(ranked), Controls(spec, self.study)
        self.cells = [*ranked, *self.controls.cells]
        title, method = next(iter(self.panel.methods.items()))
        self._own = [cell for cell in self.cells if cell.method == title]
        self.token_passes = TokenPass(self.study, title, method, self._own)
        self.eval_points = self.token_passes.cells

    @property
    def later(self) -> list[list[Cell]]:
        """The close looks, which need the trace."""
        return [self.eval_points]

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """One cell's table; the model's weights come back bit for bit."""
        if cell in self.eval_points:
            return self.token_passes.run(cell)
        if cell in self.controls.cells:
            return self.controls.run(cell)
        found = self.panel.run(self.study, cell)
        if self.live is not None:
            self.live.write()
        return found

    def tell(self, frames: Sequence[pd.DataFrame]) -> None:
        """The tables of ``cells``, in their order: what the ``eval_points`` look at hangs on them."""
        self.token_passes.tell(frames[: len(self._own)])

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str = ""
    ) -> dict[str, Any]:
        """Write the result folder from the tables of ``cells`` and ``looks``, in their order; returns the summary.

        ``summary.json`` comes last: a folder that has it is whole.
        """
        from untrac_core.tasks.trace.ranking import influence_frame

        self.progress.phase("writing the result")
        folder.mkdir(parents=True, exist_ok=True)
        first, later = frames[: len(self.cells)], frames[len(self.cells) :]
        outcome, *beside = self.panel.outcomes(self.study, self.cells[: self.ranked], first[: self.ranked])
        influence = influence_frame(outcome)
        tables = [influence_frame(other) for other in beside if other.failed is None]
        write_frame(pd.concat([influence, *tables], ignore_index=True), folder / INFLUENCE)
        text_features = self._write_texts(folder, outcome, later)
        write_bytes(to_yaml(self.spec).encode(), folder / SPEC)
        write_json(context_environment(self.spec, self.study), folder / ENVIRONMENT)
        summary = self._summary(outcome, beside, run)
        self._tell_controls(summary, first[self.ranked :])
        summary |= {"text_features": text_features, "seconds": seconds, "peak_memory_mb": peak_memory_mb}
        write_json(summary, folder / SUMMARY)
        if self.live is not None:
            self.live.remove()
        return summary

    def _tell_controls(self, summary: dict[str, Any], frames: Sequence[pd.DataFrame]) -> None:
        """Add the controls to a summary: one that failed is a warning, any other a note; without any, nothing."""
        from untrac_core.tasks.trace.baselines import in_words

        rows = self.controls.rows(frames)
        if rows:
            summary["controls"] = rows
        for row in rows:
            summary["warnings" if row["passed"] is False else "notes"].append(in_words(row))

    def _write_texts(self, folder: Path, outcome: Any, tables: Sequence[pd.DataFrame]) -> list[dict[str, Any]]:
        """The tables of single texts that the method has; returns what their features say in words."""
        from untrac_core.tasks.trace.examples import example_tables, feature_table, prompt_tables, token_frames
        from untrac_core.tasks.trace.groups import group_frame

        of_blocks = self.spec.method.unlearns and outcome.inverse
        of_items = self.spec.method.unlearns and not outcome.inverse
        write_parts(token_frames(outcome, tables), folder / TOKENS)
        write_parts(prompt_tables(outcome) if of_items else (), folder / PROMPT_EXAMPLES)
        groups = group_frame(outcome) if of_items or outcome.of_items else None
        write_parts(() if groups is None else (groups,), folder / GROUPS)
        write_parts(example_tables(outcome) if of_blocks else (), folder / EXAMPLES)
        text_features, sentences = feature_table(outcome) if of_blocks else (pd.DataFrame(), [])
        write_parts([text_features] if len(text_features) else (), folder / TEXT_FEATURES)
        return sentences

    def _summary(self, outcome: Any, beside: Sequence[Any], run: str) -> dict[str, Any]:
        from untrac_core.tasks.trace.baselines import agreement_rows, baseline_rows, bracket_rows
        from untrac_core.tasks.trace.ranking import ranking_rows, verdicts

        spec, study = self.spec, self.study
        rows = ranking_rows(outcome)
        baselines = baseline_rows(beside)
        notes = cut_notes(study.prompt_data, study.subset_data, study.prompts, study.subsets)
        work = workload_of(spec, study.prompts, study.subsets)  # operations are the same on every device
        return {
            "run": run,
            "name": spec.name,
            "kind": spec.kind,
            "method": spec.method.name,
            "preset": spec.method.variant,
            "unit": outcome.method.unit,
            "ranking": rows,
            "verdicts": verdicts(outcome, rows),
            "ties": bracket_rows(outcome, rows),
            "baselines": baselines,
            "agreement": agreement_rows(rows, baselines),
            "collapsed": [cell.label for cell in outcome.collapsed_cells()],
            "ended": sorted({str(frame["ended"].iloc[0]) for frame in outcome.frames}),
            "warnings": self._warnings(outcome, beside),
            "notes": notes_of(spec.method) + notes,
            "data": {
                "prompt_sets": {
                    name: {
                        side: {"items": len(items), "tokens": sum(item.tokens for item in items)}
                        for side, items in sides.items()
                    }
                    for name, sides in study.prompts.items()
                },
                "subsets": {
                    name: {"documents": packed.documents, "blocks": len(packed.blocks), "tokens": packed.tokens}
                    for name, packed in study.subsets.items()
                },
            },
            "flop": work_flop(study.model.facts, spec, work),
        }

    def _warnings(self, outcome: Any, beside: Sequence[Any]) -> list[str]:
        study, spec = self.study, self.spec
        warnings = same_texts(study.subset_data) + overlap.warnings_for(study.prompt_data, study.subset_data)
        warnings += large_shares(study.sizes or amounts(study.subset_data))
        warnings += few_texts(study)
        warnings += read_again(spec.method, {name: len(packed.blocks) for name, packed in study.subsets.items()})
        if outcome.seeds_needed:
            warnings.append("One seed: there is no interval, so nothing can be ranked. Run at least two seeds.")
        settings = ascent_settings(spec.method) if spec.method.takes_steps else None
        if outcome.same_batch:
            warnings.append(SAME_BATCH)
        stopped = sum(str(frame["ended"].iloc[0]).startswith("stopped before") for frame in outcome.frames)
        if stopped and settings is None:
            warnings.append(
                f"In {stopped} of {len(outcome.cells)} seeds the unlearning was stopped early, before it ran away, and "
                "all seeds are taken at the last step that they share: a larger 'batch_size' would carry it further."
            )
        elif stopped and settings:
            warnings.append(
                f"In {stopped} of {len(outcome.cells)} cells the unlearning was stopped early, as its loss increase "
                "neared "
                f"{settings.max_loss_increase:g} nats per token: smaller steps would say more."
            )
        if outcome.collapsed_cells():
            past = settings is not None and settings.past_collapse
            warnings.append(
                f"The model collapsed in {len(outcome.collapsed_cells())} of {len(outcome.cells)} cells: its loss came "
                "near that of a uniform guess. What it says then is not about the data"
                + (", so do not rely on its ranking: the paper ranks such models too." if past else ".")
            )
        for other in beside:
            cells = other.collapsed_cells()
            if cells:
                why = other.failed or f"{cells[0].label} ended in numbers that are none."
                warnings.append(f"The baseline {other.title} has no ranking: {why}")
        return warnings


def few_texts(study: Any) -> list[str]:
    """A warning for what is too small for an interval: a side of a prompt set, or a subset."""
    sizes = {
        f"The {side} side of prompt set {name!r}": (found, "item", "question")
        for (name, side), found in study.item_clusters.items()
    }
    sizes |= {f"Subset {name!r}": (found, "block", "document") for name, found in study.block_clusters.items()}
    return [
        f"{what} has {count(found.here, alone if found.here == len(found.numbers) else together)}: of fewer than "
        f"{LEAST} there is no interval, so it gets no verdict."
        for what, (found, alone, together) in sizes.items()
        if found.here < LEAST
    ]


def open_task(spec: TraceSpec, place: Place) -> TraceTask:
    """The task of a run at a place."""
    return TraceTask(spec, place.progress, place.threads, place.kept("moments"), place.folder / LIVE)
