"""Batches of a mix: as many blocks of every subset in each, weighted by its share, the same whatever is left out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from untrac_core.data.tokens import Example

MICRO_BATCH = 2
"""Training sequences a gradient sample; small, so that the second moment is that of the noise, not of the mean."""
BLOCKS_PER_BATCH = 16
"""Of a large subset, in a step; the noise of small batches makes a flow run away, and hides what a training shows."""
BATCHES = 4
"""That there are at least of a small subset: a batch that was seen before is no fresh one."""
POWER_STEPS = 12
"""Of the power iteration for the largest eigenvalue; its last steps change it by a few percent."""


def batch_rule(drawn: int) -> int:
    """Blocks in a step of a subset of which so many are drawn, where no number is named."""
    return min(BLOCKS_PER_BATCH, max(1, drawn // BATCHES))


def without(shares: Mapping[str, float], subset: str) -> dict[str, float]:
    """The shares of what is left without ``subset``, which sum to one; of a name that is none of theirs, the same."""
    rest = {name: share for name, share in shares.items() if name != subset}
    whole = sum(rest.values())
    return {name: share / whole for name, share in rest.items()}


def draw_batch(
    blocks: Mapping[str, Sequence[Example]], sizes: Mapping[str, int], seed: int, step: int
) -> dict[str, list[Example]]:
    """The blocks of every subset in a step: as many as ``sizes`` says, or all of a smaller one.

    A subset's own order hangs on the seed and its name alone. An epoch ends where what is left of it is no batch: no
    block stands twice in one.
    """
    drawn = {}
    for name, own in blocks.items():
        most = min(sizes[name], len(own))
        epoch, place = divmod(step, len(own) // most)
        order = np.random.default_rng([seed, zlib.crc32(name.encode()), epoch]).permutation(len(own))
        drawn[name] = [own[i] for i in order[place * most : (place + 1) * most]]
    return drawn


def weighted(batch: Mapping[str, Sequence[Example]], shares: Mapping[str, float]) -> tuple[list[Example], list[float]]:
    """The blocks of the subsets that have a share, and what each one's summed loss counts.

    So weighted, their sum is the mean over subsets, by share, of each one's mean loss per token.
    """
    examples: list[Example] = []
    weights: list[float] = []
    for name, share in shares.items():
        chosen = batch[name]
        examples += chosen
        weights += [share / sum(block.tokens for block in chosen)] * len(chosen)
    return examples, weights
