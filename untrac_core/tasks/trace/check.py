"""A trace looked over before it runs, without torch: is everything there, and what will it cost?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from untrac_core.attribution.settings import LinearSettings, notes_of, settings_priced
from untrac_core.data import overlap
from untrac_core.data.prompts import PromptData
from untrac_core.data.subsets import SubsetData
from untrac_core.data.tokens import Packed, read_tokenizer
from untrac_core.hub.locate import ModelInfo, fetch_tokenizer, model_info
from untrac_core.models.devices import DeviceInfo, device_info
from untrac_core.specs import TraceSpec
from untrac_core.specs.catalogue import CONTINUATION
from untrac_core.tasks.base import Check
from untrac_core.tasks.costs import USABLE, cost_of
from untrac_core.tasks.prepare import (
    BLOCK,
    PromptFacts,
    SubsetFacts,
    context_and_block,
    cut_notes,
    encode,
    load_records,
    same_texts,
)
from untrac_core.tasks.workload import read_again


@dataclass(frozen=True)
class TraceCheck(Check):
    """A spec that can run, and what running it means."""

    parameters: int
    context: int | None
    block_size: int
    prompt_sets: list[PromptFacts]
    subsets: list[SubsetFacts]
    cells: int
    flop: float
    share: float | None = None
    """Of the subsets' text that is used; ``None``: it is not known yet."""


def check(spec: TraceSpec, *, rates: Mapping[str, float] | None = None) -> TraceCheck:
    """Read all data, the model's config and tokenizer; raise :class:`InputError` for what cannot run.

    ``rates``: floating point operations a second by device, as measured. Of a model on the hub that is not here yet,
    the config, the headers of its weights and its tokenizer are read; a tokenizer that only transformers can read is
    looked at when the run starts.
    """
    settings = settings_priced(spec.method)
    prompt_data, subset_data = load_records(spec)
    warnings = same_texts(subset_data) + overlap.warnings_for(prompt_data, subset_data)
    if len(spec.seeds) == 1 and not isinstance(settings, LinearSettings):
        warnings.append("One seed gives no interval, so nothing can be ranked. Name at least two.")
    facts = model_info(spec.model)
    encoder = read_tokenizer(fetch_tokenizer(spec.model))
    if encoder is None:
        warnings.append("The tokenizer is read when the run starts; only then are tokens, time and memory known.")
        return _unmeasured(spec, facts, prompt_data, subset_data, warnings)
    context, block_size = context_and_block(spec, facts)
    prompts, subsets = encode(encoder, prompt_data, subset_data, context, block_size, spec.weighting)
    device = device_info(spec.device)
    cost = cost_of(spec, settings, facts, prompts, subsets, rates, device)
    warnings += _memory_warning(cost.memory_mb, device)
    warnings += read_again(spec.method, {name: len(packed.blocks) for name, packed in subsets.items()})
    return TraceCheck(
        parameters=facts.parameters,
        context=context,
        block_size=block_size,
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
        share=share_used(subsets),
        notes=notes_of(spec.method) + cut_notes(prompt_data, subset_data, prompts, subsets),
        warnings=warnings,
    )


def share_used(subsets: Mapping[str, Packed]) -> float:
    """How much of the text of all subsets is looked at, in blocks; of what was not packed, by its documents."""
    whole = sum(packed.pool * packed.available / max(packed.documents, 1) for packed in subsets.values())
    return min(1.0, sum(len(packed.blocks) for packed in subsets.values()) / max(whole, 1.0))


def _memory_warning(memory_mb: float, device: DeviceInfo) -> list[str]:
    if memory_mb <= USABLE * device.memory_mb:
        return []
    return [
        f"The run needs about {memory_mb / 1024:.0f} GB of memory, and {device.name} has "
        f"{device.memory_mb / 1024:.0f} GB: let fewer parameters move, or take a smaller model or block."
    ]


def _unmeasured(
    spec: TraceSpec,
    facts: ModelInfo,
    prompt_data: dict[str, PromptData],
    subset_data: dict[str, SubsetData],
    warnings: list[str],
) -> TraceCheck:
    """What can be said without tokens: counts of items and documents."""
    return TraceCheck(
        parameters=facts.parameters,
        context=facts.context,
        block_size=spec.block_size or BLOCK,
        prompt_sets=[
            PromptFacts(name, side, len(items), 0, 0)
            for name, data in prompt_data.items()
            for side, items in data.sides.items()
        ],
        subsets=[SubsetFacts(name, len(data.documents), 0, 0) for name, data in subset_data.items()],
        cells=cell_count(spec, prompt_data),
        flop=math.nan,
        notes=cut_notes(prompt_data, subset_data, {}, {}),
        warnings=warnings,
    )


def cell_count(spec: TraceSpec, prompt_data: Mapping[str, PromptData]) -> int:
    """How many cells a run has: each unlearning has a close look after it, and what takes no steps one cell per seed.

    UnTrac-Inv's product has a close look at each side.
    """
    seeds, sides = len(spec.seeds), sum(len(data.sides) for data in prompt_data.values())
    own = seeds
    if spec.method.takes_steps:
        own = 2 * seeds * (sides if spec.method.name == "untrac-inv" else len(spec.subsets))
    elif spec.method.unlearns:
        own = seeds + (sides if spec.method.name == "untrac-inv" else seeds)
    trainings = seeds * (len(spec.subsets) + 1)
    if spec.method.name == CONTINUATION:
        own = seeds * (len(getattr(spec.method, "leave_out", None) or spec.subsets) + 1)
    own += seeds if spec.controls else 0
    return own + sum(trainings if name == CONTINUATION else seeds for name in spec.beside)
