"""Leave-two-out: does the effect of leaving out two subsets at once differ from what the two do one by one?

With the steps as they are, the place of a subset that is left out is filled by the others in their proportions
(:mod:`untrac_core.stats.mixture`). Subsets with the shares p of a training whose influences I only add up so have,
together, the influence

    sum over both of I (1 - p) / (1 - p_first - p_second),

a little more than the plain sum, as more of the training is replaced. The *interaction* is what leaving out both shows
beyond that: positive, each of the two stands in for the other where one alone is missing; negative, much of what the
one does needs the other, or both do the same harm once.

Its noise is the spread between seeds, pooled over the pairs of a side. The noise of single trainings of one recipe is
taken to be normal, independent and of one size, but for what all trainings of a seed share, which cancels. Pairs share
trainings, so how large the largest of their interactions gets by noise alone is drawn from just that (Westfall and
Young, 1993): the intervals of all pairs hold together in 95% of cases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrac_core.errors import InputError
from untrac_core.fileio import finite
from untrac_core.results.folders import PAIRS, write_frame
from untrac_core.specs import ValidateSpec
from untrac_core.stats.bootstrap import DRAWS, NUMBERS, Place
from untrac_core.stats.intervals import LEVEL, Array
from untrac_core.tasks.validate.additions.sets import DRAW_SEED, Names, SetLosses, random_sets, score_rows, set_losses

if TYPE_CHECKING:
    from untrac_core.tasks.validate.findings import Findings
    from untrac_core.training.leave_one_out import LeaveOneOut

COLUMNS = ["pair", "without", "prompt_set", "side", "seed", "both", "expected"]
FEWEST = 4
"""Of fewer pairs the order says nothing, so methods have no score."""


def chosen_pairs(subsets: Sequence[str], spec: ValidateSpec) -> list[Names]:
    """The pairs that are left out: those that are named, then as many others, drawn at random, as are asked for."""
    named = [frozenset(pair) for pair in spec.named_pairs]
    for name in sorted(frozenset().union(*named) - set(subsets)):
        raise InputError(f"there is no subset {name!r}", field="named_pairs", hint=f"known: {', '.join(subsets)}")
    drawn = random_sets(subsets, 2, spec.pairs + len(named)) if spec.pairs else []
    return named + [pair for pair in drawn if pair not in named][: spec.pairs]


class PairNoise:
    """What noise alone makes of the interactions of some pairs, of which each training has some of its own.

    ``weights``: shape (pairs, subsets), as :func:`pair_weights` has them. ``largest``: the largest absolute mean over
    seeds of any pair, and ``squares``: the mean of their squares, over the standard error, and the variance, that the
    spread between seeds tells; shape (draws,) each, sorted. Not numbers with one seed.
    """

    def __init__(self, weights: Array, seeds: int) -> None:
        pairs, subsets = weights.shape
        size = max(1, NUMBERS // (seeds * (1 + subsets + pairs)))
        draw, found = np.random.default_rng(DRAW_SEED), list[tuple[Array, Array]]()
        for start in range(0, DRAWS, size):
            shape = min(size, DRAWS - start), seeds
            full, single, both = (draw.normal(size=(*shape, width)) for width in (1, subsets, pairs))
            noise = (both - full) - (single - full) @ weights.T
            means, variance = noise.mean(1), self.variance(noise)
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append((np.abs(means).max(1) / np.sqrt(variance), (means**2).mean(1) / variance))
        self.largest, self.squares = (np.sort(np.concatenate(parts)) for parts in zip(*found, strict=True))

    @staticmethod
    def variance(values: Array) -> Array:
        """Of a mean over seeds, pooled over the pairs; shape (..., seeds, pairs) to (...)."""
        seeds = values.shape[-2]
        if seeds < 2:
            return np.full(values.shape[:-2], np.nan)
        result: Array = values.var(-2, ddof=1).mean(-1) / seeds
        return result


@dataclass(frozen=True)
class Interactions:
    """The effects of leaving out pairs on one side, by seed, and what the single subsets' influences make of them.

    ``both``, ``expected``: shape (seeds, pairs), in nats per token.
    """

    both: Array
    expected: Array
    noise: PairNoise

    @cached_property
    def means(self) -> Array:
        """The interaction of each pair, mean over seeds; shape (pairs,)."""
        result: Array = (self.both - self.expected).mean(0)
        return result

    @cached_property
    def variance(self) -> float:
        """Of one pair's mean over seeds, pooled over the pairs; not a number with one seed."""
        return float(PairNoise.variance(self.both - self.expected))

    @property
    def margin(self) -> float:
        """Of each interaction's interval, which together hold in 95% of cases; not a number with one seed."""
        return float(np.quantile(self.noise.largest, LEVEL)) * math.sqrt(self.variance)

    @property
    def p_value(self) -> float:
        """How often noise alone makes as much of all interactions; not a number with one seed."""
        if not self.variance > 0:
            return math.nan
        ratio = float((self.means**2).mean()) / self.variance
        return float(1 + (self.noise.squares >= ratio).sum()) / (1 + len(self.noise.squares))


def pair_weights(subsets: Sequence[str], pairs: Sequence[Names], sizes: Mapping[str, float]) -> Array:
    """What makes influences of single subsets that of each pair, if they only add up; shape (pairs, subsets)."""
    total = sum(sizes.values())
    share = {name: sizes[name] / total for name in subsets}
    return np.array(
        [
            [(1 - share[name]) / (1 - sum(share[one] for one in pair)) if name in pair else 0.0 for name in subsets]
            for pair in pairs
        ]
    )


class Pairs:
    """The trainings without two subsets at once, by every seed."""

    def __init__(self, spec: ValidateSpec, leave_out: LeaveOneOut) -> None:
        blocks = leave_out.material.blocks
        self.seeds, self.pairs = spec.seeds, chosen_pairs(list(blocks), spec)
        self.sizes = {name: float(len(of)) for name, of in blocks.items()}
        self.cells = [cell for seed in self.seeds for cell in leave_out.set_cells(seed, self.pairs)]

    def tell(self, folder: Path, findings: Findings, frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
        """Write both effects by seed; the summary has every pair's interaction, each side's, and methods' scores."""
        if not frames:
            return {}
        losses = set_losses(self.pairs * len(self.seeds), frames).losses
        by_seed = {place: values.reshape(len(self.seeds), len(self.pairs)) for place, values in losses.items()}
        full = set_losses([], findings.full_frames).losses
        weights = pair_weights(findings.subsets, self.pairs, self.sizes)
        noise = PairNoise(weights, len(self.seeds))
        found = {
            place: Interactions(values - full[place][:, None], findings.per_seed[place] @ weights.T, noise)
            for place, values in by_seed.items()
        }
        write_frame(self.table(found), folder / PAIRS)
        told: dict[str, Any] = {"count": len(self.pairs), "seeds": self.seeds}
        told["interactions"] = [row for place, one in found.items() for row in self._rows(place, one)]
        told["sides"] = [side_row(place, one) for place, one in found.items()]
        truth = SetLosses(self.pairs, {place: values.mean(0) for place, values in by_seed.items()}, self.sizes)
        enough = len(self.pairs) >= FEWEST
        told["scores"] = score_rows(truth, findings.estimate_table, findings.groups) if enough else []
        return {"pairs": told}

    def table(self, found: Mapping[Place, Interactions]) -> pd.DataFrame:
        """The table of ``pairs.parquet``; the effects are in nats per token."""
        rows = [
            (
                number,
                "\n".join(sorted(pair)),
                *place,
                seed,
                float(one.both[at, number]),
                float(one.expected[at, number]),
            )
            for number, pair in enumerate(self.pairs)
            for place, one in found.items()
            for at, seed in enumerate(self.seeds)
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def _rows(self, place: Place, found: Interactions) -> list[dict[str, Any]]:
        """Each pair's interaction; ``separable``: its interval, one of those of all pairs together, excludes zero."""
        rows, margin = [], found.margin
        for number, pair in enumerate(self.pairs):
            value = float(found.means[number])
            row: dict[str, Any] = {"without": sorted(pair), "prompt_set": place[0], "side": place[1]}
            row |= {"both": float(found.both[:, number].mean()), "expected": float(found.expected[:, number].mean())}
            row |= {"interaction": value, "low": value - margin, "high": value + margin}
            rows.append(finite(row) | {"separable": abs(value) > margin})
        return rows


def side_row(place: Place, found: Interactions) -> dict[str, Any]:
    """How far pairs depart from their sums on a side: root mean squares over the pairs, in nats per token.

    ``noise``: what seeds alone would make of ``interaction``; ``separable``: whether it is more than they make in 19 of
    20 cases.
    """
    size = {"both": found.both.mean(0), "interaction": found.means}
    row: dict[str, Any] = {name: float(np.sqrt((values**2).mean())) for name, values in size.items()}
    row |= {"noise": math.sqrt(found.variance), "p_value": found.p_value}
    told: dict[str, Any] = finite({"prompt_set": place[0], "side": place[1]} | row)
    return told | {"separable": found.p_value < 1 - LEVEL}
