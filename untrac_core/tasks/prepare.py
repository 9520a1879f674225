"""What the checks and tasks share, without torch: records read, texts encoded, what was cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from untrac_core.data.balancing import Sizes, sized
from untrac_core.data.prompts import PromptData, load_prompts
from untrac_core.data.subsets import SubsetData, load_subsets
from untrac_core.data.tokens import Encoder, Example, Packed
from untrac_core.errors import InputError
from untrac_core.hub.locate import ModelInfo
from untrac_core.progress import Progress
from untrac_core.specs import TraceSpec, TrainSpec, UnlearnSpec, ValidateSpec

BLOCK = 1024
"""Longest block of training text unless the spec says otherwise: the paper's."""


@dataclass(frozen=True)
class PromptFacts:
    """One side of a prompt set; ``tokens`` are those scored, ``longest`` counts the prompt too."""

    name: str
    side: str
    items: int
    tokens: int
    longest: int


@dataclass(frozen=True)
class SubsetFacts:
    """A training subset as it will be used."""

    name: str
    documents: int
    blocks: int
    tokens: int


def load_records(
    spec: TraceSpec | ValidateSpec | UnlearnSpec, progress: Progress | None = None
) -> tuple[dict[str, PromptData], dict[str, SubsetData]]:
    """Every prompt set and subset of a spec, by name; refuses a subset that is a prompt set."""
    prompts = {prompt.name: load_prompts(prompt, progress) for prompt in spec.prompts}
    subsets = load_subsets(spec.subsets, progress)
    for subset_name, subset in subsets.items():
        texts = {document.text.strip() for document in subset.documents}
        for prompt_name, data in prompts.items():
            items = {item.completion.strip() for side in data.sides.values() for item in side}
            if subset.digest == data.digest or texts in (items, data.texts):
                raise InputError(
                    f"it is the same as prompt set {prompt_name!r}",
                    field=f"subset {subset_name!r}",
                    hint="a training subset must not be the test itself; name another file",
                )
    return prompts, subsets


def same_texts(subsets: Mapping[str, SubsetData]) -> list[str]:
    """A warning for every two subsets with the same texts: they share one influence and cannot be told apart."""
    seen: dict[frozenset[str], str] = {}
    warnings = []
    for name, subset in subsets.items():
        texts = frozenset(document.text for document in subset.documents)
        if texts in seen:
            warnings.append(f"Subsets {seen[texts]!r} and {name!r} have the same texts and so the same influence.")
        seen.setdefault(texts, name)
    return warnings


def context_and_block(spec: TraceSpec, facts: ModelInfo) -> tuple[int | None, int]:
    """The model's context, and the tokens per block of training text; a block over the context is refused."""
    return facts.context, fitting_block(spec.block_size, facts.context)


def fitting_block(named: int | None, context: int | None) -> int:
    """Block size (tokens): as named, else the context, at most :data:`BLOCK`; one over the context is refused."""
    block_size = named or min(context or BLOCK, BLOCK)
    if context is not None and block_size > context:
        raise InputError(
            f"a block of {block_size} tokens is longer than the model's context of {context}",
            field="block_size",
            hint=f"write at most {context}",
        )
    return block_size


def encode(
    encoder: Encoder,
    prompt_data: Mapping[str, PromptData],
    subset_data: Mapping[str, SubsetData],
    context: int | None,
    block_size: int,
    sizes: Sizes = "none",
) -> tuple[dict[str, dict[str, list[Example]]], dict[str, Packed]]:
    """Every prompt set's items by side, and every subset's blocks, cut so that they compare (``weighting``).

    Refuses a subset without a block.
    """
    prompts = encode_prompts(encoder, prompt_data, context)
    subsets = {name: pack_subset(encoder, data, context, block_size) for name, data in subset_data.items()}
    for name, packed in subsets.items():
        if not packed.blocks:
            what = "no record fits the model's context" if packed.unfit else "there is too little text for one block"
            raise InputError(what, field=f"subset {name!r}", hint="add text")
    return prompts, sized(subsets, subset_data, sizes)


def encode_prompts(
    encoder: Encoder, prompt_data: Mapping[str, PromptData], context: int | None
) -> dict[str, dict[str, list[Example]]]:
    """Every prompt set's items by side; those that cannot be scored are left out (:func:`cut_notes` counts them).

    Refuses a side of which nothing can be scored.
    """
    found: dict[str, dict[str, list[Example]]] = {}
    for name, data in prompt_data.items():
        for side, items in data.sides.items():
            made = list(encoder.fitted(items, context=context, where=f"prompt set {name!r}, {side} side"))
            examples = [example for example in made if isinstance(example, Example)]
            if not examples:
                raise next(fault for fault in made if isinstance(fault, InputError))
            found.setdefault(name, {})[side] = examples
    return found


def pack_subset(encoder: Encoder, data: SubsetData, context: int | None, block_size: int) -> Packed:
    """Running text in blocks; where something is given and not scored, each record an example of its own."""
    if data.spec.prompt is None:
        return encoder.blocks(data.documents, block_size, data.spec.limit)
    return encoder.records(data.documents, data.spec.limit, context=context)


def cut_notes(
    prompt_data: Mapping[str, PromptData],
    subset_data: Mapping[str, SubsetData],
    prompts: Mapping[str, Mapping[str, list[Example]]],
    subsets: Mapping[str, Packed],
) -> list[str]:
    """What is not used and why, in words: nothing is lost or cut without a count."""
    notes = [note for data in prompt_data.values() for note in data.notes]
    for name, sides in prompts.items():
        for side, items in sides.items():
            cut = [item.cut for item in items if item.cut]
            if cut:
                notes.append(
                    f"prompt set {name!r}, {side}: {len(cut)} items are cut to the model's context, "
                    f"{sum(cut)} tokens in all"
                )
            left = len(prompt_data[name].sides[side]) - len(items)
            if left:
                notes.append(
                    f"prompt set {name!r}, {side}: {left} items are not used, as their prompt fills the model's context"
                )
    notes += [note for data in subset_data.values() for note in data.notes]
    for name, packed in subsets.items():
        if packed.unfit:
            notes.append(f"subset {name!r}: {packed.unfit} records do not fit the model's context and are not used")
        if len(packed.blocks) < packed.pool:
            notes.append(
                f"subset {name!r}: a fixed random {len(packed.blocks)} of {packed.pool} blocks, packed from "
                f"{packed.documents} of {packed.available} documents ({packed.why or 'limit'})"
            )
    return notes


def check_training(spec: TrainSpec) -> list[str]:
    """Read a recipe's subsets; raises :class:`InputError` for what cannot be used, returns notes on what is not."""
    subsets = load_subsets(spec.subsets)
    return [note for data in subsets.values() for note in data.notes] + same_texts(subsets)
