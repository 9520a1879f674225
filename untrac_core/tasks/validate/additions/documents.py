"""The linear datamodeling score of single texts: do sums of their influences predict models trained on random halves?

Each training lacks half of the documents of every subset, so that the mix stays as it is. What a method says of it is
the sum over the blocks that are left out of their influence less the mean block's: their place is taken by the others.
Methods that have a number for every block, or every document, are held against the losses; those that only tell whole
subsets are not. A document is what blocks of one source text are (:mod:`untrac_core.stats.clusters`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrac_core.data.tokens import Example
from untrac_core.results.folders import DOCUMENT_HALVES, write_frame
from untrac_core.specs import ValidateSpec
from untrac_core.stats.bootstrap import CONTRAST, HARMFUL, HARMLESS, Place
from untrac_core.stats.clusters import clusters_of
from untrac_core.stats.intervals import Array
from untrac_core.tasks.trace.ranking import final_changes
from untrac_core.tasks.validate.additions.sets import DRAW_SEED, agreement_rows, side_losses

if TYPE_CHECKING:
    from untrac_core.attribution.outcome import MethodOutput
    from untrac_core.tasks.validate.findings import Findings
    from untrac_core.training.leave_one_out import LeaveOneOut

COLUMNS = ["half", "prompt_set", "side", "loss"]
Lacking = dict[str, list[Example]]
"""The blocks that a training lacks, by subset."""


def document_halves(blocks: Mapping[str, Sequence[Example]], count: int) -> list[Lacking]:
    """What each of ``count`` trainings lacks: half of each subset's documents, rounded down, drawn at random."""
    draw, found = np.random.default_rng(DRAW_SEED), []
    for _ in range(count):
        lacking: Lacking = {}
        for name, own in blocks.items():
            clusters = clusters_of([block.cluster for block in own])
            gone = set(draw.permutation(clusters.count)[: clusters.count // 2].tolist())
            numbers = clusters.numbers.tolist()
            lacking[name] = [block for block, number in zip(own, numbers, strict=True) if number in gone]
        found.append(lacking)
    return found


def block_influence(outcome: MethodOutput) -> dict[Place, dict[str, Array]] | None:
    """By side and subset, the change of every block's summed loss, mean over seeds; shape (blocks,).

    A number of a document is dealt to its blocks by their tokens. ``None`` where the method has none of single texts.
    """
    if not outcome.inverse:
        return None
    study, found = outcome.study, dict[Place, dict[str, Array]]()
    for (subset, prompt_set, side), changes in final_changes(outcome).items():
        blocks, clusters = study.subsets[subset].blocks, study.block_clusters[subset]
        values = changes.mean(0)
        if len(values) == clusters.count != len(blocks):
            tokens = np.array([block.tokens for block in blocks], dtype=np.float64)
            values = (values / clusters.sums(tokens))[clusters.numbers] * tokens
        if len(values) != len(blocks):
            return None
        found.setdefault((prompt_set, side), {})[subset] = values
    return found


def predicted(
    influence: Mapping[str, Array], blocks: Mapping[str, Sequence[Example]], lacking: Sequence[Lacking]
) -> Array:
    """Of each training, the sum over what it lacks of each block's influence less the mean's; shape (trainings,)."""
    ids = [(name, block.id) for name, own in blocks.items() for block in own]
    values = np.concatenate([influence[name] for name in blocks])
    tokens = np.array([block.tokens for own in blocks.values() for block in own], dtype=np.float64)
    beyond = values - values.sum() / tokens.sum() * tokens
    sums = []
    for gone in lacking:
        names = {(name, block.id) for name, own in gone.items() for block in own}
        sums.append(float(beyond[[one in names for one in ids]].sum()))
    return np.array(sums)


class DocumentHalves:
    """The trainings on random halves of the documents, by the first seed."""

    def __init__(self, spec: ValidateSpec, leave_out: LeaveOneOut) -> None:
        self.seed, self.all = spec.seeds[0], leave_out.material.blocks
        self.halves = document_halves(self.all, spec.document_halves)
        named = {f"half {number} of the documents": half for number, half in enumerate(self.halves)}
        self.cells = leave_out.part_cells(self.seed, named)

    def tell(self, folder: Path, findings: Findings, frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
        """Write the losses; the summary has how many halves, by which seed, and the scores."""
        if not frames:
            return {}
        losses = side_losses(frames)
        table = [(n, *place, float(one)) for place, values in losses.items() for n, one in enumerate(values)]
        write_frame(pd.DataFrame(table, columns=COLUMNS), folder / DOCUMENT_HALVES)
        told = {}
        for outcome in findings.ranking:
            blocks = {name: packed.blocks for name, packed in outcome.study.subsets.items()}
            if (known := block_influence(outcome)) is not None:
                sides = {place: predicted(by_subset, blocks, self.halves) for place, by_subset in known.items()}
                for name, side in list(losses):
                    if side == CONTRAST:
                        sides[name, side] = sides[name, HARMFUL] - sides[name, HARMLESS]
                told[outcome.title] = sides
        read = sum(len(packed.blocks) for packed in findings.ranking[0].study.subsets.values()) if told else 0
        return {
            "document_halves": {
                "count": len(self.halves),
                "documents": sum(clusters_of([b.cluster for b in own]).count for own in self.all.values()),
                "read": read / sum(map(len, self.all.values())),
                "seed": self.seed,
                "scores": agreement_rows(losses, told, findings.groups),
            }
        }
