"""Repeated texts: documents that repeat within or across subsets, and test items that appear in a subset.

Neither is forbidden. But a subset that holds the test itself is influential for a dull reason, and two subsets that
share documents share influence, so whoever reads a ranking must know.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from threading import Lock

import numpy as np
import numpy.typing as npt

from untrac_core.data.prompts import PromptData
from untrac_core.data.subsets import Document, SubsetData

WORDS = 8
"""A phrase this long that stands in both is hardly chance."""
WORDS_LEAST = 5
"""Texts of fewer words stand in many places by chance, and are not looked for."""
SHARE = 0.02
"""Of a side's items: fewer that share a phrase with a subset, and do not stand in it whole, are not worth a word."""
REPEATED = 0.01
"""Of a subset's documents, likewise."""
TEXT_MOST = 64_000_000
"""Characters of all subsets that are looked through; documents stand in random order, so these are a sample."""
PIECE = 2_000_000
"""Characters that are hashed at a time."""
BETWEEN = " \x00 "
"""Stands between documents: a word of its own, which no item has."""
LISTED = 12
KEPT = 1024
"""Answers that are remembered: two requests of 500 subsets."""
FACTOR = np.uint64(0x9E3779B97F4A7C15)

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Overlap:
    """How many of the ``items`` of a side of a prompt set stand in a subset, wholly or with a phrase."""

    prompts: str
    side: str
    subset: str
    items: int
    whole: int
    """Scored texts of 8 words or more, every phrase of 8 words of which stands in the subset."""
    phrase: int
    """At least one such phrase does, but not all; or all of a scored text of 5 to 7 words, which may be chance."""
    example: str
    """The id of the first item that stands in the subset, or that shares a phrase with it."""


def warnings_for(prompts: Mapping[str, PromptData], subsets: Mapping[str, SubsetData]) -> list[str]:
    """A line for every prompt set that stands in subsets, and for subsets that repeat documents or share them.

    At most a dozen lines of a kind, and how many more there are.
    """
    found: dict[str, list[Overlap]] = {}
    for part in overlaps(prompts, subsets):
        if part.whole or part.phrase >= max(2, SHARE * part.items):
            found.setdefault(part.prompts, []).append(part)
    lines = _first([_overlap_line(parts) for parts in found.values()], "prompt sets that stand in subsets")
    return lines + _first(repeated_across(subsets), "pairs of subsets that share documents") + repeated_within(subsets)


def _overlap_line(parts: list[Overlap]) -> str:
    """What of one prompt set stands where: the worst in numbers, the rest by name."""
    parts = sorted(parts, key=lambda part: (-part.whole / part.items, -part.phrase / part.items))
    worst = parts[0]
    others = [name for name in dict.fromkeys(part.subset for part in parts) if name != worst.subset]
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    also = f", and others with {', '.join(map(repr, others[:3]))}{more}" if others else ""
    whole = f", {worst.whole} of them every such phrase" if worst.whole else ""
    return (
        f"Prompt set {worst.prompts!r}: {worst.whole + worst.phrase} of {worst.items} {worst.side} items share "
        f"{WORDS_LEAST} to {WORDS} words in a row with subset {worst.subset!r}{whole} (such as {worst.example!r})"
        f"{also}. Part of that influence may be that of a copy."
    )


def _first(lines: list[str], what: str) -> list[str]:
    return lines if len(lines) <= LISTED else [*lines[:LISTED], f"And {len(lines) - LISTED} more {what}."]


def repeated_within(subsets: Mapping[str, SubsetData]) -> list[str]:
    """A line for every subset of which at least one document in a hundred repeats another."""
    lines = []
    for name, data in subsets.items():
        repeats = duplicates(data.documents)
        if repeats >= max(1, REPEATED * len(data.documents)):
            lines.append(
                f"In subset {name!r}, {repeats} of {len(data.documents)} documents repeat another; they count again."
            )
    return _first(lines, "subsets that repeat documents")


def repeated_across(subsets: Mapping[str, SubsetData]) -> list[str]:
    """A line for every two subsets that share documents, those that share most first; equal subsets are said apart."""
    places: dict[int, list[str]] = {}
    sizes: dict[str, int] = {}
    for name, data in subsets.items():
        # In the order of the documents: a set of hashes has another order in every process.
        texts = dict.fromkeys(hash(document.text.strip()) for document in data.documents)
        sizes[name] = len(texts)
        for text in texts:
            places.setdefault(text, []).append(name)
    shared: Counter[tuple[str, str]] = Counter()
    for names, count in Counter(map(tuple, places.values())).items():
        for pair in combinations(names, 2):
            shared[pair] += count
    # Subsets with all their texts in common have a warning of their own (check.same_texts).
    lines = [
        f"Subsets {one!r} and {other!r} share {count} documents: what these do is told of both."
        for (one, other), count in shared.most_common()
        if not count == sizes[one] == sizes[other]
    ]
    return lines


def duplicates(documents: Iterable[Document]) -> int:
    """How many documents repeat one that came before."""
    texts = [document.text.strip() for document in documents]
    return len(texts) - len(set(texts))


def overlaps(prompts: Mapping[str, PromptData], subsets: Mapping[str, SubsetData]) -> list[Overlap]:
    """Every side of a prompt set against every subset, where anything stands in both; remembered by content."""
    found = []
    wanted: _Wanted | None = None
    most = TEXT_MOST // max(1, len(subsets))
    prompt_key = tuple((data.digest, data.spec.model_dump_json()) for data in prompts.values())
    for name, data in subsets.items():
        key = (prompt_key, name, data.digest, data.spec.model_dump_json(), most)
        known = _remembered.get(key)
        if known is None:
            wanted = wanted or _Wanted(prompts)
            known = wanted.overlaps(name, data.documents, most)
            _remembered.put(key, known)
        found += known
    return found


class _Memory:
    """The latest answers, so that a page that checks at every change compares only what changed."""

    def __init__(self) -> None:
        self.answers: OrderedDict[Hashable, list[Overlap]] = OrderedDict()
        self.lock = Lock()

    def get(self, key: Hashable) -> list[Overlap] | None:
        with self.lock:
            if key in self.answers:
                self.answers.move_to_end(key)
            return self.answers.get(key)

    def put(self, key: Hashable, answer: list[Overlap]) -> None:
        with self.lock:
            self.answers[key] = answer
            while len(self.answers) > KEPT:
                self.answers.popitem(last=False)


_remembered = _Memory()


class _Wanted:
    """The phrases of all items, as hashes: of 8 words, or of all the 5 to 7 that an item has."""

    def __init__(self, prompts: Mapping[str, PromptData]) -> None:
        self.vocabulary: dict[str, int] = {}
        texts = []
        for name, data in prompts.items():
            for side, items in data.sides.items():
                for item in items:
                    ids = [
                        self.vocabulary.setdefault(word, len(self.vocabulary) + 1) for word in words_of(item.completion)
                    ]
                    if len(ids) >= WORDS_LEAST:
                        texts.append((name, side, item.id, ids))
        self.sizes = {(name, side): len(items) for name, data in prompts.items() for side, items in data.sides.items()}
        # A random number for every word makes the hash of a phrase as good as random.
        table = np.random.default_rng(0).integers(1, 2**64 - 1, len(self.vocabulary) + 1, dtype=np.uint64)
        self.table = table
        self.items = [(name, side, item) for name, side, item, _ in texts]
        self.long = np.array([len(ids) >= WORDS for *_, ids in texts], dtype=bool)
        hashes: dict[int, list[Hashes]] = {}
        owners: dict[int, list[npt.NDArray[np.int64]]] = {}
        for index, (*_, ids) in enumerate(texts):
            length = min(len(ids), WORDS)
            hashes.setdefault(length, []).append(phrase_hashes(table[np.array(ids)], length))
            owners.setdefault(length, []).append(np.full(len(ids) - length + 1, index))
        self.hashes = {length: np.concatenate(parts) for length, parts in hashes.items()}
        self.owners = {length: np.concatenate(parts) for length, parts in owners.items()}
        """The item of each hash."""
        self.phrases = {length: np.unique(values) for length, values in self.hashes.items()}

    def overlaps(self, subset: str, documents: Iterable[Document], most: int) -> list[Overlap]:
        """What stands in the first ``most`` characters of these documents, by prompt set and side."""
        there = self._found(documents, most)
        held = np.zeros(len(self.items), dtype=np.int64)
        total = np.zeros(len(self.items), dtype=np.int64)
        for length, values in self.hashes.items():
            owners = self.owners[length]
            total += np.bincount(owners, minlength=len(self.items))
            held += np.bincount(owners[np.isin(values, there[length])], minlength=len(self.items))
        complete = (held == total) & self.long
        whole: Counter[tuple[str, str]] = Counter()
        phrase: Counter[tuple[str, str]] = Counter()
        example: dict[tuple[str, str], str] = {}
        # Those that stand there as a whole first: they make the better example.
        for index in [*np.flatnonzero(complete), *np.flatnonzero((held > 0) & ~complete)]:
            name, side, item = self.items[index]
            (whole if complete[index] else phrase)[(name, side)] += 1
            example.setdefault((name, side), item)
        return [
            Overlap(*place, subset, self.sizes[place], whole[place], phrase[place], example[place])
            for place in self.sizes
            if place in example
        ]

    def _found(self, documents: Iterable[Document], most: int) -> dict[int, Hashes]:
        """Those of the phrases that stand in the documents, by length."""
        found: dict[int, list[Hashes]] = {length: [] for length in self.phrases}
        for ids in self._pieces(documents, most):
            values = self.table[ids]
            # Words that no item has are 0: a window with one of them can match nothing.
            gaps = np.concatenate([[0], np.cumsum(ids == 0)])
            for length, hashes in _growing(values, max(self.phrases, default=0)):
                if length not in self.phrases:
                    continue
                phrases = self.phrases[length]
                hashes = hashes[gaps[length:] == gaps[:-length]]
                places = np.minimum(np.searchsorted(phrases, hashes), len(phrases) - 1)
                found[length].append(np.unique(hashes[phrases[places] == hashes]))
        nothing = np.zeros(0, dtype=np.uint64)
        return {length: np.unique(np.concatenate([nothing, *parts])) for length, parts in found.items()}

    def _pieces(self, documents: Iterable[Document], most: int) -> Iterable[npt.NDArray[np.int64]]:
        """Word numbers of a few megabytes of documents at a time, with a 0 between documents."""
        known = self.vocabulary.get
        texts: list[str] = []
        held = read = 0
        for document in documents:
            texts.append(document.text)
            held += len(document.text)
            read += len(document.text)
            if held > PIECE:
                yield np.array([known(word, 0) for word in words_of(BETWEEN.join(texts))], dtype=np.int64)
                texts, held = [], 0
            if read > most:
                break
        yield np.array([known(word, 0) for word in words_of(BETWEEN.join(texts))], dtype=np.int64)


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return _WORD.findall(text.lower())


_WORD = re.compile(r"\w+|\x00")


def phrase_hashes(values: Hashes, length: int) -> Hashes:
    """A hash of every ``length`` values in a row; shape (len(values) - length + 1,)."""
    return dict(_growing(values, length))[length]


def _growing(values: Hashes, most: int) -> Iterator[tuple[int, Hashes]]:
    """Hashes of all windows of 1, 2, ... up to ``most`` values, each from the one before."""
    result = values[:0]
    for length in range(1, min(most, len(values)) + 1):
        last = values[length - 1 :]
        result = last.copy() if length == 1 else result[:-1] * FACTOR + last
        yield length, result
