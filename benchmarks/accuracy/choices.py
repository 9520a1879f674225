"""What was tried for preset ``robust``, on the development testbed alone: ``python -m benchmarks.accuracy.choices``.

One gradient of every corpus and of every side is taken once; each idea is then another metric between them, or another
weight of the subsets. A small step along the scaled direction of a side changes the loss of a subset by just this
product, so what is best here is best for UnTrac-Inv with small steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.accuracy.__main__ import HERE, Printed
from benchmarks.accuracy.testbeds import BEDS, data_root
from untrac_core.attribution.base import AttributionContext
from untrac_core.data.tokens import Example
from untrac_core.models.trainable import moving_matrices
from untrac_core.results.folders import read_frame, write_frame
from untrac_core.specs import method_spec
from untrac_core.stats.agreement import noise, pearson
from untrac_core.stats.mixture import leave_out_matrix
from untrac_core.tasks.registry import resolved
from untrac_core.tasks.validate.task import ValidateTask
from untrac_core.training.batches import MICRO_BATCH
from untrac_core.training.leave_one_out import measured
from untrac_core.training.preconditioner import mean_gradient

BLOCKS = 1024
Gradient = dict[str, torch.Tensor]
Place = tuple[str, str]


def gradient(study: AttributionContext, examples: list[Example]) -> Gradient:
    """The gradient of the examples' mean loss per token, by parameter."""
    mean_gradient(study.model, examples)
    found = {name: p.grad.clone() for name, p in study.model.module.named_parameters() if p.grad is not None}
    study.model.module.zero_grad(set_to_none=True)
    return found


def factors(study: AttributionContext, samples: int, batch: int) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
    """Means of G G^T (its diagonal for the vocabulary) and of G^T G, by matrix, over ``samples`` micro-batches."""
    draw = np.random.default_rng(1)
    sums: dict[str, list[Any]] = {}
    for _ in range(samples):
        chosen = draw.choice(len(study.all_blocks), size=batch, replace=False)
        mean_gradient(study.model, [study.all_blocks[i] for i in chosen], together=True)
        for name, (parameter, vocabulary) in moving_matrices(study.model.module).items():
            g = parameter.grad
            left = (g * g).sum(1) if vocabulary else g @ g.T
            held = sums.setdefault(name, [0.0, 0.0])
            held[0], held[1] = held[0] + left / samples, held[1] + g.T @ g / samples
    return {name: (held[0], held[1]) for name, held in sums.items()}


def inverse(moment: torch.Tensor, damping: float, power: float) -> torch.Tensor:
    """(M + d mean)^-power; of a diagonal a vector."""
    if moment.dim() == 1:
        return (moment + damping * moment.mean()) ** -power
    values, vectors = torch.linalg.eigh(moment.double())
    values = values.clamp(min=0)
    scaled = vectors * (values + damping * values.mean()) ** -power
    return (scaled @ vectors.T).float()


def kronecker(
    held: Mapping[str, tuple[torch.Tensor, torch.Tensor]], damping: float = 0.1, power: float = 1.0
) -> Callable[[Gradient], Gradient]:
    """The scaled direction of :mod:`untrac_core.training.preconditioner`, with another damping or power of the
    factors."""
    factors = {}
    for name, (left, right) in held.items():
        trace = float(left.trace() if left.dim() == 2 else left.sum()) ** (2 * power - 1)
        factors[name] = trace, inverse(left, damping, power), inverse(right, damping, power)

    def scale(g: Gradient) -> Gradient:
        result = {}
        for name, (trace, left, right) in factors.items():
            rows = left @ g[name] if left.dim() == 2 else left[:, None] * g[name]
            result[name] = trace * (rows @ right)
        return result

    return scale


class Bench:
    """The truth of the development testbed, and what every idea is held against."""

    def __init__(self, work: Path) -> None:
        spec = BEDS["development"](data_root(), work / "development" / "data")
        spec = spec.model_copy(update={"methods": [method_spec("grad-dot")], "samples_per_subset": BLOCKS})
        validator = ValidateTask(resolved(spec), work / "development" / "models", Printed(), threads=1)
        frames = []
        for cell in validator.truth_cells:
            path = work / "cells" / f"{cell.key}.parquet"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_frame(validator.run_cell(cell), path)
            frames.append(read_frame(path))
        self.truth: dict[Place, np.ndarray] = {}
        for prompt_set, (changes, tokens, subsets, _) in measured(validator.truth_cells, frames).items():
            for side, change in changes.items():
                self.truth[prompt_set, side] = change.sum(2) / tokens[side].sum()
            self.names = subsets
        self.study = validator.studies["grad-dot"]
        self.study.set_trainable("all")
        sizes = self.study.sizes or {}
        self.shares = np.array([sizes[name] for name in self.names])
        self.shares /= self.shares.sum()
        self.subsets = {name: gradient(self.study, self.study.subsets[name].blocks) for name in self.names}
        self.sides = {
            (part.prompt_set, part.side): gradient(self.study, list(part.examples))
            for part in self.study.prompt_parts()
        }

    def scores(self, scale: Callable[[Gradient], Gradient]) -> dict[Place, np.ndarray]:
        """Products of every side's scaled gradient with every subset's."""
        result = {}
        for place, g in self.sides.items():
            direction = scale(g)
            result[place] = np.array(
                [sum(float((d * self.subsets[name][key]).sum()) for key, d in direction.items()) for name in self.names]
            )
        return result

    def report(self, what: str, scale: Callable[[Gradient], Gradient], weight: np.ndarray | None = None) -> None:
        """Print one row: mean r over resolvable sides and over all, and how often the first is right."""
        matrix = leave_out_matrix(self.shares) if weight is None else weight
        values, clear, first = [], [], []
        for place, scores in self.scores(scale).items():
            truth, found = self.truth[place].mean(0), matrix @ scores
            values.append(float(pearson(found, truth)))
            first.append(found.argmax() == truth.argmax())
            if noise(self.truth[place]).resolvable:
                clear.append(values[-1])
        row = f"| {what} | {np.mean(clear):.2f} | {np.mean(values):.2f} | {np.mean(first):.2f} |"
        print(row, flush=True)


def tried(bench: Bench) -> Iterator[tuple[Any, ...]]:
    """Every idea: its name, its metric, and the weight of the subsets where it is not that of ``shares``."""
    plain, share = np.eye(len(bench.shares)), np.diag(bench.shares)
    away = np.diag(bench.shares / (1 - bench.shares))
    held = factors(bench.study, 300, MICRO_BATCH)
    whole = kronecker(held)
    for name, metric in (("gradients", lambda g: g), ("Kronecker-scaled", whole)):
        yield f"{name}, a token", metric, plain
        yield f"{name}, times the share p", metric, share
        yield f"{name}, times p / (1 - p)", metric, away
        yield f"{name}, p / (1 - p) and less the mean of the mix", metric
    for damping in (0.003, 0.01, 0.03, 0.3, 1.0):
        yield f"damping {damping:g}", kronecker(held, damping)
    for power in (0.5, 0.75, 1.25):
        yield f"power {power:g}", kronecker(held, power=power)
    for samples, batch in ((1000, 2), (1000, 1), (300, 8)):
        yield f"{samples} micro-batches of {batch}", kronecker(factors(bench.study, samples, batch))
    vocabulary = {name for name, (_, rows) in moving_matrices(bench.study.model.module).items() if rows}
    yield "without the vocabulary's matrices", kronecker({k: v for k, v in held.items() if k not in vocabulary})
    yield "the vocabulary's matrices alone", kronecker({k: v for k, v in held.items() if k in vocabulary})


def main() -> None:
    """Print the table of all that was tried."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.choices", description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="a folder for cells and models")
    bench = Bench(parser.parse_args().work)
    print("| | r, resolvable sides | r, all sides | top-1 |\n| --- | --- | --- | --- |")
    for row in tried(bench):
        bench.report(*row)


if __name__ == "__main__":
    main()
