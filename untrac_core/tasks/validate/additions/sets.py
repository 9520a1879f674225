"""Models that lack several subsets at once: their losses, and how well sums of influence put them in order.

The loss of each model on a side is held against what a method says without training: the sum of the influences of the
subsets that the model lacks. The score is Spearman's rank correlation over the models (Ilyas et al., Datamodels, ICML
2022; Park et al., TRAK, ICML 2023, section 2).
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

Names = frozenset[str]
"""The subsets that a training lacks."""
DRAW_SEED = 0
"""Of the sets: the same for the same subsets."""


def random_sets(subsets: Sequence[str], size: int, count: int) -> list[Names]:
    """What each of ``count`` trainings lacks: ``size`` of the subsets, and no two the same.

    All such sets that there are, where these are not more.
    """
    if count >= comb(len(subsets), size):
        return [frozenset(names) for names in combinations(subsets, size)]
    draw, found = np.random.default_rng(DRAW_SEED), dict[Names, None]()
    while len(found) < count:
        found.setdefault(frozenset(subsets[i] for i in draw.permutation(len(subsets))[:size].tolist()))
    return list(found)


@dataclass(frozen=True)
class SetLosses:
    """What each training lacks, and the loss of every side, shape (sets,), in nats per token.

    ``sizes``: of all subsets, by which their share in the training is known.
    """

    sets: Sequence[Names]
    losses: Mapping[Place, Array]
    sizes: Mapping[str, float] | None = None

    def predicted(self, influence: Mapping[str, float]) -> Array:
        """Of each set, the sum of the influences of the subsets in it; shape (sets,).

        Where sizes are known, as they add up at these shares (:mod:`untrac_core.tasks.validate.additions.pairs`).
        """
        weights: Mapping[str, float] = dict.fromkeys(influence, 1.0)
        if self.sizes is not None:
            total = sum(self.sizes.values())
            weights = {name: 1 - self.sizes[name] / total for name in influence}
        whole = [1.0 if self.sizes is None else 1 - sum(self.sizes[n] for n in names) / total for names in self.sets]
        sums = [sum(influence[name] * weights[name] for name in sorted(names)) for names in self.sets]
        result: Array = np.array(sums, dtype=np.float64) / np.array(whole)
        return result


def set_losses(sets: Sequence[Names], frames: Sequence[pd.DataFrame]) -> SetLosses:
    """From the tables of the trainings, one a set."""
    return SetLosses(sets, side_losses(frames))


def side_losses(frames: Sequence[pd.DataFrame]) -> dict[Place, Array]:
    """From the tables of trainings, with each item's loss: nats per token by side, shape (trainings,).

    ``contrast``: harmful minus harmless.
    """
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
    return found


def score_rows(
    truth: SetLosses, estimates: pd.DataFrame, groups: Mapping[str, Sequence[Place]]
) -> list[dict[str, Any]]:
    """Each method's score, from sums of its influences; ``estimates``: as ``estimates.parquet``."""
    told = {
        str(method): {
            (str(prompt_set), str(side)): truth.predicted(dict(zip(part["subset"], part["influence"], strict=True)))
            for (prompt_set, side), part in table.groupby(["prompt_set", "side"], sort=False)
        }
        for method, table in estimates.groupby("method", sort=False)
    }
    return agreement_rows(truth.losses, told, groups)


def agreement_rows(
    truth: Mapping[Place, Array], told: Mapping[str, Mapping[Place, Array]], groups: Mapping[str, Sequence[Place]]
) -> list[dict[str, Any]]:
    """Each method's score on every side, then its mean over every group of sides that has any (``prompt_set`` None).

    ``truth``: losses by side; ``told``: by method, what it says of them; each of shape (trainings,). The 95% interval
    is a bootstrap over the trainings, the same draws for all.
    """
    count = len(next(iter(truth.values())))
    draws = np.random.default_rng(DRAW_SEED).integers(count, size=(DRAWS, count))
    scopes: list[tuple[str | None, str, Sequence[Place]]] = [(*place, [place]) for place in truth]
    scopes += [(None, name, places) for name, places in groups.items() if places]
    rows = []
    for method, sums in told.items():
        value = {place: spearman(sums[place], losses) for place, losses in truth.items()}
        drawn = {place: spearman(sums[place][draws], losses[draws]) for place, losses in truth.items()}
        for prompt_set, side, places in scopes:
            weights = side_weights(places)
            mean = float(weights @ np.array([float(np.squeeze(value[place])) for place in places]))
            low, high = interval(mean, weights @ np.stack([drawn[place] for place in places]), "spearman")
            place = {"method": method, "prompt_set": prompt_set, "side": side, "sides": len(places)}
            rows.append(finite(place | {"value": mean, "low": low, "high": high}))
    return rows
