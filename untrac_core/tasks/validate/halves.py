"""The linear datamodeling score: do sums of influence predict the losses of models trained on random halves?

Models are trained on random halves of the subsets by the recipe of the ground truth. The loss of each on a side is held
against what a method says without training: the sum of the influences of the subsets that the model lacks. The score is
Spearman's rank correlation over the halves (Ilyas et al., Datamodels, ICML 2022; Park et al., TRAK, ICML 2023, section
2). Unlike leave-one-out, it asks whether influences add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from untrac_core.fileio import finite
from untrac_core.stats.agreement import spearman
from untrac_core.stats.bootstrap import CONTRAST, DRAWS, HARMFUL, HARMLESS, Place, interval, side_weights
from untrac_core.stats.intervals import Array

Half = frozenset[str]
"""The subsets that a training lacks."""
COLUMNS = ["half", "without", "prompt_set", "side", "loss"]
DRAW_SEED = 0
"""Of the halves: the same for the same subsets."""


def random_halves(subsets: Sequence[str], count: int) -> list[Half]:
    """What each of ``count`` trainings lacks: half of the subsets, rounded down, and no two the same.

    All halves that there are, where these are not more.
    """
    size = len(subsets) // 2
    if count >= comb(len(subsets), size):
        return [frozenset(half) for half in combinations(subsets, size)]
    draw, found = np.random.default_rng(DRAW_SEED), dict[Half, None]()
    while len(found) < count:
        found.setdefault(frozenset(subsets[i] for i in draw.permutation(len(subsets))[:size].tolist()))
    return list(found)


@dataclass(frozen=True)
class HalfLosses:
    """What each half's training lacks, and the loss of every side, shape (halves,), in nats per token."""

    halves: Sequence[Half]
    losses: Mapping[Place, Array]

    def table(self) -> pd.DataFrame:
        """The table of ``halves.parquet``: half, without (names, one a line), prompt_set, side, loss."""
        rows = [
            (number, "\n".join(sorted(half)), *place, float(losses[number]))
            for number, half in enumerate(self.halves)
            for place, losses in self.losses.items()
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def predicted(self, influence: Mapping[str, float]) -> Array:
        """Of each half, the sum of the influences of the subsets that it lacks; shape (halves,)."""
        return np.array([sum(influence[name] for name in sorted(half)) for half in self.halves], dtype=np.float64)


def half_losses(halves: Sequence[Half], frames: Sequence[pd.DataFrame]) -> HalfLosses:
    """From the tables of the trainings, one a half, with each item's loss; ``contrast``: harmful minus harmless."""
    sums = [frame.groupby(["prompt_set", "side"], sort=False)[["loss", "tokens"]].sum() for frame in frames]
    found: dict[Place, Array] = {
        (str(prompt_set), str(side)): np.array(
            [one["loss"][prompt_set, side] / one["tokens"][prompt_set, side] for one in sums]
        )
        for prompt_set, side in sums[0].index
    }
    for prompt_set in dict.fromkeys(name for name, _ in found):
        if (prompt_set, HARMFUL) in found and (prompt_set, HARMLESS) in found:
            found[prompt_set, CONTRAST] = found[prompt_set, HARMFUL] - found[prompt_set, HARMLESS]
    return HalfLosses(halves, found)


def score_rows(
    truth: HalfLosses, estimates: pd.DataFrame, groups: Mapping[str, Sequence[Place]]
) -> list[dict[str, Any]]:
    """Each method's score on every side, then its mean over every group of sides that has any (``prompt_set`` None).

    ``estimates``: as ``estimates.parquet``. The 95% interval is a bootstrap over the halves, the same draws for all.
    """
    count = len(truth.halves)
    draws = np.random.default_rng(DRAW_SEED).integers(count, size=(DRAWS, count))
    scopes: list[tuple[str | None, str, Sequence[Place]]] = [(*place, [place]) for place in truth.losses]
    scopes += [(None, name, places) for name, places in groups.items() if places]
    rows = []
    for method, table in estimates.groupby("method", sort=False):
        told = {
            place: truth.predicted(dict(zip(part["subset"], part["influence"], strict=True)))
            for place, part in table.groupby(["prompt_set", "side"], sort=False)
        }
        value = {place: spearman(told[place], losses) for place, losses in truth.losses.items()}
        drawn = {place: spearman(told[place][draws], losses[draws]) for place, losses in truth.losses.items()}
        for prompt_set, side, places in scopes:
            weights = side_weights(places)
            mean = float(weights @ np.array([float(np.squeeze(value[place])) for place in places]))
            low, high = interval(mean, weights @ np.stack([drawn[place] for place in places]), "spearman")
            place = {"method": method, "prompt_set": prompt_set, "side": side, "sides": len(places)}
            rows.append(finite(place | {"value": mean, "low": low, "high": high}))
    return rows


def half_summary(
    truth: HalfLosses, estimates: pd.DataFrame, groups: Mapping[str, Sequence[Place]], seed: int
) -> dict[str, Any]:
    """What ``summary.json`` says of the halves: how many, how large, by which seed, and the scores."""
    return {
        "count": len(truth.halves),
        "without": len(truth.halves[0]),
        "seed": seed,
        "scores": score_rows(truth, estimates, groups),
    }
