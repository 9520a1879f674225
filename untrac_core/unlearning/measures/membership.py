"""Whether an outsider can tell from a model's losses that texts were trained on: membership attacks.

An attack gives each text a score that is higher for what looks trained on. An infinite score is above or below all
others; where a score is not a number, neither is the measure.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from untrac_core.statistics import Array

SHARE = 0.4
"""Of a text's tokens, for Min-K."""
FOLDS = 10


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
    than texts that were never seen. A destroyed model reads 0.5; so compare with the gold model's, and look at utility.

    Raises:
        ValueError: not one axis, or an empty side.
    """
    first, second = vector(members, "members"), np.sort(vector(others, "others"))
    if np.isnan(first).any() or np.isnan(second).any():
        return math.nan
    below, not_above = np.searchsorted(second, first, "left"), np.searchsorted(second, first, "right")
    return float((below + not_above).mean() / 2 / len(second))


def balanced_accuracy(members: npt.ArrayLike, others: npt.ArrayLike, threshold: float) -> float:
    """Mean of the shares of both sides that are told right, when scores from ``threshold`` on are called members.

    Shapes (m,) and (n,); 0.5 by chance, however unequal the sides.

    Raises:
        ValueError: not one axis, or an empty side.
    """
    first, second = vector(members, "members"), vector(others, "others")
    if math.isnan(threshold) or np.isnan(first).any() or np.isnan(second).any():
        return math.nan
    return float(((first >= threshold).mean() + (second < threshold).mean()) / 2)


def attack_accuracy(members: npt.ArrayLike, others: npt.ArrayLike, folds: int = FOLDS, seed: int = 0) -> float:
    """Balanced accuracy of an attack that learns a threshold on some texts and is tried on the rest; ideal 0.5.

    ``members``: shape (m,), ``others``: shape (n,). The metric of the starting kit of the NeurIPS 2023 unlearning
    competition, with a threshold in place of its one-dimensional logistic regression, whose decision is one too; the
    attack learns on which side the members lie, so that losses driven too high give it away as well. Each text is
    told once, by a threshold learnt without its fold; folds are drawn by ``seed``, each side dealt out evenly. There
    are at most as many folds as the smaller side has texts.

    Raises:
        ValueError: not one axis, a side with fewer than two texts, or fewer than two folds.
    """
    first, second = vector(members, "members"), vector(others, "others")
    if min(len(first), len(second), folds) < 2:
        raise ValueError(f"{len(first)} members, {len(second)} others, {folds} folds: expected at least two of each")
    scores = np.concatenate([first, second])
    if np.isnan(scores).any():
        return math.nan
    finite = scores[np.isfinite(scores)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    # Thresholds are midpoints, and between a number and infinity there is none.
    scores = np.clip(scores, low - (high - low) - 1, high + (high - low) + 1)
    member = np.arange(len(scores)) < len(first)
    folds = min(folds, len(first), len(second))
    generator = np.random.default_rng(seed)
    fold = np.concatenate([generator.permutation(np.arange(len(side)) % folds) for side in (first, second)])
    right = np.zeros(len(scores), dtype=bool)
    for held in range(folds):
        test = fold == held
        threshold, above = _learn(scores[~test], member[~test])
        right[test] = ((scores[test] >= threshold) == above) == member[test]
    return float((right[member].mean() + right[~member].mean()) / 2)


def privacy_leak(auc: float, gold_auc: float) -> float:
    """PrivLeak of MUSE (Shi et al., 2024), in percent: ((1 - AUC) - (1 - gold AUC)) / (1 - gold AUC) x 100.

    Each AUC is that of :func:`auc`, forgotten texts against unseen ones. 0: as private as a model that never saw
    them; below 0 they still look trained on; above 0 over-forgotten. Not a number where the gold AUC is 1.

    Raises:
        ValueError: an AUC outside 0 to 1.
    """
    for value in (auc, gold_auc):
        if value < 0 or value > 1:
            raise ValueError(f"AUC {value}, expected 0 to 1")
    return (gold_auc - auc) / (1 - gold_auc) * 100 if gold_auc != 1 else math.nan


def _learn(scores: Array, member: npt.NDArray[np.bool_]) -> tuple[float, bool]:
    """The threshold with the best balanced accuracy, and whether the members lie above; of equal ones the first."""
    values = np.unique(scores)
    thresholds = np.append(values[0], (values[1:] + values[:-1]) / 2)
    first, second = np.sort(scores[member]), np.sort(scores[~member])
    # Youden's J, of members above; its negative is that of members below.
    gain = np.searchsorted(second, thresholds) / len(second) - np.searchsorted(first, thresholds) / len(first)
    best = int(np.abs(gain).argmax())
    return float(thresholds[best]), bool(gain[best] >= 0)
