"""What a training subset is to a model: documents, characters, tokens and blocks, and how much of it repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from untrac_core.data.overlap import duplicates
from untrac_core.data.subsets import SubsetData, load_subset
from untrac_core.data.tokens import Encoder
from untrac_core.progress import Progress
from untrac_core.specs import Subset

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
    """Blocks of ``block`` tokens at hand; records, where something is given and not scored."""
    used: int | None = None
    """Blocks that a run takes: at most the subset's limit."""
    notes: tuple[str, ...] = ()

    @property
    def mean_tokens(self) -> float:
        """Tokens a document; NaN without a tokenizer."""
        return self.tokens / self.documents if self.tokens is not None and self.documents else math.nan


def subset_facts(
    subset: Subset | SubsetData, encoder: Encoder | None, block: int = 1024, progress: Progress | None = None
) -> SubsetSize:
    """Count a subset's documents and, with an encoder, its tokens and its blocks of ``block`` tokens.

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
    return size if encoder is None else _in_tokens(size, data, encoder, block, held)


def _in_tokens(size: SubsetSize, data: SubsetData, encoder: Encoder, block: int, held: int) -> SubsetSize:
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
    blocks = len(data.documents) if data.spec.prompt is not None else max(1, math.ceil(round(stream) / block))
    whole = read == size.characters
    return replace(
        size,
        tokens=tokens if whole else round(size.characters * per_character),
        exact=whole,
        blocks=blocks,
        used=min(blocks, data.spec.limit or blocks),
    )
