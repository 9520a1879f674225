"""Negative controls: training text about which it is known beforehand what influence it must have.

``doubled``: the documents of a subset dealt at random into two halves, as if it stood in the run under two names. Both
are samples of the same text, so their influence must be the same. ``mixed``: whole documents drawn at random from all
subsets, in their proportions. What is left is the same mix, so leaving them out must change nothing. (Shuffled tokens
are no control: their words stay, and with them an influence on every contrast that is about words. Nor are tokens drawn
from the whole mix: a text without grammar teaches less than the text that it takes the place of.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from untrac_core.data.tokens import Example, Packed

SEED = 0
"""Of the dealing: the same halves for the same text."""


def halves(packed: Packed, seed: int = SEED) -> tuple[Packed, Packed]:
    """A subset's blocks dealt into two parts at random, those of one document to the same."""
    one, other = (replace(packed, blocks=part, pool=len(part)) for part in dealt(packed.blocks, seed))
    return one, other


def dealt(blocks: Sequence[Example], seed: int = SEED) -> tuple[list[Example], list[Example]]:
    """Blocks dealt into two parts at random, those of one document to the same; chance also says which comes first."""
    documents, draw = _documents(blocks), np.random.default_rng(seed)
    order = draw.permutation(len(documents)).tolist()
    return _parted(blocks, {documents[place] for place in order[draw.integers(2) :: 2]})


def mixed(blocks: Mapping[str, Sequence[Example]], share: float, seed: int = SEED) -> dict[str, list[Example]]:
    """Of each subset the blocks of a random ``share`` of its documents, at least one document and never all of them.

    Nothing of a subset that has one document.
    """
    draw, found = np.random.default_rng(seed), dict[str, list[Example]]()
    for name, of in blocks.items():
        documents = _documents(of)
        number = min(max(1, round(share * len(documents))), len(documents) - 1)
        chosen = {documents[place] for place in draw.permutation(len(documents))[:number].tolist()}
        found[name] = _parted(of, chosen)[0]
    return found


def _documents(blocks: Sequence[Example]) -> list[str]:
    return list(dict.fromkeys(block.cluster or block.id for block in blocks))


def _parted(blocks: Sequence[Example], first: set[str]) -> tuple[list[Example], list[Example]]:
    """The blocks of the documents that are named, and the others."""
    parts: tuple[list[Example], list[Example]] = ([], [])
    for block in blocks:
        parts[(block.cluster or block.id) not in first].append(block)
    return parts
