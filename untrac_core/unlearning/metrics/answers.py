"""What a model still knows of the right answers: truth ratio, forget quality, and the words that carry an answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from untrac_core.stats.intervals import Array
from untrac_core.unlearning.metrics.membership import vector

SIGNIFICANT = 0.05
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
"""A word, as :mod:`untrac_core.models.scoring` reads it."""
SMOOTHING, LEAST, RATIO = 0.5, 3, 4.0


@dataclass(frozen=True)
class ForgetQuality:
    """A two-sample Kolmogorov-Smirnov test."""

    statistic: float
    """The largest gap between the two distribution functions, 0 to 1."""
    p_value: float

    @property
    def distinguishable(self) -> bool:
        """Whether the two can be told apart at 5%: all that should be shown of the p-value."""
        return self.p_value < SIGNIFICANT


@dataclass(frozen=True)
class KeyWord:
    """A word that carries what the forgotten texts say, and why it counts as one."""

    word: str
    count: int
    """In the forgotten texts."""
    others: int
    """In the retained texts."""
    ratio: float
    """Of its smoothed rates in the two."""


def truth_ratio(wrong: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Truth ratio R of a question: how likely its wrong answers are beside its right ones, by the token.

    ``wrong``, ``right``: losses per token, nats, shape (answers,) each. R = mean over wrong answers a of p(a)^(1/|a|),
    over that of right ones, which are better paraphrases of what was trained on (TOFU, Maini et al., 2024). It is near
    0 for a model that knows, about 1 for one that does not. OpenUnlearning's code takes the mean of the wrong answers'
    losses instead, which is the geometric mean of their probabilities, and never more.

    An infinite loss is a probability of 0: R is 0 or infinite, and not a number where all answers are impossible.

    Raises:
        ValueError: not one axis, or no answer.
    """
    first, second = (_log_mean(vector(losses, "answers")) for losses in (wrong, right))
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.exp(first - second))


def utility_aggregate(ratios: npt.ArrayLike) -> float:
    """Mean of max(0, 1 - R) over items, shape (items,): 1 for a model that knows all the right answers.

    Raises:
        ValueError: not one axis, no item, or a negative ratio.
    """
    return float(np.maximum(0.0, 1 - _ratios(ratios)).mean())


def forget_quality(unlearned: npt.ArrayLike, retrained: npt.ArrayLike) -> ForgetQuality:
    """Whether the truth ratios of an unlearned model can be told from those of a model that never saw the items.

    Shapes (items,) each; the numbers of items may differ. TOFU calls the p-value forget quality. It is near 0 for
    every approximate method, and can be so for a second retrained model of another seed: no score, only a yes or no.

    Raises:
        ValueError: not one axis, no item, a negative ratio, or one that is not a number, which would pass unseen.
    """
    # Its import takes half a second, which no page should wait for.
    from scipy.stats import ks_2samp

    first, second = _ratios(unlearned), _ratios(retrained)
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("a truth ratio is not a number")
    found = ks_2samp(first, second)
    return ForgetQuality(float(found.statistic), float(found.pvalue))


def key_words(
    texts: Sequence[str], others: Sequence[str], *, least: int = LEAST, ratio: float = RATIO
) -> list[KeyWord]:
    """The words of forgotten texts that are much commoner there than in retained ones, the most telling first.

    A word is key where it stands at least ``least`` times in ``texts`` and its rate there is at least ``ratio`` times
    that in ``others``. A rate is (count + 1/2) / (words + vocabulary / 2), the vocabulary that of both: without the
    half, a word that others never use would have an infinite ratio, be it there three times or a thousand. Words are
    lower-cased. Words of equal ratio are sorted by the alphabet, so equal texts give equal lists, in any order.

    Raises:
        ValueError: a side without words, a single text in place of a list, or a bound that makes no sense.
    """
    if isinstance(texts, str) or isinstance(others, str):
        raise ValueError("expected lists of texts, found a single text")
    if least < 1 or not ratio > 0:
        raise ValueError(f"least {least}, ratio {ratio}: expected at least 1 and above 0")
    here, there = _counts(texts), _counts(others)
    if not here or not there:
        raise ValueError("the forgotten or the retained texts hold no words")
    vocabulary = len(here.keys() | there.keys())
    scale = (there.total() + SMOOTHING * vocabulary) / (here.total() + SMOOTHING * vocabulary)
    found = [
        KeyWord(word, count, there[word], (count + SMOOTHING) / (there[word] + SMOOTHING) * scale)
        for word, count in here.items()
        if count >= least
    ]
    return sorted((word for word in found if word.ratio >= ratio), key=lambda word: (-word.ratio, word.word))


def _log_mean(losses: Array) -> np.float64:
    """The logarithm of the mean probability: probabilities themselves would be 0 in a model gone wild."""
    return np.float64(logsumexp(-losses) - np.log(len(losses)))


def _counts(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in WORD.findall(text.lower()))


def _ratios(ratios: npt.ArrayLike) -> Array:
    values = vector(ratios, "truth ratios")
    if (values < 0).any():
        raise ValueError("a truth ratio below 0")
    return values
