"""The task of a ``generate`` run: the model completes prompts, and a scorer says what is harmful in what it wrote.

A cell is a batch of completions. Its random numbers come from the run's seed and its place alone, so that a run that
was interrupted and resumed writes what it would have written at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from untrac_core.cells import Cell
from untrac_core.errors import InputError
from untrac_core.fileio import write_bytes
from untrac_core.models.scoring import HARMFUL, HARMLESS, check_scorer
from untrac_core.progress import Progress, Silent
from untrac_core.results.environment import environment
from untrac_core.specs import GenerateSpec
from untrac_core.tasks.base import Check, Place

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["prompt", "completion", "group", "sample", "tokens", "score", "label"]
BATCH = 16
"""Completions of a cell, at least."""
CELLS_MOST = 500
DISK_MB = 5.0
"""Of the completions, at most."""
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
LAYOUT = 1
"""Of the cells' tables and random numbers; another one makes other keys."""


@dataclass(frozen=True)
class Prompt:
    """What the model is to go on from, and the group that its source puts it into."""

    text: str
    group: str


def read_prompts(spec: GenerateSpec, progress: Progress | None = None) -> list[Prompt]:
    """The different prompts of a spec, a fixed random sample of its source where there are more than ``limit``.

    Raises:
        InputError: where the source cannot be read or the column has no text.
    """
    if spec.source is None:
        return list(dict.fromkeys(Prompt(text, "") for text in spec.texts))
    from untrac_core.data.prompts import sample
    from untrac_core.data.readers.columns import guess_columns
    from untrac_core.data.readers.records import read_records

    where = "prompts"
    records = read_records(spec.source, where=where, progress=progress)
    texts = records.column(spec.column, where=where)
    group = guess_columns(records.columns, records.rows[:50]).group
    groups = records.column(group, where=where) if group and group != spec.column else [""] * len(texts)
    found = {text: Prompt(text, name) for text, name in zip(texts, groups, strict=True) if text.strip()}
    if not found:
        raise InputError(f"the column {spec.column!r} has no text", field=where, hint="name the column that has it")
    prompts = list(found.values())
    return [prompts[i] for i in sample(list(range(len(prompts))), spec.limit)]


def check_generate(spec: GenerateSpec, *, rates: Mapping[str, float] | None = None) -> Check:
    """See, without torch, that a request can run; a hub model that is not here is looked at when the run starts."""
    from untrac_core.hub.locate import find_adapter, find_model, inspect_model

    read_prompts(spec)
    folder = find_model(spec.model)
    adapter = find_adapter(spec.model)
    if folder is not None:
        facts = inspect_model(folder, spec.model.path, adapter=adapter, adapter_name=spec.model.adapter)
        check_room(spec, facts.context if facts.kind == "causal" else None)
    if spec.scorer is not None:
        check_scorer(spec.scorer)
    return Check(disk_mb=DISK_MB)


def check_room(spec: GenerateSpec, context: int | None) -> None:
    """See that a completion leaves room to its prompt in a context, which is ``None`` where there is no bound."""
    if context is not None and spec.sampling.tokens >= context:
        raise InputError(
            f"a completion of {spec.sampling.tokens} tokens leaves no room in the model's context of {context}",
            field="sampling.tokens",
            hint=f"write at most {context // 2}",
        )


class GenerateTask:
    """A ``generate`` run in this process: loads its model and scorer when made, then writes one batch at a time."""

    def __init__(self, spec: GenerateSpec, progress: Progress | None = None, threads: int | None = None) -> None:
        self.spec, self.progress = spec, progress or Silent()
        import torch

        from untrac_core.models.loading import choose_device, load_model
        from untrac_core.models.sampling import end_tokens
        from untrac_core.models.scoring import make_scorer

        if threads is not None:
            torch.set_num_threads(threads)
        self.progress.phase("reading the prompts")
        self.prompts = read_prompts(spec, self.progress)
        self.progress.phase(f"loading the model {spec.model.path}")
        device = choose_device(spec.device)
        exact = spec.model.dtype in ("auto", "float32")
        self.model = load_model(spec.model, device, "all" if exact else "last_layers", self.progress)
        self.scorer = None
        if spec.scorer is not None:
            self.progress.phase("loading the scorer")
            self.scorer = make_scorer(spec.scorer, device, self.progress)
        self.ends = end_tokens(self.model)  # the model's digest does not hold those of generation_config.json
        facts = self.model.facts
        check_room(spec, facts.context if facts.kind == "causal" else None)
        self.notes: list[str] = []
        self.given = self._encoded()
        self.batches = self._planned()
        self.cells = [self._cell(number) for number in range(len(self.batches))]

    def run_cell(self, cell: Cell) -> pd.DataFrame:
        """Write and score the completions of one batch: a table with :data:`COLUMNS`."""
        import pandas as pd

        from untrac_core.models.sampling import complete

        number, sampling = self.cells.index(cell), self.spec.sampling
        draws = self.batches[number]
        given = [self.given[prompt] for prompt, _ in draws]
        generations = complete(self.model, given, sampling, f"{sampling.seed} {number}", self.progress)
        texts = [text for text, _ in generations]
        scores = self.scorer.score(texts) if self.scorer else [float("nan")] * len(texts)
        rows = [
            (self.prompts[prompt].text, text, self.prompts[prompt].group, sample, tokens, score, self._label(score))
            for (prompt, sample), (text, tokens), score in zip(draws, generations, scores, strict=True)
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def write(
        self, folder: Path, frames: Sequence[pd.DataFrame], seconds: float, peak_memory_mb: float, run: str = ""
    ) -> dict[str, Any]:
        """Write the completions, the spec and what they were made with; ``summary.json`` last."""
        import pandas as pd

        from untrac_core.results import folders as results
        from untrac_core.specs.files import to_yaml

        folder.mkdir(parents=True, exist_ok=True)
        table = pd.concat(frames, ignore_index=True)
        results.write_frame(table, folder / results.COMPLETIONS)
        write_bytes(to_yaml(self.spec).encode(), folder / results.SPEC)
        results.write_json(self._environment(), folder / results.ENVIRONMENT)
        summary = {
            "run": run,
            "name": self.spec.name,
            "kind": self.spec.kind,
            "model": self.spec.model.path,
            **counts(table),
            "scorer": None if self.scorer is None else {"name": self.scorer.name, "threshold": self.scorer.threshold},
            "warnings": [] if self.scorer else ["Nothing was scored: all completions count as one side."],
            "notes": self.notes,
            "seconds": seconds,
            "peak_memory_mb": peak_memory_mb,
        }
        results.write_json(summary, folder / results.SUMMARY)
        return summary

    def _encoded(self) -> list[list[int]]:
        """Token ids of every prompt as the model reads it; one that is too long keeps its end."""
        from untrac_core.models.sampling import given_tokens

        rows, cut = given_tokens(self.model, [prompt.text for prompt in self.prompts], self.spec.sampling.tokens)
        for prompt, ids in zip(self.prompts, rows, strict=True):
            if not ids:
                raise InputError(
                    f"the prompt {prompt.text[:40]!r} is empty to this model", field="prompts", hint="write some text"
                )
        if cut:
            self.notes.append(f"{cut} prompts are longer than the model's context leaves room for: their end is given")
        return rows

    def _planned(self) -> list[list[tuple[int, int]]]:
        """Batches of (prompt, sample): at most 500 cells, of 16 completions or more."""
        draws = [
            (prompt, sample) for prompt in range(len(self.prompts)) for sample in range(self.spec.sampling.samples)
        ]
        size = max(BATCH, -(-len(draws) // CELLS_MOST))
        return [draws[start : start + size] for start in range(0, len(draws), size)]

    def _cell(self, number: int) -> Cell:
        draws = self.batches[number]
        content = [
            "generate", LAYOUT, number, self.model.digest, str(self.model.dtype), self.model.device.type,
            self.ends, self.spec.sampling.model_dump(), self.scorer.digest if self.scorer else "",
            self.scorer.threshold if self.scorer else 0.0,
            [(self.prompts[prompt].text, self.prompts[prompt].group, sample) for prompt, sample in draws],
        ]  # fmt: skip
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        first, last = number * len(self.batches[0]) + 1, number * len(self.batches[0]) + len(draws)
        return Cell(key, f"completions {first} to {last}", self.spec.sampling.seed)

    def _label(self, score: float) -> str:
        if self.scorer is None:
            return ""
        return HARMFUL if score >= self.scorer.threshold else HARMLESS

    def _environment(self) -> dict[str, Any]:
        facts = self.model.facts
        return environment(PACKAGES) | {
            "device": str(self.model.device),
            "model": {
                "name": self.spec.model.path,
                "architecture": facts.architecture,
                "parameters": facts.parameters,
                "sha256": self.model.digest,
            },
            "scorer": None if self.scorer is None else {"name": self.scorer.name, "sha256": self.scorer.digest},
        }


def counts(table: pd.DataFrame) -> dict[str, Any]:
    """What a table of completions says in numbers.

    ``toxic_prompts`` is the share of prompts with at least one harmful completion, ``highest`` the mean over prompts of
    their highest score (both as RealToxicityPrompts reports them, Gehman et al., 2020); ``null`` without a scorer.
    """
    labelled = bool((table["label"] != "").any())
    by_prompt = table.groupby("prompt", sort=False)
    return {
        "prompts": int(table["prompt"].nunique()),
        "completions": len(table),
        "empty": int((table["completion"].str.strip() == "").sum()),
        "tokens": int(table["tokens"].sum()),
        "labels": {str(key): int(value) for key, value in table["label"].value_counts().items() if key},
        "toxic_prompts": float(by_prompt["label"].agg(lambda values: HARMFUL in set(values)).mean())
        if labelled
        else None,
        "highest": float(np.mean(by_prompt["score"].max().to_numpy())) if labelled else None,
    }


def open_task(spec: GenerateSpec, place: Place) -> GenerateTask:
    """The task of a run at a place."""
    return GenerateTask(spec, place.progress, place.threads)
