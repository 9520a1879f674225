"""From influence per token to influence of a whole subset: what its share of the training makes of it.

A method says how much a little of each subset's text matters: x_k, in nats per token of a unit of training on subset
k. Leaving subset k out of a training of the same number of steps takes its share p_k away and fills its place with the
others in their proportions. The training's mean gradient so changes from sum_j p_j g_j to
sum_(j != k) p_j g_j / (1 - p_k), which is by p_k / (1 - p_k) x (sum_j p_j g_j - g_k); to first order

    influence_k = p_k / (1 - p_k) x (x_k - sum_j p_j x_j).

With equal shares that moves and scales all subsets alike: no rank and no correlation changes. With unequal ones it
does; ``benchmarks/accuracy`` says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt

from untrac_core.stats.intervals import LEAST, Estimate

LARGE = 0.25
"""From this share on an estimate to first order can be badly wrong (``benchmarks/accuracy``: a subset of 30%)."""
UNEVEN = 1.25
"""Of few subsets, each is large; one is named where it is this many times an equal share."""
LEAST_BLOCKS = 8
"""Of a small subset that methods look at, as long as it has so many."""


def leave_out_matrix(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The matrix of shape (subsets, subsets) that makes x the influence of leaving each subset out.

    ``shares``: of the training, all above zero; they need not sum to one. Raises ``ValueError`` for fewer than two.
    """
    if len(shares) < 2 or not (shares > 0).all():
        raise ValueError("there must be at least two shares, each above zero")
    p = shares / shares.sum()
    matrix: npt.NDArray[np.float64] = (p / (1 - p))[:, None] * (np.eye(len(p)) - p[None, :])
    return matrix


def leave_out_influence(found: Mapping[str, Estimate], shares: Mapping[str, float]) -> dict[str, Estimate]:
    """Every subset's estimate as the influence of leaving it out, its uncertainty carried along.

    A subset that is too small for an interval of its own is left out of the mean, unless all but one are: nobody knows
    what its noise would do to the others' intervals.
    """
    whole = sum(shares[name] for name in found)
    large = [name for name, one in found.items() if one.fewest >= LEAST]
    inside = large if len(large) > 1 else list(found)
    weights = {name: shares[name] / sum(shares[other] for other in inside) for name in inside}
    mean = reduce(add, (found[name] * weight for name, weight in weights.items()))
    odds = {name: shares[name] / (whole - shares[name]) for name in found}
    return {name: (one - mean) * odds[name] for name, one in found.items()}


def allocate_samples(blocks: Mapping[str, int], each: int) -> dict[str, int]:
    """How many of a subset's blocks methods look at: ``each`` on average, in proportion to what was trained on.

    Its weight p / (1 - p) multiplies the error of its sampled gradient too. In proportion to the share, the errors of
    large and small subsets come near each other (Neyman's allocation, for texts that vary alike).
    """
    mean = sum(blocks.values()) / len(blocks)
    return {name: min(count, max(LEAST_BLOCKS, round(each * count / mean))) for name, count in blocks.items()}


def large_shares(sizes: Mapping[str, float]) -> list[str]:
    """A warning for every subset that is more of the training than an estimate to first order can speak of."""
    total = sum(sizes.values())
    return [
        f"Subset {name!r} is {size / total:.0%} of the training: without so much of it the rest would be read "
        f"{1 / (1 - size / total):.1f} times as often, which no first-order estimate knows. Ask UnTrac or retraining "
        "about it."
        for name, size in sizes.items()
        if size >= max(LARGE, UNEVEN / len(sizes)) * total
    ]
