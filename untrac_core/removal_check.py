"""An unlearning looked over before it runs, without torch: is what is to go there, what stays, what will it cost?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from untrac_core.check import cut_notes, same_texts
from untrac_core.costs import RATES, START_SECONDS, USABLE
from untrac_core.data import overlap
from untrac_core.data.expansion import expand
from untrac_core.data.tokens import Example, read_tokenizer
from untrac_core.devices import device_facts
from untrac_core.model_files import ModelFacts, fetch_tokenizer, inspect_ref
from untrac_core.removal_data import RemovalData, read_records, removal_data, target_words
from untrac_core.scoring import check_scorer
from untrac_core.specs import RemovalSpec, UnlearnSpec
from untrac_core.unlearning.settings import removal_settings, settled
from untrac_core.validation_check import one_training_flop

COPIES = 6
"""Of the weights that an unlearning holds: weights, gradients, Adam's two moments, the original, and the gold."""


@dataclass(frozen=True)
class RemovalCheck:
    """An unlearning that can run, and what running it means; seconds and memory are rough, as those of a trace are."""

    target: str
    forget: int
    held_out: int
    stays: dict[str, int]
    """Texts: to go, unseen, and by subset to stay; zero and empty where the tokenizer is only read by the run."""
    trainings: int
    removals: int
    training_seconds: float
    seconds: float
    memory_mb: float
    disk_mb: float
    notes: list[str]
    warnings: list[str]


def check_removal(spec: UnlearnSpec, *, rates: Mapping[str, float] | None = None) -> RemovalCheck:
    """Read all data, the model's config and tokenizer; raises :class:`InputError` for what cannot run.

    ``rates``: floating point operations a second by device, as measured. Steps are priced as if no rule ended early.
    """
    spec = expand(spec)
    records = read_records(spec)
    facts = inspect_ref(spec.model)
    for method in spec.methods:
        removal_settings(method, facts.parameters)
    if spec.writing is not None and spec.writing.scorer is not None:
        check_scorer(spec.writing.scorer)
    warnings = same_texts(records.subsets) + overlap.warnings_of(records.prompts, records.subsets)
    if len(spec.seeds) < 2:
        warnings.append("One seed shows no floor: how far two retrained models differ stays unknown. Name two.")
    encoder = read_tokenizer(fetch_tokenizer(spec.model))
    trainings = 0 if spec.training is None else len(spec.seeds) + 2 * spec.deep
    removals = len(spec.methods) * len(spec.seeds) + spec.deep
    if encoder is None:
        later = "The tokenizer is read when the run starts; only then are texts, time and memory known."
        nan = math.nan
        return RemovalCheck(target_words(spec), 0, 0, {}, trainings, removals, nan, nan, nan, nan, [later], warnings)
    data = removal_data(spec, records, encoder, facts.context)
    device = device_facts(spec.device)
    rate = (rates or {}).get(device.kind, RATES[device.kind])
    training = 0.0 if spec.training is None else one_training_flop(spec.training, facts) / rate
    seconds = START_SECONDS + trainings * training + _removing_flop(spec, facts, data) / rate
    memory = COPIES * 4 * facts.parameters / 2**20 + 500.0
    if memory > USABLE * device.memory_mb:
        warnings.append(
            f"The run needs about {memory / 1024:.0f} GB of memory, and {device.name} has "
            f"{device.memory_mb / 1024:.0f} GB: let fewer parameters move, or take a smaller model."
        )
    models = 3 + (0 if spec.training is None else len(spec.seeds) + 2)
    return RemovalCheck(
        target=target_words(spec),
        forget=len(data.forget),
        held_out=len(data.held_out),
        stays={name: len(blocks) for name, blocks in data.stays.items()},
        trainings=trainings,
        removals=removals,
        training_seconds=trainings * training,
        seconds=seconds,
        memory_mb=memory,
        disk_mb=10.0 + models * 4 * facts.parameters / 2**20,
        notes=cut_notes(records.prompts, {}, data.prompts, {}) + data.notes,
        warnings=warnings,
    )


def _removing_flop(spec: UnlearnSpec, facts: ModelFacts, data: RemovalData) -> float:
    """Operations of all unlearnings with their looks, and of relearning: six a parameter and token, two to look."""
    size = _mean_size(data.forget), _mean_size(data.retain or data.forget)
    looked = [blocks[: spec.look] for blocks in (data.forget, data.held_out, *data.stays.values())]
    tokens = sum(example.size for blocks in looked for example in blocks)
    tokens += sum(item.size for sides in data.prompts.values() for items in sides.values() for item in items)
    glance = 2.0 * facts.parameters * tokens
    total = 0.0
    for method in spec.methods:
        total += len(spec.seeds) * _one_removal(spec, method, facts, size, glance)
    total += spec.deep * _one_removal(spec, spec.method, facts, size, glance)
    relearning = spec.relearn * 16 * size[0] * 6.0 * facts.parameters
    return total + len(spec.seeds) * (len(spec.methods) + 1) * relearning


def _one_removal(
    spec: UnlearnSpec, method: RemovalSpec, facts: ModelFacts, size: tuple[float, float], glance: float
) -> float:
    if method.name in ("retrain", "sisa"):
        assert spec.training is not None  # noqa: S101 - such a spec is refused
        return (2.0 if method.name == "sisa" else 0.0) * one_training_flop(spec.training, facts) + glance
    batch = settled(removal_settings(method, facts.parameters), size[0]).batch or 1
    steps = spec.stop.steps * batch * (size[0] + size[1]) * 6.0 * facts.parameters
    return steps + (spec.stop.steps / spec.stop.every + 4) * glance


def _mean_size(examples: list[Example]) -> float:
    return sum(example.size for example in examples) / max(1, len(examples))
