"""How much of every training subset is used, so that subsets can be compared: as given, equal, or proportional."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from untrac_core.data.prompts import sample
from untrac_core.data.subsets import SubsetData
from untrac_core.data.tokens import Packed

Sizes = Literal["none", "equal", "proportional"]


def sized(packed: Mapping[str, Packed], subsets: Mapping[str, SubsetData], sizes: Sizes) -> dict[str, Packed]:
    """The subsets' blocks cut so that they compare; ``Packed.why`` says what was cut and why.

    ``equal``: every subset gets about the scored tokens of the smallest. ``proportional``: the subset with the most
    text keeps all its blocks, the others as many tokens as their share of the text says, or all that they have; of a
    source that was read in part, the text of the whole is estimated from its stored size. What is taken is a fixed
    random sample, never less than one block.
    """
    if sizes == "none" or not packed:
        return dict(packed)
    if sizes == "equal":
        smallest = min(packed, key=lambda name: packed[name].tokens)
        why = f"as many tokens as the smallest subset, {smallest!r}, has"
        return {name: _cut(part, float(packed[smallest].tokens), why) for name, part in packed.items()}
    text = amounts({name: subsets[name] for name in packed})
    about = ", estimated from stored sizes" if any(subsets[name].scale > 1 for name in packed) else ""
    largest = max(text, key=lambda name: text[name])
    whole = sum(text.values())
    result = {}
    for name, part in packed.items():
        share = text[name] / text[largest]
        wanted = share * packed[largest].tokens
        why = f"its {text[name] / whole:.1%} of all text, in proportion to {largest!r}{about}"
        result[name] = _cut(part, wanted, why)
        # Text differs in tokens a character: what is a quarter short is short because of a limit.
        if part.tokens < 0.75 * wanted:
            result[name] = replace(
                result[name], why=f"limit, fewer than its {text[name] / whole:.1%} of all text{about} ask for"
            )
    return result


def amounts(subsets: Mapping[str, SubsetData]) -> dict[str, float]:
    """Characters of each subset's text; of a source that was read in part, estimated for the whole of it."""
    return {name: subset.scale * (subset.characters or _characters(subset)) for name, subset in subsets.items()}


def _cut(part: Packed, tokens: float, why: str) -> Packed:
    """The part with the number of its blocks that comes nearest to ``tokens`` scored tokens."""
    count = max(1, min(len(part.blocks), round(tokens * len(part.blocks) / part.tokens)))
    if count == len(part.blocks):
        return part
    kept = sample(list(range(len(part.blocks))), count)
    return replace(part, blocks=[part.blocks[i] for i in kept], why=why)


def _characters(data: SubsetData) -> int:
    return sum(len(document.text) for document in data.documents)
