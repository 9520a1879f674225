"""Batches of a mix: as many blocks of every subset in each, weighted by its share, the same whatever is left out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from untrac_core.attribution.base import AttributionContext
from untrac_core.data.tokens import Example
from untrac_core.errors import InputError

MOST = 0.9
"""A subset with a greater share leaves nothing to train on."""


def shares(study: AttributionContext, where: str) -> dict[str, float]:
    """How much of the training each subset is: its part of all text where that is known, else an equal one.

    Raises :class:`InputError` where a subset is nearly everything.
    """
    sizes = study.sizes or dict.fromkeys(study.subsets, 1.0)
    total = sum(sizes[name] for name in study.subsets)
    found = {name: sizes[name] / total for name in study.subsets}
    for name, share in found.items():
        if share > MOST:
            raise InputError(
                f"subset {name!r} is {share:.0%} of the training: without it there is nothing to train on",
                field=where,
                hint="split it into several subsets",
            )
    return found


def in_turn(asked: Sequence[str] | None, study: AttributionContext, where: str) -> list[str]:
    """The subsets that are left out in turn, in the order of the study: those ``asked`` for, or each.

    Raises :class:`InputError` for a name that is none of theirs.
    """
    unknown = [name for name in asked or () if name not in study.subsets]
    if unknown:
        raise InputError(
            f"'leave_out': there is no subset {unknown[0]!r}", field=where, hint=f"choose of {list(study.subsets)}"
        )
    return [name for name in study.subsets if asked is None or name in asked]


def without(shares: Mapping[str, float], subset: str) -> dict[str, float]:
    """The shares of what is left without ``subset``, which sum to one; of a name that is none of theirs, the same."""
    rest = {name: share for name, share in shares.items() if name != subset}
    whole = sum(rest.values())
    return {name: share / whole for name, share in rest.items()}


def check_batch(blocks: Mapping[str, Sequence[Example]], size: int, where: str) -> None:
    """Raise :class:`InputError` where a subset has fewer blocks than a batch takes of it."""
    for name, own in blocks.items():
        if len(own) < size:
            raise InputError(
                f"subset {name!r} has {len(own)} blocks, too few for a batch of {size} without repeats",
                field=where,
                hint="take a smaller 'batch_size', or more blocks per subset",
            )


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
