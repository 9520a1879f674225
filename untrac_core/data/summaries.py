"""What a prompt set is to a model: what is given and what is scored, in tokens, and what would be cut."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import repeat

from untrac_core.data.overlap import duplicates
from untrac_core.data.prompts import PromptData, load_prompts
from untrac_core.data.subsets import SubsetData, load_subset
from untrac_core.data.tokens import Encoder, Example
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import PromptSet, Subset


@dataclass(frozen=True)
class SideFacts:
    """One side of a prompt set. Tokens are those of a tokenizer, ``None`` without one."""

    side: str
    label: str | None
    items: int
    characters: int
    """Of scored text."""
    duplicates: int
    """Items that repeat another of their side."""
    scored: int | None = None
    """Tokens whose loss is measured."""
    given: int | None = None
    """Tokens that are masked out."""
    longest: int | None = None
    """Tokens of the longest item, given and scored."""
    cut: int = 0
    """Items whose scored text is cut to the model's context."""
    cut_tokens: int = 0
    unfit: int = 0
    """Items that a model cannot score, as their prompt fills its context or no token is left: a run refuses them."""
    fault: str = ""
    """What is wrong with the first of those."""


@dataclass(frozen=True)
class PromptSetFacts:
    """A prompt set by side, its groups with the items of each side, and what was left out of it, in words."""

    sides: list[SideFacts]
    groups: dict[str, dict[str, int]]
    notes: list[str]

    def rows(self) -> list[dict[str, str | int | None]]:
        """A table for people: a row per side; the last columns only where there is something in them."""
        table: list[dict[str, str | int | None]] = []
        for side in self.sides:
            row: dict[str, str | int | None] = {
                "Side": side.side,
                "Items": side.items,
                "Scored tokens": side.scored,
                "Given tokens": side.given,
                "Longest item": side.longest,
                "Repeated items": side.duplicates,
            }
            if any(one.cut for one in self.sides):
                row |= {"Items cut": side.cut, "Tokens cut": side.cut_tokens}
            if any(one.unfit for one in self.sides):
                row["Items that do not fit"] = side.unfit
            table.append(row)
        return table


def prompt_facts(
    prompts: PromptSet | PromptData,
    encoder: Encoder | None,
    context: int | None = None,
    progress: Progress | None = None,
) -> PromptSetFacts:
    """Count a prompt set's items and, with an encoder, its tokens; ``context``: the model's, in tokens.

    Raises :class:`InputError` where the set cannot be read; an item that does not fit the model is counted instead.
    """
    data = prompts if isinstance(prompts, PromptData) else load_prompts(prompts, progress)
    groups: dict[str, Counter[str]] = {}
    for side, items in data.sides.items():
        for item in items:
            groups.setdefault(item.group, Counter())[side] += 1
    return PromptSetFacts(
        sides=[_side(data, side, encoder, context) for side in data.sides],
        groups={
            group: {side: counts[side] for side in data.sides} for group, counts in sorted(groups.items()) if group
        },
        notes=list(data.notes),
    )


def _side(data: PromptData, side: str, encoder: Encoder | None, context: int | None) -> SideFacts:
    items, label = data.sides[side], data.spec.sides[side]
    characters = sum(len(item.completion) for item in items)
    repeated = len(items) - len({(item.prompt, item.completion) for item in items})
    if encoder is None:
        return SideFacts(side, label, len(items), characters, repeated)
    fitting, faults = list[Example](), list[str]()
    for made in encoder.fitted(items, context=context):
        if isinstance(made, Example):
            fitting.append(made)
        else:
            faults.append(str(made))
    return SideFacts(
        side,
        label,
        len(items),
        characters,
        repeated,
        scored=sum(example.tokens for example in fitting),
        given=sum(_given(encoder, example) for example in fitting),
        longest=max((example.size + example.cut for example in fitting), default=0),
        cut=sum(example.cut > 0 for example in fitting),
        cut_tokens=sum(example.cut for example in fitting),
        unfit=len(faults),
        fault=faults[0] if faults else "",
    )


def _given(encoder: Encoder, example: Example) -> int:
    """Tokens of the prompt: without the start token, or, for seq2seq, without the end token."""
    if example.source is not None:
        return len(example.source) - (encoder.end is not None)
    return example.first - (encoder.start is not None)


@dataclass(frozen=True)
class Shown:
    """An item as a model meets it: ``given`` is masked out, ``scored`` is what its loss is measured on."""

    id: str
    side: str
    group: str
    cluster: str
    given: str
    scored: str
    given_tokens: int | None
    scored_tokens: int | None
    cut_tokens: int
    fault: str
    """Why it cannot be scored; empty where it can."""


def shown(data: PromptData, encoder: Encoder | None, context: int | None = None, rows: int = 50) -> list[Shown]:
    """The first items of each side, at most ``rows`` in all, for a table "given (masked out) | scored"."""
    each = max(1, rows // max(1, len(data.sides)))
    result = []
    for side, items in data.sides.items():
        first = items[:each]
        made = encoder.fitted(first, context=context) if encoder else repeat(None, len(first))
        for item, found in zip(first, made, strict=True):
            example = found if isinstance(found, Example) else None
            result.append(
                Shown(
                    item.id,
                    side,
                    item.group,
                    item.cluster,
                    item.prompt,
                    item.completion,
                    _given(encoder, example) if encoder and example else None,
                    example.tokens if example else None,
                    example.cut if example else 0,
                    str(found) if isinstance(found, InputError) else "",
                )
            )
    return result


COUNTED = 2_000_000
"""Characters that are tokenised; more are estimated from these, a random sample."""


@dataclass(frozen=True)
class SubsetSize:
    """A training subset in numbers. ``tokens`` and what follows are ``None`` without a tokenizer."""

    documents: int
    """With text, in the source as far as it was read."""
    held: int
    """Of these, those at hand: all, or a fixed random sample of a large source."""
    characters: int
    """Of all documents."""
    duplicates: int
    """Documents at hand that repeat another."""
    tokens: int | None = None
    """Of all documents; where ``exact`` is false, estimated from a random sample of them."""
    exact: bool = True
    blocks: int | None = None
    """Blocks of ``block_size`` tokens at hand; records, where something is given and not scored."""
    used: int | None = None
    """Blocks that a run takes: at most the subset's limit."""
    notes: tuple[str, ...] = ()

    @property
    def mean_tokens(self) -> float:
        """Tokens per document; NaN without a tokenizer."""
        return self.tokens / self.documents if self.tokens is not None and self.documents else math.nan


def subset_facts(
    subset: Subset | SubsetData, encoder: Encoder | None, block_size: int = 1024, progress: Progress | None = None
) -> SubsetSize:
    """Count a subset's documents and, with an encoder, its tokens and its blocks of ``block_size`` tokens.

    At most 2 MB of text are tokenised; raises :class:`InputError` where the subset cannot be read.
    """
    data = subset if isinstance(subset, SubsetData) else load_subset(subset, progress)
    held = sum(len(document.text) for document in data.documents)
    size = SubsetSize(
        documents=max(data.seen, len(data.documents)),
        held=len(data.documents),
        characters=max(data.characters, held),
        duplicates=duplicates(data.documents),
        notes=tuple(data.notes),
    )
    return size if encoder is None else _in_tokens(size, data, encoder, block_size, held)


def _in_tokens(size: SubsetSize, data: SubsetData, encoder: Encoder, block_size: int, held: int) -> SubsetSize:
    texts: list[str] = []
    read = 0
    for document in data.documents:  # in random order: the first are a sample
        if read >= COUNTED:
            break
        texts.append(document.text)
        read += len(document.text)
    tokens = 0
    for start in range(0, len(texts), 64):
        encoded = encoder.tokenizer.encode_batch(texts[start : start + 64], add_special_tokens=False)
        tokens += sum(len(encoding.ids) for encoding in encoded)
    per_character = tokens / max(read, 1)
    # Each document is joined to the next by an end token, which is part of a block.
    stream = held * per_character + (len(data.documents) if encoder.end is not None else 0)
    blocks = len(data.documents) if data.spec.prompt is not None else max(1, math.ceil(round(stream) / block_size))
    whole = read == size.characters
    return replace(
        size,
        tokens=tokens if whole else round(size.characters * per_character),
        exact=whole,
        blocks=blocks,
        used=min(blocks, data.spec.limit or blocks),
    )
