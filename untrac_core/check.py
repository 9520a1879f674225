"""A spec looked over before it runs, without torch: is everything there, what is cut, what will it cost?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from untrac_core.costs import USABLE, cost_of
from untrac_core.data import overlap
from untrac_core.data.expansion import expand
from untrac_core.data.prompts import PromptData, load_prompts
from untrac_core.data.sizes import Sizes, sized
from untrac_core.data.subsets import SubsetData, load_subsets
from untrac_core.data.tokens import Encoder, Example, Packed, read_tokenizer
from untrac_core.devices import DeviceFacts, device_facts
from untrac_core.errors import InputError
from untrac_core.model_files import ModelFacts, fetch_tokenizer, inspect_ref
from untrac_core.progress import Progress
from untrac_core.settings import refuse_foreign, settings_priced
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


@dataclass(frozen=True)
class Check:
    """A spec that can run, and what running it means."""

    parameters: int
    context: int | None
    block: int
    prompt_sets: list[PromptFacts]
    subsets: list[SubsetFacts]
    cells: int
    seconds: float
    memory_mb: float
    disk_mb: float
    flop: float
    notes: list[str]
    warnings: list[str]


def check(spec: TraceSpec, *, rates: Mapping[str, float] | None = None) -> Check:
    """Read all data, the model's config and tokenizer; raise :class:`InputError` for what cannot run.

    ``rates``: floating point operations a second by device, as measured. Of a model on the hub that is not here yet,
    the config, the headers of its weights and its tokenizer are read; a tokenizer that only transformers can read is
    looked at when the run starts.
    """
    spec = expand(spec)
    refuse_foreign(spec.method)
    settings = settings_priced(spec.method)
    prompt_data, subset_data = load_records(spec)
    warnings = same_texts(subset_data) + overlap.warnings_of(prompt_data, subset_data)
    if len(spec.seeds) == 1:
        warnings.append("One seed gives no interval, so nothing can be ranked. Name at least two.")
    facts = inspect_ref(spec.model)
    encoder = read_tokenizer(fetch_tokenizer(spec.model))
    if encoder is None:
        warnings.append("The tokenizer is read when the run starts; only then are tokens, time and memory known.")
        return _unmeasured(spec, facts, prompt_data, subset_data, warnings)
    context, block = context_and_block(spec, facts)
    prompts, subsets = encode(encoder, prompt_data, subset_data, context, block, spec.sizes)
    device = device_facts(spec.device)
    cost = cost_of(spec, settings, facts, prompts, subsets, rates, device)
    warnings += _memory_warning(cost.memory_mb, device)
    return Check(
        parameters=facts.parameters,
        context=context,
        block=block,
        prompt_sets=[
            PromptFacts(name, side, len(items), sum(i.tokens for i in items), max(len(i.ids) for i in items))
            for name, sides in prompts.items()
            for side, items in sides.items()
        ],
        subsets=[SubsetFacts(name, p.documents, len(p.blocks), p.tokens) for name, p in subsets.items()],
        cells=cell_count(spec, prompt_data),
        seconds=cost.seconds,
        memory_mb=cost.memory_mb,
        disk_mb=cost.disk_mb,
        flop=cost.flop,
        notes=(settings.notes if spec.method.unlearns else []) + cut_notes(prompt_data, subset_data, prompts, subsets),
        warnings=warnings,
    )


def _memory_warning(memory_mb: float, device: DeviceFacts) -> list[str]:
    if memory_mb <= USABLE * device.memory_mb:
        return []
    return [
        f"The run needs about {memory_mb / 1024:.0f} GB of memory, and {device.name} has "
        f"{device.memory_mb / 1024:.0f} GB: let fewer parameters move, or take a smaller model or block."
    ]


def _unmeasured(
    spec: TraceSpec,
    facts: ModelFacts,
    prompt_data: dict[str, PromptData],
    subset_data: dict[str, SubsetData],
    warnings: list[str],
) -> Check:
    """What can be said without tokens: counts of items and documents."""
    nan = math.nan
    return Check(
        parameters=facts.parameters,
        context=facts.context,
        block=spec.block or BLOCK,
        prompt_sets=[
            PromptFacts(name, side, len(items), 0, 0)
            for name, data in prompt_data.items()
            for side, items in data.sides.items()
        ],
        subsets=[SubsetFacts(name, len(data.documents), 0, 0) for name, data in subset_data.items()],
        cells=cell_count(spec, prompt_data),
        seconds=nan,
        memory_mb=nan,
        disk_mb=nan,
        flop=nan,
        notes=cut_notes(prompt_data, subset_data, {}, {}),
        warnings=warnings,
    )


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
                    where=f"subset {subset_name!r}",
                    mend="a training subset must not be the test itself; name another file",
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


def context_and_block(spec: TraceSpec, facts: ModelFacts) -> tuple[int | None, int]:
    """The model's context, and the tokens a block of training text; a block over the context is refused."""
    return facts.context, fitting_block(spec.block, facts.context)


def fitting_block(named: int | None, context: int | None) -> int:
    """Tokens a block: as named, else the context, at most :data:`BLOCK`; one over the context is refused."""
    block = named or min(context or BLOCK, BLOCK)
    if context is not None and block > context:
        raise InputError(
            f"a block of {block} tokens is longer than the model's context of {context}",
            where="block",
            mend=f"write at most {context}",
        )
    return block


def encode(
    encoder: Encoder,
    prompt_data: Mapping[str, PromptData],
    subset_data: Mapping[str, SubsetData],
    context: int | None,
    block: int,
    sizes: Sizes = "as-given",
) -> tuple[dict[str, dict[str, list[Example]]], dict[str, Packed]]:
    """Every prompt set's items by side, and every subset's blocks, cut so that they compare (``sizes``).

    Refuses a subset without a block.
    """
    prompts = encode_prompts(encoder, prompt_data, context)
    subsets = {name: pack_subset(encoder, data, context, block) for name, data in subset_data.items()}
    for name, packed in subsets.items():
        if not packed.blocks:
            what = "no record fits the model's context" if packed.unfit else "there is too little text for one block"
            raise InputError(what, where=f"subset {name!r}", mend="add text")
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


def pack_subset(encoder: Encoder, data: SubsetData, context: int | None, block: int) -> Packed:
    """Running text in blocks; where something is given and not scored, each record an example of its own."""
    if data.spec.prompt is None:
        return encoder.blocks(data.documents, block, data.spec.limit)
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


def cell_count(spec: TraceSpec, prompt_data: Mapping[str, PromptData]) -> int:
    """How many cells a run has: each unlearning has a close look after it, and a baseline has one cell a seed."""
    own = 1
    if spec.method.name == "untrac":
        own = 2 * len(spec.subsets)
    elif spec.method.unlearns:
        own = 2 * sum(len(data.sides) for data in prompt_data.values())
    return (own + len(spec.beside)) * len(spec.seeds)


def check_training(spec: TrainSpec) -> list[str]:
    """Read a recipe's subsets; raises :class:`InputError` for what cannot be used, returns notes on what is not."""
    subsets = load_subsets(spec.subsets)
    return [note for data in subsets.values() for note in data.notes] + same_texts(subsets)
