"""Whether an outsider can tell from a model's losses that texts were trained on: membership attacks.

An attack gives each text a score that is higher for what looks trained on. An infinite score is above or below all
others; where a score is not a number, neither is the measure.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from untrac_core.stats.intervals import Array

SHARE = 0.4
"""Of a text's tokens, for Min-K."""


def vector(values: npt.ArrayLike, name: str) -> Array:
    """The values as floats of shape (n,).

    Raises:
        ValueError: not one axis, or nothing in it.
    """
    result = np.asarray(values, dtype=np.float64)
    if result.ndim != 1 or not len(result):
        raise ValueError(f"{name}: shape {result.shape}, expected (n,) with n of at least 1")
    return result


def per_token(losses: npt.ArrayLike, tokens: npt.ArrayLike) -> Array:
    """Loss per token: summed losses over token counts, of one and the same shape.

    Raises:
        ValueError: shapes that differ, nothing in them, or a count below 1.
    """
    summed, counts = np.asarray(losses, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    if summed.shape != counts.shape or not summed.size:
        raise ValueError(f"losses of shape {summed.shape}, token counts of shape {counts.shape}")
    if not (np.isfinite(counts) & (counts >= 1)).all():
        raise ValueError("every text needs at least one token")
    result: Array = summed / counts
    return result


def loss_scores(losses: npt.ArrayLike, tokens: npt.ArrayLike) -> Array:
    """Scores of the loss attack (Yeom et al., 2018): minus the loss per token, shape (texts,).

    Raises:
        ValueError: as :func:`per_token`, or more than one axis.
    """
    return -vector(per_token(losses, tokens), "losses")


def min_k(token_losses: npt.ArrayLike, share: float = SHARE) -> float:
    """Mean of the largest ``share`` of one text's token losses, nats; its score in the Min-K attack is minus this.

    ``token_losses``: shape (tokens,). Takes the whole part of share x tokens, and at least one (Shi et al., 2024;
    rounding and the share of 0.4 as in OpenUnlearning).

    Raises:
        ValueError: not one axis, no token, or a share outside (0, 1].
    """
    losses = vector(token_losses, "token losses")
    if not 0 < share <= 1:
        raise ValueError(f"share {share}, expected above 0 and at most 1")
    if np.isnan(losses).any():
        return math.nan
    # 0.29 x 100 is 28.999... in floats, and means 29.
    count = max(1, math.floor(share * len(losses) + 1e-9))
    return float(np.sort(losses)[-count:].mean())


def auc(members: npt.ArrayLike, others: npt.ArrayLike) -> float:
    """The chance that a member's score is above that of another text, ties half; 0.5 is what an attack wants least.

    ``members``: shape (m,); ``others``: shape (n,). A value far below 0.5 is a trace too: the texts became less likely
    than texts that were never seen. A destroyed model reads 0.5; so compare with the retrained model's, and look at
    utility.

    Raises:
        ValueError: not one axis, or an empty side.
    """
    first, second = vector(members, "members"), np.sort(vector(others, "others"))
    if np.isnan(first).any() or np.isnan(second).any():
        return math.nan
    below, not_above = np.searchsorted(second, first, "left"), np.searchsorted(second, first, "right")
    return float((below + not_above).mean() / 2 / len(second))


def privacy_leak(auc: float, retrained_auc: float) -> float:
    """PrivLeak of MUSE (Shi et al., 2024), in percent: ((1 - AUC) - (1 - retrained AUC)) / (1 - retrained AUC) x 100.

    Each AUC is that of :func:`auc`, forgotten texts against unseen ones. 0: as private as a model that never saw
    them; below 0 they still look trained on; above 0 over-forgotten. Not a number where the retrained model AUC is 1.

    Raises:
        ValueError: an AUC outside 0 to 1.
    """
    for value in (auc, retrained_auc):
        if value < 0 or value > 1:
            raise ValueError(f"AUC {value}, expected 0 to 1")
    return (retrained_auc - auc) / (1 - retrained_auc) * 100 if retrained_auc != 1 else math.nan
