"""What the most influential texts have in common, against the rest: lengths, words, repeats, groups, the model's loss.

A difference says what goes with influence in these data. It does not say that the feature makes a text influential.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrac_core.data.overlap import WORDS, phrase_hashes, words_of
from untrac_core.results.folders import FEATURE_COLUMNS
from untrac_core.stats.intervals import (
    Array,
    cluster_margin,
    cluster_p_values,
    excludes_zero,
    joint_level,
    widened,
)

SHARE = 0.1
INFLUENTIAL_LEAST = 5
"""The most influential texts are this share of all, and at least so many."""
TEXTS_LEAST = 20
"""Of fewer texts nothing is said."""
COMMON = 0.5
"""The most frequent words that it takes to make up this share of all running words are common ones."""
DRAWS = 400
VARIES = 1e-9
"""A trait with a smaller standard deviation is the same for all texts."""
NUMBERS = 2_000_000
"""Of weights that are held at once."""
ALL = ""
"""Stands for the texts of all subsets."""
TEXT_FEATURES = {
    "length": ("Length, tokens", "are longer", "are shorter"),
    "rarity": ("Rarity of words, nats", "have rarer words", "have more common words"),
    "overlap": ("Words shared with the prompt set", "share more words with {texts}", "share fewer words with {texts}"),
    "repeated": ("Repeats another document", "repeat other documents more often", "repeat other documents less often"),
    "group": ("Names a group", "name groups of {prompts} more often", "name groups of {prompts} less often"),
    "loss": ("Loss before, nats per token", "were harder for the model", "were easier for the model"),
}
"""Of each trait: what a table calls its mean, and what is said where influential texts have more, or less, of it."""
NUMBERS_OF = ("influential", "rest", "effect", "margin")
Indices = npt.NDArray[np.int64]
Row = dict[str, Any]


@dataclass(frozen=True)
class FeatureView:
    """One side of a prompt set, or its contrast, and the influence of every text on it."""

    prompt_set: str
    side: str
    texts: str
    """What a sentence calls the texts of this side."""
    influence: Array
    """Nats per token, shape (texts,), in the order of :class:`Texts`."""
    completions: Sequence[str]
    against: Sequence[str] = ()
    """Of a contrast: those of the harmless side."""
    groups: Sequence[str] = ()
    """Of the whole prompt set."""


@dataclass(frozen=True)
class Texts:
    """The traced training texts; sequences and arrays of the same length.

    ``documents``: what each text was cut from; texts of one document are not independent. ``loss``: before any
    unlearning, nats per token.
    """

    subsets: Sequence[str]
    documents: Sequence[Hashable]
    texts: Sequence[str]
    tokens: Array
    loss: Array

    @cached_property
    def words(self) -> _Words:
        """Their words, as numbers."""
        return _Words(self.texts)

    @cached_property
    def document_numbers(self) -> Indices:
        """Documents as numbers from 0 on."""
        return np.asarray(pd.factorize(pd.Series(list(self.documents), dtype=object))[0], dtype=np.int64)

    @cached_property
    def of_themselves(self) -> dict[str, Array]:
        """The features that do not hang on a prompt set."""
        repeated = self.words.repeated(self.document_numbers)
        return {"length": self.tokens, "rarity": self.words.rarity, "repeated": repeated, "loss": self.loss}

    def text_features(self, view: FeatureView) -> dict[str, Array]:
        """All features, in the order of :data:`TEXT_FEATURES`, each of shape (texts,)."""
        found = self.of_themselves | {"overlap": self.words.share_of(view.completions)}
        if view.against:
            found["overlap"] = found["overlap"] - self.words.share_of(view.against)
        if view.groups:
            found["group"] = self.words.naming(view.groups)
        return {name: found[name] for name in TEXT_FEATURES if name in found}


class _Words:
    """The words of many texts, one text after the other, as numbers into a vocabulary."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.vocabulary: dict[str, int] = {}
        known = self.vocabulary
        parts = [np.array([known.setdefault(word, len(known)) for word in words_of(text)], np.int32) for text in texts]
        self.count = len(parts)
        self.words = np.concatenate([np.zeros(0, np.int32), *parts])
        self.owner = np.repeat(np.arange(self.count, dtype=np.int32), [len(part) for part in parts])
        counts = np.bincount(self.words, minlength=len(known)).astype(np.float64)
        self._surprise = -np.log(counts / max(1.0, counts.sum()))
        order = np.argsort(-counts, kind="stable")
        self._common = np.zeros(len(known), dtype=bool)
        before = np.cumsum(counts[order]) - counts[order]
        self._common[order[before < COMMON * counts.sum()]] = True

    @cached_property
    def rarity(self) -> Array:
        """The mean of -ln(frequency in all texts) of each text's words; 0 without words."""
        return self._per_text(self._surprise[self.words], np.ones(len(self.words)))

    def share_of(self, texts: Sequence[str]) -> Array:
        """The share of each text's less common words that stand in ``texts``; 0 without such words."""
        there = np.zeros(len(self.vocabulary), dtype=bool)
        numbers = {self.vocabulary.get(word) for text in texts for word in words_of(text)}
        there[[number for number in numbers if number is not None]] = True
        rare = ~self._common[self.words]
        return self._per_text((rare & there[self.words]).astype(np.float64), rare.astype(np.float64))

    def naming(self, names: Sequence[str]) -> Array:
        """1 for texts in which any of ``names`` stands, as whole words in any case; else 0."""
        named = np.zeros(self.count)
        spelled = {tuple(words_of(each)) for name in names for each in (name, name.replace("_", " "))}
        for words in spelled:
            numbers = [self.vocabulary.get(word, -1) for word in words]
            stop = len(self.words) - len(numbers) + 1
            if not numbers or -1 in numbers or stop < 1:
                continue
            here = self.owner[:stop] == self.owner[len(numbers) - 1 :]
            for place, number in enumerate(numbers):
                here &= self.words[place : place + stop] == number
            named[self.owner[:stop][here]] = 1.0
        return named

    def repeated(self, documents: Indices) -> Array:
        """1 for texts that share a row of 8 words with a text of another document; else 0."""
        found = np.zeros(self.count)
        if len(self.words) < WORDS:
            return found
        table = np.random.default_rng(0).integers(1, 2**64 - 1, len(self.vocabulary), dtype=np.uint64)
        hashes = phrase_hashes(table[self.words], WORDS)
        owner = self.owner[: len(hashes)]
        inside = owner == self.owner[WORDS - 1 :]
        hashes, owner = hashes[inside], owner[inside]
        if not len(hashes):
            return found
        order = np.argsort(hashes, kind="stable")
        owner = owner[order]
        starts = np.flatnonzero(np.concatenate([[True], np.diff(hashes[order]) != 0]))
        by_document = documents[owner]
        shared = np.minimum.reduceat(by_document, starts) != np.maximum.reduceat(by_document, starts)
        found[owner[np.repeat(shared, np.diff([*starts, len(owner)]))]] = 1.0
        return found

    def _per_text(self, values: Array, of: Array) -> Array:
        sums = np.bincount(self.owner, values, self.count)
        counts = np.bincount(self.owner, of, self.count)
        result: Array = sums / np.maximum(counts, 1.0)
        return result


def find_text_features(texts: Texts, views: Sequence[FeatureView]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The table of ``text_features.parquet``, and a sentence for every view and subset, and for all subsets together.

    One row per prompt set, side, subset and trait, in this order: its mean among the most influential texts and among
    the rest, and the difference in standard deviations of all these texts, with its interval. All rows are read as one
    list of findings, so their intervals share one level (:func:`untrac_core.stats.intervals.joint_level`). No rows
    where there are fewer than :data:`TEXTS_LEAST` texts.
    """
    if not views:
        return pd.DataFrame(columns=FEATURE_COLUMNS), []
    named = np.array(texts.subsets, dtype=object)
    tables = [texts.text_features(view) for view in views]
    lists: list[tuple[FeatureView, str, int, list[Row]]] = []
    for subset in [ALL, *sorted(set(texts.subsets))]:
        chosen = np.flatnonzero(named == subset) if subset else np.arange(len(named))
        found = _of_texts(texts, views, tables, chosen) if len(chosen) >= TEXTS_LEAST else [[]] * len(views)
        lists += [(view, subset, len(chosen), of_view) for view, of_view in zip(views, found, strict=True)]
    _set_ends([row for *_, of_view in lists for row in of_view])
    rows: list[Row] = []
    sentences: list[dict[str, Any]] = []
    for view, subset, count, of_view in lists:
        place = {"prompt_set": view.prompt_set, "side": view.side, "subset": subset}
        rows += [place | row for row in of_view]
        sentences.append(place | {"text": _sentence(view, subset, count, of_view)})
    rows.sort(key=lambda row: (row["prompt_set"], row["side"], row["subset"]))
    return pd.DataFrame(rows, columns=FEATURE_COLUMNS), sentences


def _of_texts(
    texts: Texts, views: Sequence[FeatureView], tables: Sequence[dict[str, Array]], chosen: Indices
) -> list[list[Row]]:
    """The rows of every view, of some of the texts; with ``margin`` and ``documents`` in the place of an interval."""
    documents = np.unique(texts.document_numbers[chosen], return_inverse=True)[1]
    most = max(INFLUENTIAL_LEAST, round(SHARE * len(chosen)))
    top = np.zeros((len(views), len(chosen)), dtype=bool)
    for number, view in enumerate(views):
        top[number, np.argsort(-view.influence[chosen], kind="stable")[:most]] = True
    values = [np.stack([feature[chosen] for feature in table.values()]) for table in tables]
    reaches = _margins(values, top, documents)
    rows = []
    for table, of_view, inside, reach in zip(tables, values, top, reaches, strict=True):
        first, second = of_view[:, inside].mean(1), of_view[:, ~inside].mean(1)
        effect = _standardised(first - second, of_view.std(1))
        shared = {"examples": most, "others": len(chosen) - most, "documents": len(np.unique(documents[inside]))}
        numbers = np.stack([first, second, effect, reach], axis=1).tolist()
        rows.append(
            [
                {"feature": feature} | dict(zip(NUMBERS_OF, of_feature, strict=True)) | shared
                for feature, of_feature in zip(table, numbers, strict=True)
            ]
        )
    return rows


def _set_ends(rows: Sequence[Row]) -> None:
    """Give all rows the ends of their intervals, at the level that they share."""
    effect, margin, documents = (
        np.array([row[name] for row in rows], dtype=np.float64) for name in ("effect", "margin", "documents")
    )
    reach = widened(margin, documents, joint_level(cluster_p_values(effect, margin, documents)))
    for row, low, high in zip(rows, (effect - reach).tolist(), (effect + reach).tolist(), strict=True):
        row |= {"low": low, "high": high}


def _margins(values: Sequence[Array], top: npt.NDArray[np.bool_], documents: Indices) -> list[Array]:
    """The margins of each view's effects, by a bootstrap over documents, the same draws for every view.

    ``values``: of each view, shape (features, texts); ``top``: shape (views, texts). A document is drawn a Poisson
    number of times, with all its texts, which stay influential or not. The margin is that of as many documents as
    have influential texts (:func:`untrac_core.stats.intervals.cluster_margin`).

    Coverage measured on 300 simulated sets in each of 30 settings (20 to 300 texts of 20 to 200 documents; bell-shaped,
    skewed and yes-or-no features, with and without a difference): .91 to 1.00, below .95 only where a skewed or a
    yes-or-no trait differs.
    """
    count = int(documents.max()) + 1
    blocks = []
    for of_view, inside in zip(values, top, strict=True):
        ones = np.ones((1, len(inside)))
        columns = np.concatenate([ones * inside, of_view * inside, ones, of_view, of_view**2])
        blocks.append(np.stack([np.bincount(documents, column, count) for column in columns], axis=1))
    sums = np.concatenate(blocks, axis=1)
    draw = np.random.default_rng(0)
    drawn = np.concatenate([draw.poisson(1.0, (part, count)) @ sums for part in _portions(count)])
    margins, at = [], 0
    for of_view, inside in zip(values, top, strict=True):
        text_features = len(of_view)
        part = drawn[:, at : at + 2 + 3 * text_features]
        at += 2 + 3 * text_features
        clusters = len(np.unique(documents[inside]))
        margins.append(cluster_margin(_drawn_effects(part, text_features), clusters) * (of_view.std(1) > VARIES))
    return margins


def _portions(count: int) -> Iterator[int]:
    """Draws at a time, so that their weights stay within :data:`NUMBERS`."""
    size = max(1, NUMBERS // count)
    for start in range(0, DRAWS, size):
        yield min(size, DRAWS - start)


def _drawn_effects(sums: Array, text_features: int) -> Array:
    """Effects of shape (draws, features); not a number where a draw has no influential text, or no other."""
    inside, all_ = sums[:, :1], sums[:, 1 + text_features : 2 + text_features]
    first, whole, squares = np.split(np.delete(sums, [0, 1 + text_features], axis=1), 3, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = first / inside - (whole - first) / (all_ - inside)
        deviation = np.sqrt(np.maximum(squares / all_ - (whole / all_) ** 2, 0.0))
    return _standardised(difference, deviation)


def _standardised(difference: Array, deviation: Array) -> Array:
    """The difference in standard deviations; 0 where nothing varies."""
    varies = deviation > VARIES
    result: Array = np.where(varies, difference / np.where(varies, deviation, 1.0), 0.0 * difference)
    return result


def _sentence(view: FeatureView, subset: str, count: int, rows: Sequence[Row]) -> str:
    """What the rows of one view and subset say; holds a user's words (show as text)."""
    where = f"of {subset}" if subset else "of all subsets"
    if not rows:
        return f"The {count} texts {where} are too few to say what the influential ones have in common."
    most, others = rows[0]["examples"], rows[0]["others"]
    clear = [row for row in rows if excludes_zero((row["low"], row["high"]))]
    if all(row["low"] is None or np.isnan(row["low"]) for row in rows):
        return f"The {most} most influential texts {where} come from one document, too few to say what they share."
    if not clear:
        return f"Nothing looked at here tells the {most} most influential texts {where} from the other {others}."
    parts: list[str] = []
    for row in sorted(clear, key=lambda row: -abs(row["effect"])):
        more, less = TEXT_FEATURES[row["feature"]][1:]
        said = (more if row["effect"] > 0 else less).format(texts=view.texts, prompts=view.prompt_set)
        unit = " standard deviations, interval" if not parts else ","
        parts.append(f"{said} ({row['effect']:+.2g}{unit} {row['low']:+.2g} to {row['high']:+.2g})")
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return (
        f"The {most} most influential texts {where} {listed}, against the other {others}. "
        "This goes with influence; it need not be its cause."
    )
