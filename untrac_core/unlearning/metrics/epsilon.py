"""The metric of the NeurIPS 2023 unlearning competition: can attackers tell unlearned models from retrained ones?

After Triantafillou et al., 2024, and the organisers' code (``google-deepmind/unlearning_evaluation``). Many models are
unlearned and as many retrained, over seeds; a bank holds the confidence of each in each forgotten item. Attacks are
thresholds on the confidence, and epsilon says how well the best one does, as in differential privacy.
"""

from __future__ import annotations

import math

import numpy as np

from untrac_core.stats.intervals import Array

DELTA = 1e-5
CAP = 50.0
"""Epsilon of two populations that an attack parts without an error."""
PER_UNIT = 100
"""Thresholds in each unit of confidence."""
BUFFER = 2.0
"""How far the interval of a double threshold is moved and stretched beyond the peakier population."""
PEAKED = 0.01
"""Below this ratio of spreads one population is as good as a point, and epsilon is the cap."""
BUCKET = 0.5
LEAST = 3
"""Models on each side: with two no epsilon can show, and there are no buckets."""


def check_banks(unlearned: Array, other: Array, least: int) -> None:
    """That two banks of shape (models, items) fit each other.

    Raises:
        ValueError: not two axes, no item, different shapes, or fewer than ``least`` models.
    """
    if unlearned.ndim != 2 or unlearned.shape != other.shape or not unlearned.size:
        raise ValueError(f"banks of shapes {unlearned.shape} and {other.shape}, expected (models, items) for both")
    if len(unlearned) < least:
        raise ValueError(f"{len(unlearned)} models, expected at least {least}")


def epsilons(unlearned: Array, retrained: Array) -> Array:
    """Epsilon of each item, shape (items,), 0 to 50: 0 where no attack tells the banks apart, 50 where one always does.

    ``unlearned``, ``retrained``: logit-scaled confidences log p - log(1 - p), shape (models, items), as many models on
    both sides. Per item, the population with the larger median is the positive one. Attacks: all single thresholds, in
    steps of 1/100 from the least confidence to the largest, from which on a model is called positive; and all double
    thresholds around the peakier population, between which it is called that one. Of an attack's error rates
    epsilon = max(ln(1 - delta - FPR) - ln FNR, ln(1 - delta - FNR) - ln FPR), delta = 1e-5. Attacks of which just one
    rate is zero are discarded: too few models. An item's epsilon is its best attack's.

    Three cases the organisers leave open: two populations that are one and the same point give 0, two different
    points 50; an item of which no attack is left gives 0; one with a confidence that is not finite has an epsilon that
    is not a number. What differs by less than 1/100 is not seen, unless the spreads differ as much.

    Raises:
        ValueError: banks that do not fit, or fewer than three models.
    """
    check_banks(unlearned, retrained, LEAST)
    return np.array([_epsilon(first, second) for first, second in zip(unlearned.T, retrained.T, strict=True)])


def observable(models: int) -> float:
    """The largest epsilon below the cap that so many models on each side can show: ln(n - 1 - delta n).

    It is that of an attack with one error on each side. So 16 models show at most 2.7, however bad the unlearning.

    Raises:
        ValueError: fewer than two models.
    """
    if models < 2:
        raise ValueError(f"{models} models, expected at least 2")
    return max(0.0, math.log(models - 1 - DELTA * models))


def forgetting_quality(eps: Array, models: int) -> float:
    """F, the mean over items of 1, 1/2, 1/4, ... points for an epsilon in [0, 0.5), [0.5, 1), [1, 1.5), ...

    ``eps``: shape (items,). Buckets end at ln(models - 1), rounded up, and from there on an item earns nothing: 8
    models on each side have four buckets. 1 is for banks that are the same, number for number. Two banks of the same
    kind of model earn far less: the best of so many attacks finds chance differences. With normal confidences that F
    is 0.1 to 0.2, with 8 models as with 512. So 1 is out of reach, and F means something only beside the F of two
    retrained banks.

    Raises:
        ValueError: not one axis, no item, a negative epsilon, or fewer than three models.
    """
    if eps.ndim != 1 or not len(eps) or (eps < 0).any():
        raise ValueError(f"epsilons of shape {eps.shape}, expected (items,), none below 0")
    if models < LEAST:
        raise ValueError(f"{models} models, expected at least {LEAST}")
    end = math.ceil(math.log(models - 1))
    points = np.where(eps < end, 0.5 ** np.floor(eps / BUCKET), 0.0)
    return float(np.where(np.isnan(eps), np.nan, points).mean())


def final_score(forgetting: float, retain_ratio: float, test_ratio: float) -> float:
    """The competition's score: F x (retain accuracy over the retrained models') x (test accuracy over theirs).

    Raises:
        ValueError: an F outside 0 to 1, or a negative ratio.
    """
    if forgetting < 0 or forgetting > 1 or retain_ratio < 0 or test_ratio < 0:
        raise ValueError(f"F {forgetting}, ratios {retain_ratio} and {test_ratio}")
    return forgetting * retain_ratio * test_ratio


def _epsilon(unlearned: Array, retrained: Array) -> float:
    """Of one item; shapes (models,)."""
    if not (np.isfinite(unlearned) & np.isfinite(retrained)).all():
        return math.nan
    positive, negative = unlearned, retrained
    if np.median(retrained) > np.median(unlearned):
        positive, negative = retrained, unlearned
    spreads = float(np.ptp(positive)), float(np.ptp(negative))
    if max(spreads) == 0:
        return 0.0 if positive[0] == negative[0] else CAP
    if min(spreads) / max(spreads) < PEAKED:
        return CAP
    rates = np.concatenate([_single(positive, negative), _double(positive, negative)], axis=1)
    return _best(rates[0], rates[1])


def _single(positive: Array, negative: Array) -> Array:
    """False positive and false negative rates of all single thresholds, shape (2, thresholds)."""
    values = np.unique(np.concatenate([positive, negative]))
    low, high = values[0], values[-1]
    number = math.ceil((high - low) * PER_UNIT)
    step = (high - low) / max(number - 1, 1)
    # Between two values all thresholds do the same, so the grid's points next to values are all that is needed:
    # a model gone wild, thousands of nats away, would make the whole grid huge.
    nearest = np.ceil((values - low) / step)
    places = np.unique(np.clip(nearest[:, None] + np.array([-1, 0, 1]), 0, number - 1))
    thresholds = low + step * places
    # Rounding must not push the last one past the largest value.
    thresholds = np.minimum(thresholds, high)
    above, below = np.searchsorted(np.sort(negative), thresholds), np.searchsorted(np.sort(positive), thresholds)
    return np.stack([1 - above / len(negative), below / len(positive)])


def _double(positive: Array, negative: Array) -> Array:
    """The same of all intervals about as wide as the peakier population, which counts as positive here."""
    peaky, wide = (negative, positive) if np.ptp(positive) >= np.ptp(negative) else (positive, negative)
    width, number = float(np.ptp(peaky)), round(2 * BUFFER * PER_UNIT)
    right = np.linspace(peaky.max() - BUFFER, peaky.max() + BUFFER, number)[:, None]
    left = right - width + np.linspace(-BUFFER, BUFFER, number)
    return np.stack([_within(wide, left, right), 1 - _within(peaky, left, right)])


def _within(bank: Array, left: Array, right: Array) -> Array:
    """Share of the bank in each closed interval, flat."""
    ordered = np.sort(bank)
    inside = np.searchsorted(ordered, right, "right") - np.searchsorted(ordered, left, "left")
    result: Array = np.maximum(inside, 0).ravel() / len(bank)
    return result


def _best(false_positive: Array, false_negative: Array) -> float:
    if (false_positive + false_negative == 0).any():
        return CAP
    kept = (false_positive > 0) & (false_negative > 0)
    first, second = false_positive[kept], false_negative[kept]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.fmax(np.log(1 - DELTA - first) - np.log(second), np.log(1 - DELTA - second) - np.log(first))
    return float(np.clip(np.fmax.reduce(found, initial=0.0), 0.0, CAP))
