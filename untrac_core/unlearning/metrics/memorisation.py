"""How much of a text the model writes by itself, token by greedy token."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from untrac_core.stats.intervals import Array


def exact_memorisation(matches: npt.ArrayLike, tokens: npt.ArrayLike) -> Array:
    """Share of each item's tokens that are the model's first choice, given the true tokens before them; 0 to 1.

    ``matches``: how many are; ``tokens``: how many there are; both of shape (items,), as is what comes back. (Tirumala
    et al., 2022; as in OpenUnlearning.)

    Raises:
        ValueError: shapes that differ, not one axis, no item, or counts that cannot be.
    """
    found, total = np.asarray(matches, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    if found.shape != total.shape or found.ndim != 1 or not len(found):
        raise ValueError(f"matches of shape {found.shape}, tokens of shape {total.shape}, expected (items,) for both")
    if not ((total >= 1) & (found >= 0) & (found <= total) & np.isfinite(total)).all():
        raise ValueError("every item needs at least one token, and at most as many matches as tokens")
    result: Array = found / total
    return result


def extraction_strength(correct: npt.ArrayLike) -> float:
    """Extraction strength of one text: 1 - k / tokens, for the shortest prefix k after which all goes by itself.

    ``correct``: truth values of shape (tokens,): whether each token is the model's first choice, given the true tokens
    before it. 1 for a memorised text, 0 where the last token is wrong (Carlini et al., 2021). OpenUnlearning's code
    stops at k = tokens - 1, and so gives 1 / tokens to a text of which nothing can be extracted; this does not.

    Raises:
        ValueError: not one axis, no token, or not truth values.
    """
    told = np.asarray(correct)
    if told.ndim != 1 or not len(told) or told.dtype != np.bool_:
        raise ValueError(f"shape {told.shape} of {told.dtype}, expected truth values of shape (tokens,)")
    wrong = np.flatnonzero(~told)
    return 1 - (int(wrong[-1]) + 1) / len(told) if len(wrong) else 1.0
