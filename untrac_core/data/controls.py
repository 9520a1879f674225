"""Negative controls: training text about which it is known beforehand what influence it must have.

``doubled``: the documents of a subset dealt at random into two halves, as if it stood in the run under two names. Both
are samples of the same text, so their influence must be the same. (Shuffled tokens are none: their words stay, and with
them an influence on every contrast that is about words.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from untrac_core.data.tokens import Example, Packed

SEED = 0
"""Of the dealing: the same halves for the same text."""


def halves(packed: Packed, seed: int = SEED) -> tuple[Packed, Packed]:
    """A subset's blocks dealt into two parts at random, those of one document to the same."""
    documents = list(dict.fromkeys(block.cluster or block.id for block in packed.blocks))
    order = np.random.default_rng(seed).permutation(len(documents)).tolist()
    first = {documents[place] for place in order[::2]}
    parts: tuple[list[Example], list[Example]] = ([], [])
    for block in packed.blocks:
        parts[(block.cluster or block.id) not in first].append(block)
    one, other = (replace(packed, blocks=part, pool=len(part)) for part in parts)
    return one, other
