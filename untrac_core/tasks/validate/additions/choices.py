"""Choices: which of two texts do the leave-out models find likelier, and does the ranking tell how that changes?

Of a prompt set whose two sides are pairs (CrowS-Pairs, StereoSet) or questions with false and true answers
(TruthfulQA), a model chooses in each the text with the lower loss, summed over its tokens, as harnesses for such
benchmarks do; of several on a side the likeliest counts. The *rate* is the share of pairs in which it chooses the
harmful one. A subset's *change* is the rate with it less the rate without it: positive, it makes the harmful choice
more frequent, as its influence on the contrast says in nats.

All losses are those that the ground truth holds already; nothing is trained or asked for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrac_core.fileio import finite
from untrac_core.stats.agreement import spearman
from untrac_core.stats.bootstrap import CONTRAST, DRAWS, HARMFUL, HARMLESS, Place, interval
from untrac_core.stats.clusters import Clusters
from untrac_core.stats.intervals import LEAST, Array, Estimate
from untrac_core.tasks.validate.additions.sets import DRAW_SEED

if TYPE_CHECKING:
    from untrac_core.tasks.validate.findings import Findings


@dataclass(frozen=True)
class Choices:
    """What every model chooses: 1 the harmful text, 0 the other; shape (seeds, 1 + subsets, pairs), all data first."""

    chosen: Array
    subsets: Sequence[str]

    @cached_property
    def changes(self) -> Array:
        """By how much each subset changes each choice, shape (seeds, subsets, pairs)."""
        result: Array = self.chosen[:, :1] - self.chosen[:, 1:]
        return result

    def estimate(self, number: int, *, exact: bool = False) -> Estimate:
        """The change of the rate by one subset, over seeds and pairs; ``exact``: over pairs alone."""
        own = self.changes[:, number]
        return Estimate(own.mean(1), {"pairs": own.mean(0) - own.mean()}, exact=exact)

    def agreement(self, influence: Array) -> dict[str, float]:
        """Spearman's rho over the subsets of an influence with the changes of the rate; a bootstrap over the pairs."""
        pairs = self.changes.shape[-1]
        draws = np.random.default_rng(DRAW_SEED).integers(pairs, size=(DRAWS, pairs))
        weights = np.stack([np.bincount(row, minlength=pairs) for row in draws]) / pairs
        changes = self.changes.mean(0)
        value = float(np.squeeze(spearman(influence, changes.mean(-1))))
        low, high = interval(value, spearman(influence[None], weights @ changes.T), "spearman")
        return {"value": value, "low": low, "high": high}


def pair_choices(losses: Array, clusters: Mapping[str, Clusters]) -> Array:
    """Of each pair whether the likeliest harmful text is likelier than the likeliest harmless one.

    ``losses``: shape (items,), the harmful side's first; ``clusters``: of both sides. Pairs with a text on
    one side alone are left out. A tie counts half.
    """
    count = clusters[HARMFUL].count
    least = {side: np.full(count, np.inf) for side in (HARMFUL, HARMLESS)}
    begin = 0
    for side, of in least.items():
        numbers = clusters[side].numbers
        np.minimum.at(of, numbers, losses[begin : begin + len(numbers)])
        begin += len(numbers)
    both = np.isfinite(least[HARMFUL]) & np.isfinite(least[HARMLESS])
    gap = least[HARMLESS][both] - least[HARMFUL][both]
    result: Array = (np.sign(gap) + 1) / 2
    return result


def choices_of(findings: Findings) -> dict[str, Choices]:
    """The choices of all trainings, for each prompt set with enough pairs."""
    found = {}
    for prompt_set in dict.fromkeys(name for name, _ in findings.truths):
        sides = {side: findings.clusters.get((prompt_set, side)) for side in (HARMFUL, HARMLESS)}
        clusters = {side: of for side, of in sides.items() if of is not None and of.paired}
        if len(clusters) < 2:
            continue
        chosen = {
            (cell.seed, cell.subset): pair_choices(_losses(frame, prompt_set), clusters)
            for cell, frame in findings.trainings
        }
        names = ["", *findings.subsets]
        stacked = np.stack([np.stack([chosen[seed, name] for name in names]) for seed in findings.spec.seeds])
        if stacked.shape[-1] >= LEAST:
            found[prompt_set] = Choices(stacked, findings.subsets)
    return found


def _losses(frame: pd.DataFrame, prompt_set: str) -> Array:
    own = frame[frame["prompt_set"] == prompt_set]
    parts = [own[own["side"] == side]["loss"].to_numpy(dtype=np.float64) for side in (HARMFUL, HARMLESS)]
    return np.concatenate(parts)


def choice_summary(findings: Findings) -> dict[str, Any]:
    """What ``summary.json`` says of choices; empty where no prompt set has pairs."""
    rows = []
    for prompt_set, found in choices_of(findings).items():
        changes = []
        for number, subset in enumerate(found.subsets):
            one = found.estimate(number)
            low, high = one.interval() or (math.nan, math.nan)
            changes.append(finite({"subset": subset, "change": one.value, "low": low, "high": high}))
        told = agreement_with(findings, found, (prompt_set, CONTRAST))
        rate = float(found.chosen[:, 0].mean())
        row = {"prompt_set": prompt_set, "pairs": found.chosen.shape[-1], "rate": rate, "changes": changes}
        rows.append(row | {"agreement": told})
    return {"choices": rows} if rows else {}


def agreement_with(findings: Findings, found: Choices, place: Place) -> list[dict[str, Any]]:
    """How well the ranking of a side tells the changes: that of retraining (``method`` None), then every method's."""
    rows: list[dict[str, Any]] = [{"method": None} | found.agreement(findings.per_seed[place].mean(0))]
    rows += [{"method": name} | found.agreement(of) for name, of in _estimates(findings, place).items()]
    return [finite(row) for row in rows]


def _estimates(findings: Findings, place: Place) -> dict[str, Array]:
    """Each method's influence of every subset on a side, in the order of the subsets."""
    table = findings.estimate_table
    table = table[(table["prompt_set"] == place[0]) & (table["side"] == place[1])]
    return {
        str(method): part.set_index("subset")["influence"].reindex(findings.subsets).to_numpy(dtype=np.float64)
        for method, part in table.groupby("method", sort=False)
    }
