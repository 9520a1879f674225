"""What a mix of the training subsets is: the share of each, and which are left out in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def check_batch(blocks: Mapping[str, Sequence[Example]], size: int, where: str) -> None:
    """Raise :class:`InputError` where a subset has fewer blocks than a batch takes of it."""
    for name, own in blocks.items():
        if len(own) < size:
            raise InputError(
                f"subset {name!r} has {len(own)} blocks, too few for a batch of {size} without repeats",
                field=where,
                hint="take a smaller 'batch_size', or more blocks per subset",
            )
