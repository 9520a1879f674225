"""A validation looked over before it runs, without torch: is everything there, and what will it cost?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from untrac_core.check import PromptFacts, SubsetFacts, load_records, same_texts
from untrac_core.costs import (
    BASE_MB,
    RATES,
    START_SECONDS,
    USABLE,
    Load,
    Workload,
    baseline_flop,
    cost,
)
from untrac_core.data import overlap
from untrac_core.data.expansion import expand
from untrac_core.data.prompts import PromptData
from untrac_core.data.subsets import SubsetData
from untrac_core.devices import device_facts
from untrac_core.errors import InputError
from untrac_core.model_files import ModelFacts, inspect_ref
from untrac_core.settings import refuse_foreign, settings_priced
from untrac_core.shares import allotted
from untrac_core.specs import MethodSpec, Training, ValidateSpec

CHARACTERS = 2.5
"""A token, of English text under a small vocabulary; only for the cost, before a tokenizer is trained."""
LONGEST_ITEM = 40
"""Tokens assumed of a test item where its text is not looked at."""
COPIES = 6
"""Of its weights that a full model has on the disk: itself and its checkpoints."""


@dataclass(frozen=True)
class ValidationCheck:
    """A validation that can run, and what running it means; seconds and memory are rough, as those of a trace are."""

    trainings: int
    training_seconds: float
    method_seconds: dict[str, float]
    """By the title of the method."""
    seconds: float
    memory_mb: float
    disk_mb: float
    flop: float
    parameters: int
    prompt_sets: list[PromptFacts]
    subsets: list[SubsetFacts]
    notes: list[str]
    warnings: list[str]


def check_validation(spec: ValidateSpec, *, rates: Mapping[str, float] | None = None) -> ValidationCheck:
    """Read all data and, where training starts from a model, its config; raises :class:`InputError`.

    ``rates``: floating point operations a second by device, as measured. Tokens are estimated from characters, as a
    recipe's tokenizer is only trained when the run starts.
    """
    spec = expand(spec)
    for method in spec.methods:
        refuse_foreign(method)
    prompt_data, subset_data = load_records(spec)
    training = spec.training
    facts = recipe_facts(training) if spec.model is None else inspect_ref(spec.model)
    if spec.model is not None and facts.context is not None and training.block > facts.context:
        raise InputError(
            f"a block of {training.block} tokens is longer than the model's context of {facts.context}",
            where="training.block",
            mend=f"write at most {facts.context}",
        )
    device = device_facts(spec.device)
    rate = (rates or {}).get(device.kind, RATES[device.kind])
    work = estimated_workload(spec, prompt_data, subset_data)
    methods = {method.title: method_flop(method, facts, work) / rate for method in spec.methods}
    trainings = len(spec.seeds) * (len(spec.subsets) + 1)
    training_seconds = trainings * one_training_flop(training, facts) / rate
    memory = validation_memory_mb(training, facts, device.kind)
    warnings = same_texts(subset_data) + overlap.warnings_of(prompt_data, subset_data)
    if memory > USABLE * device.memory_mb:
        warnings.append(
            f"The training needs about {memory / 1024:.0f} GB of memory, and {device.name} has "
            f"{device.memory_mb / 1024:.0f} GB: take a smaller model, batch or block."
        )
    if len(spec.seeds) < 2:
        warnings.append("One seed of truth says nothing about its own noise: no method can be trusted on it. Name two.")
    if len(spec.draws) < 2:
        warnings.append(
            "One draw says nothing about the noise of an estimate: no method can be trusted on it. Name two."
        )
    return ValidationCheck(
        trainings=trainings,
        training_seconds=training_seconds,
        method_seconds=methods,
        seconds=START_SECONDS + training_seconds + sum(methods.values()),
        memory_mb=memory,
        disk_mb=10.0 + min(len(spec.seeds), 2) * COPIES * 4 * facts.parameters / 2**20,
        flop=rate * (training_seconds + sum(methods.values())),
        parameters=facts.parameters,
        prompt_sets=[
            PromptFacts(name, side, len(items), 0, 0)
            for name, data in prompt_data.items()
            for side, items in data.sides.items()
        ],
        subsets=[SubsetFacts(name, len(data.documents), 0, 0) for name, data in subset_data.items()],
        notes=[note for data in prompt_data.values() for note in data.notes]
        + [note for data in subset_data.values() for note in data.notes]
        + unread_prompts(subset_data),
        warnings=warnings,
    )


def unread_prompts(subsets: Mapping[str, SubsetData]) -> list[str]:
    """A note for every subset of which a column is named that a training does not read: it reads running text."""
    return [
        f"subset {name!r}: its column {data.spec.prompt!r} is not read, trainings here see the text alone"
        for name, data in subsets.items()
        if data.spec.prompt is not None
    ]


def validation_flop(spec: ValidateSpec, facts: ModelFacts, work: Workload) -> float:
    """Operations of all trainings and methods."""
    trainings = len(spec.seeds) * (len(spec.subsets) + 1)
    own = trainings * one_training_flop(spec.training, facts)
    return own + sum(method_flop(method, facts, work) for method in spec.methods)


def one_training_flop(training: Training, facts: ModelFacts) -> float:
    """Operations of one training: six a parameter and token."""
    return 6.0 * facts.parameters * training.steps * training.batch * training.block


def method_flop(method: MethodSpec, facts: ModelFacts, work: Workload) -> float:
    """Operations of one method on the full model."""
    if not method.unlearns:
        return baseline_flop(method.name, facts, work)
    if method.name == "untrac":
        work = work.turned()
    return cost(facts, settings_priced(method), work, "float32", "cpu").flop


def estimated_workload(
    spec: ValidateSpec, prompts: Mapping[str, PromptData], subsets: Mapping[str, SubsetData]
) -> Workload:
    """The work of the methods, with tokens told from characters: sides are unlearned, blocks watched."""
    block = spec.training.block
    sides = []
    for data in prompts.values():
        for items in data.sides.values():
            characters = sum(len(item.prompt) + len(item.completion) for item in items)
            sides.append(Load(len(items), max(1, round(characters / CHARACTERS))))
    there = {}
    for name, subset in subsets.items():
        characters = sum(len(document.text) for document in subset.documents)
        there[name] = max(1, round(characters / CHARACTERS / block))
    if spec.training.equal_tokens:
        there = dict.fromkeys(there, min(there.values()))
    blocks = [Load(rows, rows * block) for rows in allotted(there, spec.blocks).values()]
    return Workload(sides, blocks, block, max(block, LONGEST_ITEM), len(spec.draws))


def recipe_facts(training: Training) -> ModelFacts:
    """What a model of a recipe's shape will be: its parameters are those of the matrices and position tables."""
    hidden, vocabulary = training.hidden, training.vocabulary
    untied = training.architecture == "llama"
    tables = vocabulary * hidden * (2 if untied else 1) + (0 if untied else training.block * hidden)
    return ModelFacts(
        name="the recipe's model",
        folder=None,
        architecture=training.architecture,
        parameters=tables + 12 * hidden * hidden * training.layers,
        weight_bytes=4 * (tables + 12 * hidden * hidden * training.layers),
        context=training.block,
        vocabulary=vocabulary,
        hidden=hidden,
        layers=training.layers,
    )


def validation_memory_mb(training: Training, facts: ModelFacts, kind: str) -> float:
    """The most memory at once, in 2^20 bytes: weights, gradients, AdamW's moments, and one batch on its way back."""
    tokens = training.batch * training.block
    layer = (12 * max(facts.hidden, 1) + 12 * max(facts.hidden, 1)) * 4
    batch = tokens * (facts.vocabulary * 16.0 + max(facts.layers, 1) * layer)
    return BASE_MB[kind] + (20.0 * facts.parameters + batch) / 2**20
