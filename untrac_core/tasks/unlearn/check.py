"""The check of an unlearning before it runs, without torch: are its texts there, and what will it cost?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from untrac_core.data import overlap
from untrac_core.data.tokens import Example, read_tokenizer
from untrac_core.hub.locate import ModelInfo, fetch_tokenizer, model_info
from untrac_core.models.devices import device_info
from untrac_core.models.scoring import check_scorer
from untrac_core.specs import UnlearningMethodSpec, UnlearnSpec
from untrac_core.specs.catalogue import UNLEARNING
from untrac_core.specs.methods import CurvatureSettings
from untrac_core.tasks.base import Check
from untrac_core.tasks.costs import RATES, START_SECONDS, USABLE, one_training_flop
from untrac_core.tasks.prepare import cut_notes, same_texts
from untrac_core.tasks.unlearn.data import UnlearnInputs, forget_set_words, read_records, unlearn_inputs
from untrac_core.training.batches import BATCHES, MICRO_BATCH, POWER_STEPS
from untrac_core.unlearning.settings import UnlearningConfig, settled, unlearning_config


@dataclass(frozen=True)
class UnlearnCheck(Check):
    """An unlearning that can run, and what running it means; seconds and memory are rough, as those of a trace are."""

    forget_set: str
    forget: int
    holdout: int
    retain: dict[str, int]
    """Texts: to go, unseen, and by subset to stay; zero and empty where the tokenizer is only read by the run."""
    trainings: int
    unlearnings: int
    training_seconds: float
    neighbours: int = 0
    """Of those to go; only the run knows which they are, so ``retain`` still has them."""

    @property
    def retained(self) -> int:
        """Texts of all subsets to stay."""
        return max(0, sum(self.retain.values()) - self.neighbours)


def check_unlearn(spec: UnlearnSpec, *, rates: Mapping[str, float] | None = None) -> UnlearnCheck:
    """Read all data, the model's config and tokenizer; raises :class:`InputError` for what cannot run.

    ``rates``: floating point operations a second by device, as measured. Steps are priced as if no rule ended early.
    """
    records = read_records(spec)
    facts = model_info(spec.model)
    for method in spec.methods:
        unlearning_config(method, facts.parameters)
    if spec.generation is not None and spec.generation.scorer is not None:
        check_scorer(spec.generation.scorer)
    warnings = same_texts(records.subsets) + overlap.warnings_for(records.prompts, records.subsets)
    if len(spec.seeds) < 2:
        warnings.append("One seed shows no floor: how far two retrained models differ stays unknown. Name two.")
    encoder = read_tokenizer(fetch_tokenizer(spec.model))
    trainings = 0 if spec.training is None else len(spec.seeds) + 2 * spec.ensemble_size
    unlearnings = len(spec.methods) * len(spec.seeds) + spec.ensemble_size
    if encoder is None:
        later = "The tokenizer is read when the run starts; only then are texts, time and memory known."
        return UnlearnCheck(
            forget_set=forget_set_words(spec),
            forget=0,
            holdout=0,
            retain={},
            trainings=trainings,
            unlearnings=unlearnings,
            training_seconds=math.nan,
            neighbours=spec.forget.neighbours,
            notes=[later],
            warnings=warnings,
        )
    data = unlearn_inputs(spec, records, encoder, facts.context)
    device = device_info(spec.device)
    rate = (rates or {}).get(device.kind, RATES[device.kind])
    training = 0.0 if spec.training is None else one_training_flop(spec.training, facts) / rate
    seconds = START_SECONDS + trainings * training + _removing_flop(spec, facts, data) / rate
    copies = max(UNLEARNING[method.name].copies for method in spec.methods)
    memory = copies * 4 * facts.parameters / 2**20 + 500.0
    if memory > USABLE * device.memory_mb:
        warnings.append(
            f"The run needs about {memory / 1024:.0f} GB of memory, and {device.name} has "
            f"{device.memory_mb / 1024:.0f} GB: let fewer parameters move, or take a smaller model."
        )
    models = 3 + (0 if spec.training is None else len(spec.seeds) + 2)
    return UnlearnCheck(
        forget_set=forget_set_words(spec),
        forget=len(data.forget) + spec.forget.neighbours,
        holdout=len(data.holdout),
        retain={name: len(blocks) for name, blocks in data.retain.items()},
        trainings=trainings,
        unlearnings=unlearnings,
        training_seconds=trainings * training,
        neighbours=spec.forget.neighbours,
        seconds=seconds,
        memory_mb=memory,
        disk_mb=10.0 + models * 4 * facts.parameters / 2**20,
        notes=cut_notes(records.prompts, {}, data.prompts, {}) + data.notes + _of_neighbours(spec),
        warnings=warnings,
    )


def _of_neighbours(spec: UnlearnSpec) -> list[str]:
    count = spec.forget.neighbours
    if not count:
        return []
    which = "text joins" if count == 1 else "texts join"
    return [f"{count:,} retained {which} the forget set: those nearest to it, which only the run can tell"]


def _removing_flop(spec: UnlearnSpec, facts: ModelInfo, data: UnlearnInputs) -> float:
    """Operations of all unlearnings with their looks, and of relearning: six a parameter and token, two to look."""
    size = _mean_size(data.forget), _mean_size(data.retain_texts or data.forget)
    looked = [blocks[: spec.eval_samples] for blocks in (data.forget, data.holdout, *data.retain.values())]
    tokens = sum(example.size for blocks in looked for example in blocks)
    tokens += sum(item.size for sides in data.prompts.values() for items in sides.values() for item in items)
    evaluation = 2.0 * facts.parameters * tokens
    texts = (data.forget, data.retain_texts)
    total = 0.0 if not spec.forget.neighbours else _reading(facts, texts)
    for method in spec.methods:
        total += len(spec.seeds) * _one_unlearning(spec, method, facts, size, evaluation, texts)
    total += spec.ensemble_size * _one_unlearning(spec, spec.method, facts, size, evaluation, texts)
    relearning = spec.relearn_steps * 16 * size[0] * 6.0 * facts.parameters
    return total + len(spec.seeds) * (len(spec.methods) + 1) * relearning


def _one_unlearning(
    spec: UnlearnSpec,
    method: UnlearningMethodSpec,
    facts: ModelInfo,
    size: tuple[float, float],
    evaluation: float,
    texts: tuple[list[Example], list[Example]],
) -> float:
    if method.name in ("retrain", "sisa"):
        assert spec.training is not None  # noqa: S101 - such a spec is refused
        return (2.0 if method.name == "sisa" else 0.0) * one_training_flop(spec.training, facts) + evaluation
    settings = settled(unlearning_config(method, facts.parameters), size[0])
    if isinstance(method, CurvatureSettings):
        steps = 6.0 * facts.parameters * _curved_tokens(settings, spec.stop.steps, texts)
    else:
        steps = spec.stop.steps * (settings.batch_size or 1) * (size[0] + size[1]) * 6.0 * facts.parameters
        steps += 0.0 if settings.compensate == "none" else _reading(facts, texts)
    return steps + (spec.stop.steps / spec.stop.eval_every + 4) * evaluation


def _reading(facts: ModelInfo, texts: tuple[list[Example], list[Example]]) -> float:
    """Of every text once, without gradients: what it takes to know which lie near each other."""
    return 2.0 * facts.parameters * sum(example.size for part in texts for example in part)


def _curved_tokens(settings: UnlearningConfig, steps: int, texts: tuple[list[Example], list[Example]]) -> float:
    """Tokens that go forward and back in the steps of K-FADE or of the rest flow, their curvature's included."""
    forget, retain = (sum(example.size for example in part) for part in texts)
    sample = settings.samples * MICRO_BATCH * _mean_size(texts[1])
    if not settings.flows:  # forward twice more, which is two thirds of forward and back, for how far the loss rose
        return min(steps, 2 * settings.steps) * (sample + 5 / 3 * forget)
    rest = min((settings.batch_size or 1) * _mean_size(texts[1]), retain / BATCHES)
    every = rest * (1 + forget / max(retain, 1))
    return sample + (forget + retain) + (POWER_STEPS + 1) * every + steps * (every + rest)


def _mean_size(examples: list[Example]) -> float:
    return sum(example.size for example in examples) / max(1, len(examples))
