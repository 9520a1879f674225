"""From a spec to a result folder: load, run the cells, write the answer."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from untrac_core import __version__
from untrac_core.cells import Cell
from untrac_core.check import context_and_block, cut_notes, encode, load_records, same_texts
from untrac_core.costs import choose_precision, cost, workload_of
from untrac_core.data import overlap
from untrac_core.data.expansion import expand
from untrac_core.devices import device_facts, own_peak_mb
from untrac_core.home import PROJECT
from untrac_core.model_files import fetch_adapter, fetch_model, inspect_model
from untrac_core.progress import Progress, Silent
from untrac_core.results import (
    ENVIRONMENT,
    EXAMPLES,
    INFLUENCE,
    SPEC,
    SUMMARY,
    Result,
    load_result,
    read_frame,
    write_frame,
    write_json,
)
from untrac_core.settings import ascent_settings
from untrac_core.spec_files import to_yaml
from untrac_core.specs import ModelRef, TraceSpec
from untrac_core.writing import write_bytes

__all__ = ["Cell", "Tracer", "git_revision", "peak_memory_mb", "trace"]

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "pandas", "scipy", "pyarrow")


class Tracer:
    """A run in this process: loads its model and data when made, then does one cell at a time.

    Raises :class:`InputError` where the spec cannot be run. ``threads`` sets torch's threads; results are the same to
    the last bit for the same number of threads on the same kind of machine.
    """

    def __init__(self, spec: TraceSpec, progress: Progress | None = None, threads: int | None = None) -> None:
        self.progress = progress or Silent()
        self.progress.phase("loading torch")
        # Imported here, so that looking at a result or checking a spec stays free of torch.
        import torch

        from untrac_core.attribution import Study, make_method
        from untrac_core.models import choose_device, load_model

        if threads is not None:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        spec = expand(spec, self.progress)
        settings = ascent_settings(spec.method)
        self.progress.phase("reading prompt sets and training subsets")
        prompt_data, subset_data = load_records(spec, self.progress)
        self.progress.phase(f"loading the model {spec.model.path}")
        device = choose_device(spec.device)
        model = load_model(with_precision(spec, self.progress), device, settings.moving, self.progress)
        context, block = context_and_block(spec, model.facts)
        prompts, subsets = encode(model.encoder, prompt_data, subset_data, context, block, spec.sizes)
        self.method = make_method(spec.method)
        unlearned = self.method.unlearned(prompts, subsets)
        self.study = Study(spec, settings, model, prompt_data, prompts, subset_data, subsets, unlearned, self.progress)
        self.cells = self.method.cells(self.study)

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """One cell's table; the model's weights come back bit for bit."""
        return self.method.run(self.study, cell)

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str = ""
    ) -> dict[str, Any]:
        """Write the result folder from the cells' tables, in the order of ``cells``; returns the summary.

        ``summary.json`` comes last: a folder that has it is whole.
        """
        from untrac_core.ranking import Outcome, example_frame, influence_frame

        self.progress.phase("writing the result")
        folder.mkdir(parents=True, exist_ok=True)
        outcome = Outcome(self.study, self.cells, frames)
        influence = influence_frame(outcome)
        write_frame(influence, folder / INFLUENCE)
        if outcome.inverse:
            write_frame(example_frame(outcome), folder / EXAMPLES)
        write_bytes(to_yaml(self.study.spec).encode(), folder / SPEC)
        write_json(self._environment(), folder / ENVIRONMENT)
        summary = self._summary(outcome, influence, run) | {"seconds": seconds, "peak_memory_mb": peak_memory_mb}
        write_json(summary, folder / SUMMARY)
        return summary

    def _summary(self, outcome: Any, influence: pd.DataFrame, run: str) -> dict[str, Any]:
        from untrac_core.ranking import ranking_rows, verdicts

        spec, study = self.study.spec, self.study
        rows = ranking_rows(outcome)
        notes = cut_notes(study.prompt_data, study.subset_data, study.prompts, study.subsets)
        work = workload_of(spec, study.prompts, study.subsets)  # operations are the same on every device
        return {
            "run": run,
            "name": spec.name,
            "kind": spec.kind,
            "method": spec.method.name,
            "preset": spec.method.preset,
            "ranking": rows,
            "verdicts": verdicts(outcome, rows, influence),
            "collapsed": [cell.label for cell in outcome.collapsed_cells()],
            "ended": sorted({str(frame["ended"].iloc[0]) for frame in outcome.frames}),
            "warnings": self._warnings(outcome),
            "notes": study.settings.notes + notes,
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
            "flop": cost(study.model.facts, study.settings, work, "float32", "cpu").flop,
        }

    def _warnings(self, outcome: Any) -> list[str]:
        study = self.study
        spec = study.spec
        warnings = same_texts(study.subset_data) + overlap.warnings_of(study.prompt_data, study.subset_data)
        if len(spec.seeds) == 1:
            warnings.append("One seed: there is no interval, so nothing can be ranked. Run at least two seeds.")
        if spec.method.name == "untrac-inv" and study.settings.share == 1.0 and study.settings.batch is None:
            warnings.append(
                "Every seed unlearns the whole prompt set as one batch, so seeds do not differ: the intervals are over "
                "training examples alone, and too narrow."
            )
        stopped = sum(str(frame["ended"].iloc[0]).startswith("stopped before") for frame in outcome.frames)
        if stopped:
            warnings.append(
                f"In {stopped} of {len(outcome.cells)} cells the unlearning was stopped early, as its dose neared "
                f"{study.settings.max_dose:g} nats per token: smaller steps would say more."
            )
        if outcome.collapsed_cells():
            warnings.append(
                f"The model collapsed in {len(outcome.collapsed_cells())} of {len(outcome.cells)} cells: its loss came "
                "near that of a uniform guess. What it says then is not about the data."
            )
        return warnings

    def _environment(self) -> dict[str, Any]:
        import torch

        study = self.study
        return {
            "untrac": __version__,
            "git": git_revision(),
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "packages": {name: _version(name) for name in PACKAGES},
            "device": str(study.model.device),
            "threads": torch.get_num_threads(),
            "model": {
                "name": study.spec.model.path,
                "architecture": study.model.facts.architecture,
                "parameters": study.model.facts.parameters,
                "sha256": study.model.digest,
                "adapter": study.spec.model.adapter,
                "precision": str(study.model.precision).removeprefix("torch."),
                "moves": study.model.moves,
            },
            "data": {
                **{f"prompt set {name}": data.digest for name, data in study.prompt_data.items()},
                **{f"subset {name}": data.digest for name, data in study.subset_data.items()},
            },
        }


def with_precision(spec: TraceSpec, progress: Progress | None = None) -> ModelRef:
    """The spec's model with ``auto`` made a precision: by the memory of its device, and the same each time."""
    ref = spec.model
    if ref.precision != "auto":
        return ref
    folder, adapter = fetch_model(ref, progress), fetch_adapter(ref, progress)
    facts = inspect_model(folder, ref.path, adapter=adapter, adapter_name=ref.adapter)
    _, block = context_and_block(spec, facts)
    precision = choose_precision("auto", facts, ascent_settings(spec.method), block, device_facts(spec.device))
    return ref.model_copy(update={"precision": precision})


def trace(
    spec: TraceSpec, out: Path, progress: Progress | None = None, cache: Path | None = None, threads: int | None = None
) -> Result:
    """Run a spec in this process and return its result; ``cache``: a folder in which finished cells are kept."""
    started = time.monotonic()
    tracer = Tracer(spec, progress, threads)
    frames = []
    for cell in tracer.cells:
        kept = cache / f"{cell.key}.parquet" if cache else None
        if kept is not None and kept.is_file():
            frames.append(read_frame(kept))
            continue
        frames.append(tracer.run_cell(cell))
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_frame(frames[-1], kept)
    tracer.write(out, frames, time.monotonic() - started, peak_memory_mb())
    return load_result(out)


def peak_memory_mb() -> float:
    """The most memory that this process has held, in MB; on CUDA, the device's memory."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
        return torch.cuda.max_memory_allocated() / 2**20
    return own_peak_mb()


def git_revision() -> str | None:
    """The commit of this checkout, if it is one."""
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(PROJECT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
