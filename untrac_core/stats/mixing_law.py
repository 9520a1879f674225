"""A mixing law: what training on another mix of the subsets would do to a loss, from trainings without each of them.

Let p be the shares of the training, q those of another one with the same number of steps, and d(q) what it adds to the
loss of a side, in nats per token. The law says that a power of the likelihood of a token is linear in the mix:

    u(q) = exp(-h d(q)) = sum_k a_k q_k,    u(p) = 1.

With h = 1 that is a model which is a mixture of what each subset teaches (MDE, ACL 2025), with h near 0 the first
order. Leaving subset k out fills its place with the others, so u_k = (1 - p_k a_k) / (1 - p_k): leave-one-out trainings
tell every a_k, with no data to spare for the further numbers of other laws (Ye et al., Data mixing laws, ICLR 2025).

They tell one thing more. Their mixes average to p, so the u_k, weighted by w_k = (1 - p_k) / (K - 1), average to 1 if
there is no noise. Every training, that on everything too, is moved as little as it takes, in the sense of least
squares, for all of them to lie on the law. How far they had to be moved, and how far seeds differ, is the noise of one
training. An interval is to hold what one training on the mix would show; it has the noise of the anchors, of that
training and of the one that it is compared with, and the error of the law itself, which grows with the change and with
how much of the mix goes to other subsets. ``benchmarks/what_if`` holds all of it to trainings on other mixes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from untrac_core.stats.intervals import Array, student

POWER = 0.75
"""h: chosen on six mixes of the demo that are not among those of its test (``benchmarks/what_if``)."""
MISFIT, FAR = 0.1, 0.25
"""The law's own error, a standard deviation: a share of the change, and nats per token times the share of the mix that
goes to other subsets; in squares. Chosen on the same six."""
LEAST = 0.2
"""Of u(q): below it the law goes on in a straight line, as it would else go on without end."""
TURNS = 30
"""Of Newton's method, which moves trainings onto the law."""


@dataclass(frozen=True)
class Change:
    """What a mix adds to losses, in nats per token, each of shape (asked,), with 95% intervals."""

    value: Array
    low: Array
    high: Array
    straight: bool
    """Whether a side is so far off that the law was left for a straight line."""


@dataclass(frozen=True)
class MixingLaw:
    """The law of several sides; :meth:`fit` makes it of leave-one-out trainings."""

    shares: Array
    """p, shape (subsets,), summing to one."""
    changes: Array
    """What leaving each subset out adds, moved onto the law; shape (sides, subsets), in nats per token."""
    noise: Array
    """Of one training: the covariance of sides, shape (sides, sides)."""
    degrees: int
    """Of freedom, in the noise."""
    seeds: int
    power: float = POWER

    @classmethod
    def fit(cls, shares: Array, changes: Array, power: float = POWER) -> Self:
        """The law of trainings without each subset.

        ``shares``: shape (subsets,); ``changes``: less the training with all of the same seed, in nats per token, shape
        (sides, seeds, subsets). Raises ``ValueError`` for fewer than three subsets, one without a share, and for what
        is no number.
        """
        if len(shares) < 3 or not (shares > 0).all() or not np.isfinite(changes).all():
            raise ValueError("there must be at least three subsets, each with a share and its trainings")
        p = shares / shares.sum()
        seeds, subsets = changes.shape[1:]
        moved, off = _onto_the_law(changes.mean(1), (1 - p) / (subsets - 1), power)
        parts = np.concatenate([_beside_the_mean(changes), math.sqrt(seeds) * off[:, None]], 1)
        # A single seed tells one number a side: the sides of a prompt set have much of it in common.
        degrees = (seeds - 1) * subsets + 1 if seeds > 1 else max(1, len(changes) // 2)
        noise = parts @ parts.T / ((seeds - 1) * subsets + 1)
        even = np.eye(len(noise)) * np.diag(noise).mean()
        return cls(p, moved, (noise + even) / 2, degrees, seeds, power)

    def mix(self, times: Array) -> Array:
        """q, the shares of a training that reads each subset so many times as often as before; shape (subsets,).

        Raises ``ValueError`` where nothing is left, or for a number below zero.
        """
        weights: Array = self.shares * times
        if not (np.isfinite(times).all() and (times >= 0).all() and weights.sum() > 0):
            raise ValueError("each subset is read zero times or more, and one of them more than that")
        found: Array = weights / weights.sum()
        return found

    def moved(self, mix: Array) -> float:
        """The share of the mix that goes to other subsets, from 0 to 1: half the sum of the shares' differences."""
        return float(np.abs(mix - self.shares).sum()) / 2

    def change(self, times: Array, asked: Array) -> Change:
        """What a training on that mix would add, for sums of sides; a mix that does not change adds exactly nothing.

        ``asked``: the weight of each side in each sum, shape (asked, sides): one 1 for a side itself, and 1 and -1 for
        a contrast.
        """
        q, p = self.mix(times), self.shares
        if np.allclose(q, p):
            nothing = np.zeros(len(asked))
            return Change(nothing, nothing, nothing, False)
        u = np.exp(-self.power * self.changes)
        at = ((1 - (1 - p) * u) / p) @ q
        inside = np.maximum(at, LEAST)
        value = (1 - at / inside - np.log(inside)) / self.power
        parts = self._of_noise(q, u, inside)
        misfit = (MISFIT * value) ** 2 + (FAR * self.moved(q)) ** 2
        spread = self.noise * (parts @ parts.T / self.seeds + 2) + np.diag(misfit)
        reach = student(self.degrees + 1) * np.sqrt(np.einsum("as,st,at->a", asked, spread, asked))
        told: Array = asked @ value
        return Change(told, told - reach, told + reach, bool((at < LEAST).any()))

    def _of_noise(self, q: Array, u: Array, at: Array) -> Array:
        """What the noise of each training adds to a change, that with all first; shape (sides, subsets + 1)."""
        p = self.shares
        own = (1 - p) / (len(p) - 1) * u
        slope = -(1 - p) * q / p * u / at[:, None]
        shared = (slope * (1 + own)).sum(1) / (1 + (own**2).sum(1))
        return np.column_stack([shared - slope.sum(1), slope - own * shared[:, None]])


def _onto_the_law(changes: Array, weights: Array, power: float) -> tuple[Array, Array]:
    """Changes of shape (sides, subsets), moved so that the weighted mean of u is 1; and how far that was, (sides,).

    The training with all is moved by m, and that without subset k by m w_k u_k: the least squares that do it.
    """
    move = np.zeros(len(changes))
    own = weights * np.exp(-power * changes)
    for _ in range(TURNS):
        moved = changes + move[:, None] * (1 + own)
        own = weights * np.exp(-power * moved)
        move += (own.sum(1) - 1) / (power * (own * (1 + own)).sum(1))
    moved = changes + move[:, None] * (1 + own)
    return moved, move * np.sqrt(1 + (own**2).sum(1))


def _beside_the_mean(changes: Array) -> Array:
    """Of each training, that with all too, what is neither its seed's nor its mix's; shape (sides, trainings)."""
    every = np.concatenate([np.zeros((*changes.shape[:2], 1)), changes], 2)
    rest = every - every.mean(1, keepdims=True) - every.mean(2, keepdims=True) + every.mean((1, 2), keepdims=True)
    flat: Array = rest.reshape(len(rest), -1)
    return flat
