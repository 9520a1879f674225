"""A validation looked over before it runs, without torch: is everything there, and what will it cost?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from untrac_core.attribution.settings import settings_priced
from untrac_core.data import overlap
from untrac_core.data.prompts import PromptData
from untrac_core.data.subsets import SubsetData
from untrac_core.errors import InputError
from untrac_core.hub.locate import ModelInfo, model_info
from untrac_core.models.devices import device_info
from untrac_core.specs import MethodSpec, Recipe, Training, TrainSpec, ValidateSpec
from untrac_core.stats.mixture import allocate_samples
from untrac_core.tasks.base import Check
from untrac_core.tasks.costs import BASE_MB, RATES, START_SECONDS, USABLE, baseline_flop, cost, one_training_flop
from untrac_core.tasks.prepare import PromptFacts, SubsetFacts, load_records, same_texts
from untrac_core.tasks.validate.additions.controls import TRAININGS, check_controls
from untrac_core.tasks.validate.additions.halves import random_halves
from untrac_core.tasks.validate.additions.pairs import chosen_pairs
from untrac_core.tasks.validate.additions.writings import check_writing
from untrac_core.tasks.workload import Load, Workload

CHARACTERS = 2.5
"""A token, of English text under a small vocabulary; only for the cost, before a tokenizer is trained."""
LONGEST_ITEM = 40
"""Tokens assumed of a test item where its text is not looked at."""
COPIES = 11
"""Of its weights that a full model has on the disk: itself, its checkpoints, and as much of the optimizer."""


@dataclass(frozen=True)
class ValidateCheck(Check):
    """A validation that can run, and what running it means; seconds and memory are rough, as those of a trace are."""

    trainings: int
    training_seconds: float
    method_seconds: dict[str, float]
    """By the title of the method."""
    flop: float
    parameters: int
    prompt_sets: list[PromptFacts]
    subsets: list[SubsetFacts]


def check_validate(spec: ValidateSpec, *, rates: Mapping[str, float] | None = None) -> ValidateCheck:
    """Read all data and, where training starts from a model, its config; raises :class:`InputError`.

    ``rates``: floating point operations a second by device, as measured. Tokens are estimated from characters, as a
    recipe's tokenizer is only trained when the run starts.
    """
    for method in spec.methods:
        settings_priced(method)  # refuses settings that do not go together
    prompt_data, subset_data = load_records(spec)
    training = spec.training
    facts = recipe_facts(training) if spec.model is None else model_info(spec.model)
    if spec.model is not None and facts.context is not None and training.block_size > facts.context:
        raise InputError(
            f"a block of {training.block_size} tokens is longer than the model's context of {facts.context}",
            field="training.block_size",
            hint=f"write at most {facts.context}",
        )
    device = device_info(spec.device)
    rate = (rates or {}).get(device.kind, RATES[device.kind])
    work = estimated_workload(spec, prompt_data, subset_data)
    check_controls(spec, subset_data)
    check_writing(spec)
    models = min(len(spec.seeds), 2) * COPIES + (len(spec.subsets) if spec.generation else 0)
    times = 2 if spec.controls else 1  # methods are asked about the controls too
    methods = {method.title: times * method_flop(method, facts, work) / rate for method in spec.methods}
    trainings = count_trainings(spec)
    training_seconds = trainings * one_training_flop(training, facts) / rate
    memory = validation_memory_mb(training, facts, device.kind)
    warnings = same_texts(subset_data) + overlap.warnings_for(prompt_data, subset_data)
    if memory > USABLE * device.memory_mb:
        warnings.append(
            f"The training needs about {memory / 1024:.0f} GB of memory, and {device.name} has "
            f"{device.memory_mb / 1024:.0f} GB: take a smaller model, batch or block."
        )
    if len(spec.seeds) < 2:
        warnings.append("One seed of truth says nothing about its own noise: no method can be trusted on it. Name two.")
    if len(spec.estimate_seeds) < 2:
        warnings.append(
            "One draw says nothing about the noise of an estimate: no method can be trusted on it. Name two."
        )
    return ValidateCheck(
        trainings=trainings,
        training_seconds=training_seconds,
        method_seconds=methods,
        seconds=START_SECONDS + training_seconds + sum(methods.values()),
        memory_mb=memory,
        disk_mb=10.0 + models * 4 * facts.parameters / 2**20,
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


def count_trainings(spec: ValidateSpec) -> int:
    """For every seed one on everything, one without each subset and one without each pair; then halves and controls."""
    names = [subset.name for subset in spec.subsets]
    each = 1 + len(names) + len(chosen_pairs(names, spec))
    more = len(random_halves(names, spec.halves)) + sum(TRAININGS[name] for name in spec.controls)
    return len(spec.seeds) * each + spec.document_halves + more


@dataclass(frozen=True)
class RecipePrice:
    """What a recipe's model is, and what its training takes."""

    parameters: int
    seconds: float
    memory_mb: float


def price_recipe(spec: TrainSpec, rates: Mapping[str, float] | None = None) -> RecipePrice:
    """The price of one training; ``rates``: floating point operations a second by device, as measured."""
    training = Training(**{name: getattr(spec, name) for name in Recipe.model_fields})
    facts, device = recipe_facts(training), device_info(spec.device)
    rate = (rates or {}).get(device.kind, RATES[device.kind])
    seconds = START_SECONDS + one_training_flop(training, facts) / rate
    return RecipePrice(facts.parameters, seconds, validation_memory_mb(training, facts, device.kind))


def validation_flop(spec: ValidateSpec, facts: ModelInfo, work: Workload) -> float:
    """Operations of all trainings and methods."""
    own = count_trainings(spec) * one_training_flop(spec.training, facts)
    times = 2 if spec.controls else 1
    return own + times * sum(method_flop(method, facts, work) for method in spec.methods)


def method_flop(method: MethodSpec, facts: ModelInfo, work: Workload) -> float:
    """Operations of one method on the full model."""
    if not method.unlearns:
        return baseline_flop(method, facts, work)
    if method.name == "untrac":
        work = work.turned()
    return cost(facts, settings_priced(method), work, "float32", "cpu").flop


def estimated_workload(
    spec: ValidateSpec, prompts: Mapping[str, PromptData], subsets: Mapping[str, SubsetData]
) -> Workload:
    """The work of the methods, with tokens told from characters: sides are unlearned, blocks watched."""
    block = spec.training.block_size
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
    blocks = [Load(rows, rows * block) for rows in allocate_samples(there, spec.samples_per_subset).values()]
    return Workload(sides, blocks, block, max(block, LONGEST_ITEM), len(spec.estimate_seeds))


def recipe_facts(training: Training) -> ModelInfo:
    """What a model of a recipe's shape will be: its parameters are those of the matrices and position tables."""
    hidden, vocabulary = training.hidden_size, training.vocab_size
    untied = training.architecture in ("llama", "gpt-neox", "qwen3")  # and positions by rotation, without a table
    tables = vocabulary * hidden * (2 if untied else 1) + (0 if untied else training.block_size * hidden)
    return ModelInfo(
        name="the recipe's model",
        folder=None,
        architecture=training.architecture,
        parameters=tables + 12 * hidden * hidden * training.num_layers,
        weight_bytes=4 * (tables + 12 * hidden * hidden * training.num_layers),
        context=training.block_size,
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_layers=training.num_layers,
    )


def validation_memory_mb(training: Training, facts: ModelInfo, kind: str) -> float:
    """The most memory at once, in 2^20 bytes: weights, gradients, AdamW's moments, and one batch on its way back."""
    tokens = training.batch_size * training.block_size
    layer = (12 * max(facts.hidden_size, 1) + 12 * max(facts.hidden_size, 1)) * 4
    batch = tokens * (facts.vocab_size * 16.0 + max(facts.num_layers, 1) * layer)
    return BASE_MB[kind] + (20.0 * facts.parameters + batch) / 2**20
