"""Truths and estimates of a validation, made by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from untrac_core.attribution.base import make_method, score_frame
from untrac_core.attribution.outcome import MethodOutput
from untrac_core.cells import Cell
from untrac_core.specs import ValidateSpec, method_spec
from untrac_core.stats.clusters import clusters_of

SUBSETS = ["a", "b", "c", "d", "e", "f", "g", "h"]
TRUE = np.array([0.4, 0.3, 0.15, 0.1, 0.0, -0.1, -0.2, -0.35])
ITEMS = 12
DOT, BM25, RANDOM = (method_spec(name) for name in ("grad-dot", "bm25", "random"))
PAPER = method_spec("untrac-inv", preset="paper")
SIGN = method_spec("sign-dot")


def spec_of(seeds=(0, 1), methods=(DOT, BM25, RANDOM), subsets=SUBSETS, **more):
    values = {
        "prompts": [{"name": "talk", "source": {"file": "talk.jsonl"}}],
        "subsets": [{"name": name, "source": {"file": f"{name}.jsonl"}} for name in subsets],
        "methods": [method.model_dump(exclude_none=True) for method in methods],
        "seeds": list(seeds),
    }
    return ValidateSpec.model_validate(values | more)


def truth_of(true, seeds=(0, 1), noise=0.01):
    """The truth's cells and tables; ``true``: of each side, an influence per token for each subset."""
    draw = np.random.default_rng(3)
    subsets = SUBSETS[: len(next(iter(true.values())))]
    cells, frames = [], []
    for seed in seeds:
        base = {side: draw.uniform(5, 9, ITEMS) for side in true}
        for number, name in enumerate(["", *subsets]):
            parts = []
            for side, values in true.items():
                tokens = np.arange(ITEMS) % 3 + 2
                raised = values[number - 1] + draw.normal(0, noise) if name else 0.0
                parts.append(
                    pd.DataFrame(
                        {"prompt_set": "talk", "side": side, "example": range(ITEMS), "tokens": tokens}
                        | {"loss": base[side] + raised * tokens}
                    )
                )
            cells.append(Cell(f"{seed} {name}", f"training without {name}", seed, name, method="leave-out"))
            frames.append(pd.concat(parts, ignore_index=True).assign(seconds=1.0, peak_memory_mb=5.0))
    return cells, frames


def outcome_of(method, says, draws=(0, 1, 2), noise=0.02, seed=0):
    """A method that says what it is told, with noise; a score a token for every subset, on each side."""
    draw = np.random.default_rng(seed)
    study = SimpleNamespace(
        prompts={"talk": {side: [None] * ITEMS for side in says}},
        sizes=None,
        item_clusters={("talk", side): clusters_of([""] * ITEMS) for side in says},
        block_clusters={name: clusters_of([""] * 40) for name in SUBSETS},
    )
    cells, frames = [], []
    for number in draws:
        scores = {}
        for side, values in says.items():
            for name, value in zip(SUBSETS, values, strict=False):
                scores[name, "talk", side] = value + draw.normal(0, noise, 8), np.full(8, 10.0)
        cells.append(Cell(f"{method.title} {number}", f"{method.title}, seed {number}", number, method=method.title))
        frames.append(score_frame(scores).assign(seconds=0.5, peak_memory_mb=100.0 + number))
    return MethodOutput(study, make_method(method), method.title, cells, frames)


TWO = {"harmful": TRUE, "harmless": -TRUE[::-1] / 2}
