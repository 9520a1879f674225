"""Which texts are looked at token by token, and how many: told by numbers alone, so that a check can price it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ENDS = 5
"""Training texts of a subset: this many with the greatest influence, and as many with the least."""
ROWS = 4_000_000
"""Of the table of token changes, roughly: what would be longer has fewer texts at each end, at least one."""
VIEWS = {1: 1, 2: 3}
"""Of a prompt set with one side or two: the sides, and the contrast of two."""


def blocks_each(tokens: float, views: Sequence[int]) -> int:
    """How many blocks are looked at on each end of each subset's ranking.

    ``tokens``: of one block of every subset, together; ``views``: of each prompt set. Every view chooses, and every
    view shows what any of them chose.
    """
    return int(min(ENDS, max(1, ROWS // max(1.0, 2 * tokens * sum(view**2 for view in views)))))


def items_each(tokens: float, subsets: int) -> int:
    """How many items are looked at on each end of a side; ``tokens``: of one item of every side, together."""
    return int(max(1, ROWS / 2 // max(1.0, 2 * tokens * subsets)))


def ends(lowest: npt.NDArray[np.float64], highest: npt.NDArray[np.float64], each: int) -> set[int]:
    """The ``each`` with the greatest ``highest`` and the ``each`` with the least ``lowest``; of equals the first."""
    greatest, least = np.argsort(-highest, kind="stable")[:each], np.argsort(lowest, kind="stable")[:each]
    return {int(i) for i in (*greatest, *least)}
