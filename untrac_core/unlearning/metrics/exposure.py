"""How much of a text is still in a model: exposures, and the strata of texts that differ in how hard they are to lose.

Losses are summed over a text's tokens, in nats; exposures are in bits. An infinite loss is a probability of zero, and
counts as such; a loss that is not a number makes every value that hangs on it not a number, unless said otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from untrac_core.stats.agreement import mean_ranks
from untrac_core.stats.intervals import Array
from untrac_core.unlearning.metrics.membership import per_token, vector

Codes = npt.NDArray[np.int64]
STRATA = ("low", "middle", "high")
"""What the codes 0, 1 and 2 of a stratum mean."""
UNUSUAL = 0.99
"""The share of unseen texts that a text's loss must exceed to count as out of distribution."""


@dataclass(frozen=True)
class ExposureSummary:
    """The exposure of a set of items."""

    mean: float
    """Bits, signed: above 0 the set is still remembered, below 0 over-forgotten."""
    mean_nats: float
    """The same in nats."""
    worst: float
    """Bits: the largest absolute exposure of an item, because unlearning is defined by its worst case."""


@dataclass(frozen=True)
class Strata:
    """How memorised and how difficult each item is; all of shape (items,)."""

    memorisation: Array
    """Nats per token: log-likelihood under the model that saw the item, less that under the one that never did."""
    difficulty: Array
    """Nats per token: loss under the model that never saw the item."""
    memorisation_stratum: Codes
    """0, 1 or 2, by terciles; see :data:`STRATA`."""
    difficulty_stratum: Codes


def generalized_exposure(unlearned: Array, retrained: Array) -> Array:
    """Generalised exposure of each item: log2 E[p(z); unlearned models] - log2 E[p(z); models that never saw it].

    ``unlearned``, ``retrained``: summed losses, shapes (models, items); the numbers of models may differ. Returns bits,
    shape (items,): above 0 still remembered, 0 as if never trained on, below 0 over-forgotten. (Baluta, Lamblin,
    Tarlow, Pedregosa and Dziugaite, 2024; the equation is ours, after its description.) The expectation is of the
    probability, not of its logarithm, so the model that likes a text best weighs most. Where both sides give a text
    no probability at all it is 0: they agree.

    Raises:
        ValueError: not two axes, no model, no item, or different numbers of items.
    """
    for losses in (unlearned, retrained):
        if losses.ndim != 2 or not losses.size:
            raise ValueError(f"losses of shape {losses.shape}, expected (models, items)")
    if unlearned.shape[1] != retrained.shape[1]:
        raise ValueError(
            f"{unlearned.shape[1]} items in the unlearned models, {retrained.shape[1]} in the retrained model ones"
        )
    first, second = _log_mean(-unlearned), _log_mean(-retrained)
    return _difference(first, second) / math.log(2)


def summary(genex: Array) -> ExposureSummary:
    """Mean and worst of the exposures of items, shape (items,), in bits.

    Raises:
        ValueError: not one axis, or no item.
    """
    values = vector(genex, "exposures")
    mean = float(values.mean())
    return ExposureSummary(mean, mean * math.log(2), float(np.abs(values).max()))


def relative_exposure(losses: Array, tokens: Array, reference_losses: Array, reference_tokens: Array) -> Array:
    """Relative exposure of each item: log2 p(z) - log2 E[p(z')] over comparable texts z' that the model never saw.

    ``losses``, ``tokens``: shape (items,); ``reference_losses``, ``reference_tokens``: shape (texts,), all of one
    model. Returns bits, shape (items,). It needs no model that never saw the items, and is weaker for it: it reads
    about 0 for a destroyed model, and well above 0 for a forgotten item where the unlearning hurt the comparable
    texts too (same source as :func:`generalized_exposure`).

    A text's probability falls with its length, so texts of other lengths cannot be compared as they are. Each z' is
    taken at the item's length: its loss per token times the item's tokens, as though it went on as it is. With equal
    lengths that changes nothing, and this is the equation above exactly.

    Raises:
        ValueError: as :func:`per_token`, or more than one axis.
    """
    per_token(losses, tokens)
    per_token(reference_losses, reference_tokens)
    items, texts = vector(losses, "losses"), vector(reference_losses, "reference losses")
    # The ratio first: it is exactly 1 for equal lengths.
    at_length = texts[:, None] * (np.asarray(tokens) / np.asarray(reference_tokens)[:, None])
    return _difference(-items, _log_mean(-at_length)) / math.log(2)


def exposure(loss: float, candidates: Array, *, includes_canary: bool) -> float:
    """Exposure of a canary: log2 |R| - log2 rank of its loss among those of all candidates R (Carlini et al., 2019).

    ``candidates``: losses of shape (candidates,), of texts that might as well have been the canary, of equal length.
    ``includes_canary`` says whether the canary's own loss is among them; R contains it either way. From 0 (the least
    likely of R) to log2 |R| bits (the likeliest). Candidates with the same loss share the mean of their places, so a
    model to which all are alike gives about 1 bit, as does the middle place.

    Raises:
        ValueError: not one axis, no candidate, or a canary that should be among them and is not.
    """
    others = vector(candidates, "candidates")
    if math.isnan(loss) or np.isnan(others).any():
        return math.nan
    ties = int((others == loss).sum())
    if includes_canary and not ties:
        raise ValueError("the canary's loss is not among the candidates")
    count = len(others) if includes_canary else len(others) + 1
    equals = ties - 1 if includes_canary else ties
    rank = 1 + int((others < loss).sum()) + equals / 2
    return math.log2(count) - math.log2(rank)


def strata(full_losses: Array, retrained_losses: Array, tokens: Array) -> Strata:
    """Items by how memorised and how difficult they are, three strata each.

    ``full_losses``: of the model that saw the items; ``gold_losses``: of one that never did; all of shape (items,).
    Strata are terciles by rank. Equal values are never parted: they share the mean of their places, so items that
    are all alike are all "middle".

    Raises:
        ValueError: as :func:`per_token`, more than one axis, or losses that are not finite: the models before any
            unlearning must be sound for the strata to mean anything.
    """
    full, retrained = (
        vector(per_token(full_losses, tokens), "losses"),
        vector(per_token(retrained_losses, tokens), "losses"),
    )
    if not (np.isfinite(full) & np.isfinite(retrained)).all():
        raise ValueError("strata need finite losses")
    return Strata(retrained - full, retrained, _terciles(retrained - full), _terciles(retrained))


def out_of_distribution(
    retrained_losses: Array, tokens: Array, reference_losses: Array, reference_tokens: Array
) -> npt.NDArray[np.bool_]:
    """Which items are unlike the texts they are compared with; shape (items,).

    An item is out of distribution where its loss per token, under a model that never saw it, exceeds the 99th
    percentile of the losses per token of comparable unseen texts under that same model. The percentile is
    interpolated; below about 100 texts it lies between the two largest, so give more.

    Raises:
        ValueError: as :func:`per_token`, more than one axis, an item whose loss is not a number, or a reference that
            is not finite.
    """
    items = vector(per_token(retrained_losses, tokens), "losses")
    texts = vector(per_token(reference_losses, reference_tokens), "reference losses")
    if np.isnan(items).any() or not np.isfinite(texts).all():
        raise ValueError("items need a loss, and reference texts a finite one")
    result: npt.NDArray[np.bool_] = items > np.quantile(texts, UNUSUAL)
    return result


def _log_mean(values: Array) -> Array:
    """Log of the mean of the exponentials over the first axis."""
    result: Array = logsumexp(values, axis=0) - math.log(len(values))
    return result


def _difference(first: Array, second: Array) -> Array:
    """Of log probabilities; 0 where both are minus infinity."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(first) & np.isneginf(second), 0.0, first - second)


def _terciles(values: Array) -> Codes:
    """Stratum i holds the places (rank - 1/2) / n from i/3 to (i + 1)/3; in whole numbers, to be exact at the edges."""
    result: Codes = ((3 * (2 * mean_ranks(values) - 1)) // (2 * len(values))).astype(np.int64)
    return result
