"""The mixes that are retrained: those on which the method was chosen, and those on which it was then tested."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Mix = dict[str, float]
"""How often a pass reads each subset that changes: 0 drops it, 0.5 halves it, 2 doubles it."""
TIMES = (0.0, 0.5, 2.0)
MOST = 4
"""Subsets that change at once."""


def drawn(subsets: Sequence[str], pairs: int, others: int, seed: int, known: Sequence[Mix] = ()) -> list[Mix]:
    """Random mixes: so many ``pairs`` of subsets dropped, and ``others`` in which one to four subsets change.

    None is in ``known``, none comes twice, and none is the leave-out of one subset, which what-if starts from.
    """
    draw, found = np.random.default_rng(seed), list[Mix]()
    seen = [{}, *({name: 0.0} for name in subsets), *known]
    while len(found) < pairs + others:
        size = 2 if len(found) < pairs else int(draw.integers(1, MOST + 1))
        chosen = sorted(draw.choice(len(subsets), size, replace=False).tolist())
        times = [0.0 if len(found) < pairs else float(draw.choice(TIMES)) for _ in chosen]
        mix = {subsets[place]: one for place, one in zip(chosen, times, strict=True)}
        if mix not in [*seen, *found]:
            found.append(mix)
    return found


def development(subsets: Sequence[str]) -> list[Mix]:
    """Six mixes: a pair dropped, and five others."""
    return drawn(subsets, pairs=1, others=5, seed=6)


def held_out(subsets: Sequence[str]) -> list[Mix]:
    """Twenty mixes: three pairs dropped, and seventeen others; none of those of :func:`development`."""
    return drawn(subsets, pairs=3, others=17, seed=20, known=development(subsets))


def in_words(mix: Mix) -> str:
    """A mix as 'news x 0, web x 2'."""
    return ", ".join(f"{name} x {one:g}" for name, one in mix.items())
