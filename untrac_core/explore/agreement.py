"""How far two rankings agree, how sure that is, and which moves between them are more than noise.

Each number of a view has an interval of its own. A thousand times every number is drawn anew, as normal about its
value with the interval as its middle 95%, and all are ranked again: a parametric bootstrap. It says how far the
agreement over these subsets might move with other seeds and other texts of the same kind; it takes views, and the
subsets of a view, to be independent of each other. What chance would give between unrelated rankings of so few subsets
is another question, and another number (``chance``).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from untrac_core.explore.ranking_view import LETTERS, RankingView
from untrac_core.stats.agreement import critical_value, kendall, pearson, spearman
from untrac_core.stats.bootstrap import interval
from untrac_core.stats.intervals import LEVEL, Array
from untrac_core.text.numbers import decimals

DRAWS = 1000

Verdict = Literal["agree", "oppose", "unsure", "chance", "few"]


@dataclass(frozen=True)
class Agreed:
    """One measure of agreement, from -1 to 1; not a number where there is none."""

    value: float
    low: float
    high: float
    chance: float
    """What unrelated rankings of so many subsets reach or exceed in at most one of twenty; infinite for very few."""


@dataclass(frozen=True)
class RankAgreement:
    """The agreement of two views over the subsets that both have."""

    subsets: int
    spearman: Agreed
    kendall: Agreed

    @property
    def verdict(self) -> Verdict:
        """In one word; ``few``: it cannot be computed. ``unsure``: no chance, but the intervals leave its sign open."""
        found = self.spearman
        if math.isnan(found.value):
            return "few"
        if abs(found.value) < found.chance:
            return "chance"
        if not math.isnan(found.low) and found.low <= 0 <= found.high:
            return "unsure"
        return "agree" if found.value > 0 else "oppose"


@lru_cache(maxsize=8)
def ranks_drawn(view: RankingView, subsets: tuple[str, ...]) -> Array | None:
    """The ranks of ``subsets`` as drawn anew, the least value first, shape (:data:`DRAWS`, subsets).

    ``None`` where one has no interval. The same view and subsets give the same numbers, wherever the view stands.
    Shared, so never to be altered.
    """
    rows = view.values.set_index("subset").reindex(list(subsets))
    spread = ((rows["high"] - rows["low"]) / (2 * ndtri((1 + LEVEL) / 2))).to_numpy(dtype=float)
    if not len(rows) or np.isnan(spread).any():
        return None
    key = "\x1f".join((view.run, view.prompts.name, view.side, view.method))
    noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal((DRAWS, len(rows)))
    drawn = rows["value"].to_numpy(dtype=float) + np.maximum(spread, 0.0) * noise
    if len(np.unique(drawn[0])) < len(rows):  # intervals without width: ties rank by their mean
        return np.asarray(pd.DataFrame(drawn).rank(axis=1), dtype=np.float64)
    ranks: Array = drawn.argsort(-1).argsort(-1) + 1.0
    return ranks


def rank_agreement(first: RankingView, second: RankingView) -> RankAgreement:
    """Spearman's rho and Kendall's tau-b of two views over the subsets that both have, with their intervals.

    An end of an interval is the wider of the plain and the reflected percentile of the draws
    (:func:`untrac_core.stats.bootstrap.interval`); not a number where a view has no intervals (one seed).
    """
    known = set(second.values["subset"])
    shared = tuple(sorted(subset for subset in first.values["subset"] if subset in known))
    if len(shared) < 3:
        nothing = Agreed(math.nan, math.nan, math.nan, math.inf)
        return RankAgreement(len(shared), nothing, nothing)
    values = [
        view.values.set_index("subset").loc[list(shared), "value"].to_numpy(dtype=float) for view in (first, second)
    ]
    ends = {"spearman": (math.nan, math.nan), "kendall": (math.nan, math.nan)}
    rho, tau = float(spearman(*values)), float(kendall(*values))
    ranks = [ranks_drawn(view, shared) for view in (first, second)]
    if ranks[0] is not None and ranks[1] is not None:
        ends["spearman"] = interval(rho, pearson(ranks[0], ranks[1]), "spearman")
        ends["kendall"] = interval(tau, _kendall(ranks[0], ranks[1]), "kendall")
    return RankAgreement(
        len(shared),
        Agreed(rho, *ends["spearman"], critical_value("spearman", len(shared))),
        Agreed(tau, *ends["kendall"], critical_value("kendall", len(shared))),
    )


def _kendall(first: Array, second: Array) -> Array:
    """Kendall's tau of each pair of rows of ranks (of many subsets, of the first rows), in little memory.

    A row without ties counts pair by pair of places; with ties it is tau-b.
    """
    size = first.shape[1]
    if any(len(np.unique(ranks[0])) < size for ranks in (first, second)):
        return np.concatenate([kendall(first[i : i + 20], second[i : i + 20]) for i in range(0, len(first), 20)])
    most = max(200, 8_000_000 // size**2)  # a coarser end of the interval, so that a page answers at once
    one, two = (np.ascontiguousarray(ranks[:most].T.astype(np.int16)) for ranks in (first, second))
    discordant = np.zeros(one.shape[1])
    for i in range(size - 1):
        discordant += ((one[i] < one[i + 1 :]) != (two[i] < two[i + 1 :])).sum(0)
    result: Array = 1 - 4 * discordant / (size * (size - 1))
    return result


def significant_rank_changes(views: Sequence[RankingView], table: pd.DataFrame) -> pd.DataFrame:
    """Whether each subset's move against the baseline is in one direction in 97.5% of the draws.

    ``table``: as :func:`untrac_core.explore.ranking_view.joined` returns. The result: index subset (those that all
    views have), a column of bools for each view but the baseline, by its letter; false where a view has no intervals.
    """
    shared = tuple(sorted(table.loc[table["place_A"].notna(), "subset"]))
    letters = LETTERS[: len(views)]
    held = pd.DataFrame(False, index=pd.Index(list(shared), name="subset"), columns=list(letters[1:]))
    start, *others = (ranks_drawn(view, shared) for view in views)
    for letter, again in zip(letters[1:], others, strict=True):
        if start is not None and again is not None:
            up = again - start
            held[letter] = np.maximum((up > 0).mean(0), (up < 0).mean(0)) >= (1 + LEVEL) / 2
    return held


def agreement_in_words(found: RankAgreement, letters: str = LETTERS[:2]) -> str:
    """The agreement of two views as a sentence; words of ours only."""
    pair, size, value = f"{letters[0]} and {letters[1]}", found.subsets, found.spearman
    if found.verdict == "few":
        if size < 3:
            return f"{pair} share fewer than three subsets: no agreement of their ranks can be computed."
        return f"No agreement of {pair} can be computed, as one of them gives every subset the same value."
    ends = "no interval: one of them has a single seed"
    if not math.isnan(value.low):
        ends = f"{decimals(value.low)} to {decimals(value.high)}"
    told = f"Spearman {decimals(value.value)} ({ends}) over {size} subsets"
    if found.verdict == "chance":
        if math.isinf(value.chance):
            return f"No significant rank agreement of {pair}: {told}, too few for any order to beat chance."
        bar = f"significant is what exceeds {decimals(value.chance)} either way"
        return f"No significant rank agreement of {pair}: {told}; {bar}. The interval is that of the scores alone."
    bar = f"beyond the {decimals(value.chance)} of chance"
    verb = "agree" if value.value > 0 else "oppose each other"
    if found.verdict == "unsure":
        return f"The ranks of {pair} may {verb}: {told}, {bar}, but its interval includes zero."
    return f"The ranks of {pair} {verb}: {told}, {bar}."
