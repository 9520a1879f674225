"""Writings: what the leave-out models write, and whether the ranking tells how often that is harmful.

Every model of the first seed completes the same prompts with the same random numbers, and a word list or a classifier
scores what it wrote. The *rate* is the share of completions that are harmful, mean over the prompts. A subset's
*change* is the rate with it less the rate without it: positive, it makes harmful text more frequent. Each model is
trained once, so intervals hold the choice of prompts and nothing of the noise between trainings.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrac_core.cells import Cell
from untrac_core.data.prompts import PromptData
from untrac_core.errors import InputError
from untrac_core.fileio import finite
from untrac_core.progress import Progress
from untrac_core.results.folders import WRITINGS, write_frame
from untrac_core.specs import ModelRef, ValidateSpec
from untrac_core.stats.bootstrap import CONTRAST, Place
from untrac_core.stats.intervals import LEAST, Array
from untrac_core.tasks.validate.additions.choices import Choices, agreement_with

if TYPE_CHECKING:
    from untrac_core.tasks.validate.findings import Findings
    from untrac_core.training.leave_one_out import LeaveOneOut

METHOD = "writing"
NUMERICS = 1
"""Changes where the same models would write other texts."""
COLUMNS = ["subset", "prompt", "sample", "text", "score", "harmful"]


class Writings:
    """What the models of the first seed write, where a request asks for it; a cell for each model."""

    def __init__(
        self, spec: ValidateSpec, leave_out: LeaveOneOut, prompts: Mapping[str, PromptData], progress: Progress
    ) -> None:
        self.spec, self.leave_out, self.progress = spec, leave_out, progress
        self.cells, self.given = list[Cell](), list[str]()
        if spec.generation is None:
            return
        from untrac_core.unlearning.generation import writing_prompts

        check_writing(spec)
        self.given = writing_prompts(spec.generation, prompts)
        if len(self.given) < LEAST:
            raise InputError(
                f"{len(self.given)} different prompts are too few to tell a rate from chance",
                field="generation",
                hint=f"name at least {LEAST}, or raise 'limit'",
            )
        self.cells = [self._cell(spec.seeds[0], subset) for subset in ("", *leave_out.material.blocks)]

    def _cell(self, seed: int, subset: str) -> Cell:
        training = self.leave_out.kept(subset)
        asked = None if self.spec.generation is None else self.spec.generation.model_dump(mode="json")
        content = [METHOD, NUMERICS, training.identity(seed), subset, asked, self.given]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        return Cell(key, f"what is written after a {training.label(seed)}", seed, subset, method=METHOD)

    def run(self, cell: Cell) -> pd.DataFrame:
        """One row for each completion of a model: prompt and sample (numbers), text, score, harmful."""
        from untrac_core.models.loading import load_model
        from untrac_core.models.scoring import make_scorer
        from untrac_core.unlearning.generation import write_texts

        generation = self.spec.generation
        assert generation is not None and generation.scorer is not None  # noqa: S101, PT018
        device = self.leave_out.device
        folder = self.leave_out.kept(cell.subset).folder(cell.seed)
        model = load_model(ModelRef(path=str(folder), dtype="float32"), device)
        scorer = make_scorer(generation.scorer, device, self.progress)
        self.progress.phase(cell.label)
        written = write_texts(model, generation, self.given, scorer, self.progress)
        samples = generation.sampling.samples
        rows = [
            (number // samples, number % samples, text, score, score >= scorer.threshold)
            for number, (_, text, score) in enumerate(written)
        ]
        return pd.DataFrame(rows, columns=COLUMNS[1:])

    def tell(self, folder: Path, findings: Findings, frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
        """Write the texts; the summary has the rate, each subset's change of it, and how well rankings tell these."""
        if not frames:
            return {}
        tables = [frame.assign(subset=cell.subset) for cell, frame in zip(self.cells, frames, strict=True)]
        write_frame(pd.concat(tables, ignore_index=True)[COLUMNS], folder / WRITINGS)
        found = Choices(rates(frames)[None], findings.subsets)
        changes = []
        for number, subset in enumerate(found.subsets):
            one = found.estimate(number, exact=True)
            low, high = one.interval() or (math.nan, math.nan)
            changes.append(finite({"subset": subset, "change": one.value, "low": low, "high": high}))
        place = self._place(findings)
        told = {
            "prompt_set": place[0],
            "side": place[1],
            "prompts": len(self.given),
            "samples": len(frames[0]) // len(self.given),
            "seed": self.spec.seeds[0],
            "rate": float(found.chosen[:, 0].mean()),
            "changes": changes,
            "agreement": agreement_with(findings, found, place),
        }
        return {"writing": told}

    def _place(self, findings: Findings) -> Place:
        """The ranking that the changes are held against: the contrast of the prompts' set, or its one side."""
        generation = self.spec.generation
        name = (generation and generation.prompt_set) or self.spec.prompts[0].name
        sides = [side for prompt_set, side in findings.per_seed if prompt_set == name]
        return name, CONTRAST if CONTRAST in sides else sides[0]


def check_writing(spec: ValidateSpec) -> None:
    """See that what models shall write is among the request's prompts, and can be scored; :class:`InputError`."""
    generation = spec.generation
    if generation is None:
        return
    if generation.scorer is None:
        raise InputError(
            "what models write must be scored", field="generation.scorer", hint="name a 'lexicon' or a 'classifier'"
        )
    names = [prompts.name for prompts in spec.prompts]
    if generation.prompt_set is not None and generation.prompt_set not in names:
        raise InputError(
            f"there is no prompt set {generation.prompt_set!r}",
            field="generation.prompt_set",
            hint=f"known: {', '.join(names)}",
        )
    from untrac_core.models.scoring import check_scorer

    check_scorer(generation.scorer)


def rates(frames: Sequence[pd.DataFrame]) -> Array:
    """Of each model and prompt the share of completions that are harmful; shape (models, prompts)."""
    return np.stack(
        [frame.groupby("prompt", sort=True)["harmful"].mean().to_numpy(dtype=np.float64) for frame in frames]
    )
