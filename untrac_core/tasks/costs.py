"""What a run takes of a device: operations, time, memory and disk, told without torch from the sizes of things.

Memory is that of the largest moment: the weights as they are held, what the ascent keeps beside them, and one batch
on its way through the model. ``tests/tasks/test_costs.py`` holds it to the peaks of real runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from untrac_core.attribution.settings import (
    FLOW_HELD,
    FLOW_ROWS,
    AscentSettings,
    FlowSettings,
    LinearSettings,
    evaluation_steps,
    plan_steps,
    settings_priced,
)
from untrac_core.data.tokens import Example, Packed, batch_tokens
from untrac_core.hub.locate import ModelInfo
from untrac_core.models.devices import DeviceInfo, device_info
from untrac_core.specs import MethodSpec, TraceSpec, Trainable, Training, method_spec
from untrac_core.specs.catalogue import ATTRIBUTION, BUDGET_MB, LAST_SHARE, LONGEST, RANK
from untrac_core.specs.methods import ContinuationSettings
from untrac_core.tasks.workload import Workload, looked_at, reference_workload, workload_of
from untrac_core.training.batches import POWER_STEPS, batch_rule

START_SECONDS = 10.0
"""Of a job: interpreter, torch, transformers, model."""
RATES = {"cpu": 5e10, "cuda": 5e12}
"""Floating point operations a second assumed before a run on this machine has been measured."""
BASE_MB = {"cpu": 480.0, "cuda": 600.0}
"""Of torch and its libraries, before any model."""
USABLE = 0.9
"""Share of a device's memory that a run is let plan with."""
WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes a number."""
Settings = AscentSettings | LinearSettings | FlowSettings


@dataclass(frozen=True)
class Cost:
    """What a run will take; rough, within a factor of two or three until a run on the device has been measured.

    ``memory_mb`` is the device's, in 2^20 bytes.
    """

    flop: float
    seconds: float
    memory_mb: float
    disk_mb: float


@dataclass(frozen=True)
class Needs(Cost):
    """The cost of a request on a device, in the number format that it would have there."""

    device: str
    dtype: str
    fits: bool
    """Whether all of the device's memory would do; what else runs there now is not looked at."""


def needs(
    facts: ModelInfo,
    method: MethodSpec,
    dtype: str,
    device: DeviceInfo,
    *,
    rates: Mapping[str, float] | None = None,
    work: Workload | None = None,
) -> Needs:
    """What ``method`` takes on ``device``, for the :data:`REFERENCE` request unless ``work`` is given."""
    settings = settings_priced(method)
    work = work or reference_workload(method.name, min(facts.context or 1024, 1024))
    dtype = choose_dtype(dtype, facts, settings, work.block_size, device)
    found = cost(facts, settings, work, dtype, device.kind, rates)
    return Needs(
        found.flop, found.seconds, found.memory_mb, found.disk_mb, device.name, dtype,
        found.memory_mb <= USABLE * device.memory_mb,
    )  # fmt: skip


def choose_dtype(dtype: str, facts: ModelInfo, settings: Settings, block_size: int, device: DeviceInfo) -> str:
    """``auto`` is float32 where that fits all of the device's memory, else bfloat16; not what is free just now.

    So the same request on the same machine has the same number format each time, and a resumed run its finished cells.
    """
    if dtype != "auto":
        return dtype
    memory = memory_mb(facts, settings, reference_workload("untrac-inv", block_size), "float32", device.kind)
    return "float32" if memory <= USABLE * device.memory_mb else "bfloat16"


def cost_of(
    spec: TraceSpec,
    settings: Settings,
    facts: ModelInfo,
    prompts: Mapping[str, Mapping[str, Sequence[Example]]],
    subsets: Mapping[str, Packed],
    rates: Mapping[str, float] | None = None,
    device: DeviceInfo | None = None,
) -> Cost:
    """The cost of a spec whose data are encoded, on its own device."""
    device = device or device_info(spec.device)
    work = workload_of(spec, prompts, subsets)
    dtype = choose_dtype(spec.model.dtype, facts, settings, work.block_size, device)
    found = cost(facts, settings, work, dtype, device.kind, rates)
    more = work_flop(facts, spec, work) - found.flop
    rate = (rates or {}).get(device.kind, RATES[device.kind])
    disk = found.disk_mb + _texts_mb(spec, work)
    return replace(found, flop=found.flop + more, seconds=found.seconds + more / rate, disk_mb=disk)


def work_flop(facts: ModelInfo, spec: TraceSpec, work: Workload) -> float:
    """Operations of a run: of its method, of the close looks after it, and of the baselines beside it."""
    settings = settings_priced(spec.method)
    own = cost(facts, settings, work, "float32", "cpu").flop
    if isinstance(settings, LinearSettings):
        # Forward mode: the loss and its derivative, once along each side.
        own += 3 * len(work.unlearned_sets) * looked_at(spec, work).eval_sets.tokens * 2.0 * facts.parameters
    elif isinstance(settings, FlowSettings):
        own += 2.0 * facts.parameters * work.seeds * len(work.unlearned_sets) * looked_at(spec, work).eval_sets.tokens
    elif spec.method.unlearns:
        own += _ascents(facts, replace(settings, eval_points=1), looked_at(spec, work)).flop
    read = work.turned() if spec.method.name == "untrac" else work
    if not spec.method.unlearns:
        own = baseline_flop(spec.method, facts, read)
    return own + sum(baseline_flop(method_spec(name), facts, read) for name in spec.beside)


def _texts_mb(spec: TraceSpec, work: Workload) -> float:
    """Of the tables of single texts and of the close looks' cells."""
    if not spec.method.unlearns:
        return 0.0
    tokens, sides = looked_at(spec, work).eval_sets.tokens, len(work.unlearned_sets)
    texts = work.eval_sets.rows * 100 if spec.method.name == "untrac" else work.eval_sets.tokens * 2
    return sides * (tokens * (16 * work.seeds + 24) + texts) / 2**20


def baseline_flop(method: MethodSpec, facts: ModelInfo, work: Workload) -> float:
    """Operations of a method that unlearns nothing: prompt sets and training blocks are both passed through once.

    ``work``: with the training blocks watched.
    """
    if isinstance(method, ContinuationSettings):
        return _continuation_flop(method, facts, work)
    name = method.name
    tokens = work.eval_sets.tokens + sum(part.tokens for part in work.unlearned_sets)
    whole = 2.0 * facts.parameters
    sides = len(work.unlearned_sets) * work.seeds if name == "lissa" else 1
    row = ATTRIBUTION[name]
    products = row.products * sides * 256 * work.block_size * 4
    return whole * (row.passes * tokens + products)


def _continuation_flop(method: ContinuationSettings, facts: ModelInfo, work: Workload) -> float:
    """A training without each subset, and one with everything, for each seed; items are evaluated every ten steps."""
    trainings = (len(method.leave_out or work.watches) + 1) * work.seeds
    read = method.steps * sum(method.batch_size or batch_rule(part.rows) for part in work.watches) * work.block_size
    asked = method.steps / 10 * sum(part.tokens for part in work.unlearned_sets)
    return trainings * (read * _backward_flop(facts, method.trainable) + asked * 2.0 * facts.parameters)


def cost(
    facts: ModelInfo,
    settings: Settings,
    work: Workload,
    dtype: str,
    kind: str,
    rates: Mapping[str, float] | None = None,
) -> Cost:
    """Operations of all passes and of the curvature, at the device's rate; and the largest moment's memory."""
    found = _passes(facts, settings, work)
    flop = found.flop
    if not isinstance(settings, AscentSettings) or settings.optimizer == "kronecker":
        samples = settings.samples or 1
        backward = samples * 2 * work.block_size + sum(part.tokens for part in work.unlearned_sets)
        flop += backward * _backward_flop(facts, settings.effective_trainable)
        flop += _factor_flop(
            facts, moving_shapes(facts, settings.effective_trainable), samples + len(work.unlearned_sets), inverted=True
        )
    rate = (rates or {}).get(kind, RATES[kind] * (4 if kind == "cuda" and dtype != "float32" else 1))
    return Cost(
        flop=flop,
        seconds=START_SECONDS + flop / rate,
        memory_mb=memory_mb(facts, settings, work, dtype, kind),
        disk_mb=1.0 + found.points * work.eval_sets.rows * 24 / 2**20,
    )


@dataclass(frozen=True)
class _Ascents:
    """What all unlearnings of a run come to: operations, and evaluations that are kept."""

    flop: float
    points: int


def _passes(facts: ModelInfo, settings: Settings, work: Workload) -> _Ascents:
    if isinstance(settings, LinearSettings):
        return _products(facts, settings, work)
    if isinstance(settings, FlowSettings):
        return _flows(facts, settings, work)
    return _ascents(facts, settings, work)


def _flows(facts: ModelInfo, settings: FlowSettings, work: Workload) -> _Ascents:
    """A short training on the rest for every subset and seed, and one gradient of every subset's draw."""
    subsets, steps = len(work.unlearned_sets), settings.steps
    batch = drawn = 0.0
    for part in work.unlearned_sets:
        rows = max(1, math.ceil(part.rows * settings.subsample))
        drawn += part.tokens * rows / part.rows
        batch += part.tokens / part.rows * min(settings.batch_of(part.rows), rows)
    points, flows = len(evaluation_steps(steps, settings.eval_points)), len(settings.leave_out or work.unlearned_sets)
    # For every subset all but it, and all of them at the start.
    read = (flows * (subsets - 1) + subsets) / subsets * batch
    backward = work.seeds * (steps * read + drawn) + POWER_STEPS * batch
    asked = work.seeds * points * flows * work.eval_sets.tokens
    flop = backward * _backward_flop(facts, settings.effective_trainable) + asked * 2.0 * facts.parameters
    shapes = moving_shapes(facts, settings.effective_trainable)
    flop += _factor_flop(facts, shapes, work.seeds * steps * flows + POWER_STEPS, inverted=False)
    return _Ascents(flop, points * work.seeds * flows)


def _ascents(facts: ModelInfo, settings: AscentSettings, work: Workload) -> _Ascents:
    """Every set unlearned by every seed, with all that is watched evaluated; the curvature is not counted."""
    forward, backward, steps, points = float(work.eval_sets.tokens), 0.0, 0, 0
    directions = 2 if settings.two_sided else 1
    for part in work.unlearned_sets:
        drawn = max(1, math.ceil(part.rows * settings.share(part.rows)))
        tokens = part.tokens * drawn / part.rows
        planned = plan_steps(drawn, settings)
        batch = min(settings.batch_size or drawn, drawn)
        kept = len(evaluation_steps(planned, settings.eval_points)) * directions
        points += (kept + 1) * work.seeds
        steps += directions * planned * work.seeds
        forward += work.seeds * (kept * (work.eval_sets.tokens + tokens) + tokens)
        backward += work.seeds * directions * planned * tokens * batch / drawn
    flop = forward * 2 * facts.parameters + backward * _backward_flop(facts, settings.effective_trainable)
    if settings.optimizer == "kronecker":
        flop += _factor_flop(facts, moving_shapes(facts, settings.effective_trainable), steps, inverted=False)
    return _Ascents(flop, points)


def _products(facts: ModelInfo, settings: LinearSettings, work: Workload) -> _Ascents:
    """Every block's and item's own gradient, and a product of each with every direction; an item is read twice."""
    asked, read = work.unlearned_sets, work.watches
    tokens = work.eval_sets.tokens + 2 * sum(part.tokens for part in asked)
    shapes = moving_shapes(facts, settings.effective_trainable)
    moving = sum(rows * columns * count for rows, columns, count in shapes)
    directions = len(asked) * work.seeds
    pairs = work.eval_sets.rows * directions + sum(part.rows for part in asked) * len(read)
    flop = tokens * _backward_flop(facts, settings.effective_trainable) + 2.0 * pairs * moving
    flop += _factor_flop(facts, shapes, directions + len(read), inverted=False)
    return _Ascents(flop, directions)


def memory_mb(facts: ModelInfo, settings: Settings, work: Workload, dtype: str, kind: str) -> float:
    """The most memory of the device at once: estimating the curvature, or climbing, whichever is more."""
    shapes = moving_shapes(facts, settings.effective_trainable)
    own = (
        facts.parameters
        if settings.effective_trainable == "all"
        else sum(rows * columns * count for rows, columns, count in shapes)
    )
    trainable_count = float(own)
    adapter = trainable_count if settings.effective_trainable == "lora" else 0.0
    frozen = facts.parameters + adapter - trainable_count
    held = 4 * trainable_count + WIDTH[dtype] * frozen
    # Where matrix products are not float32, the moving weights are copied for them.
    held += 0 if dtype == "float32" else 2 * trainable_count
    gradients, saved = 4 * trainable_count, 4 * trainable_count
    batch = _batch_bytes(facts, work, settings.effective_trainable, dtype)
    if isinstance(settings, LinearSettings):
        directions = len(work.unlearned_sets) * work.seeds + len(work.watches)
        # The last two: what an example's own gradient takes, and the layers' inputs in the size of their products.
        saved = max(min(directions * gradients, BUDGET_MB * 2**20), gradients) + 2 * 4 * 2**24
    elif isinstance(settings, FlowSettings):
        rows = FLOW_ROWS * len(work.unlearned_sets) + FLOW_HELD
        saved = max(min(rows * gradients, BUDGET_MB * 2**20), (FLOW_ROWS + FLOW_HELD) * gradients) + gradients
    elif settings.optimizer != "kronecker":
        # Adam's two moments; on CUDA it also takes one step for all weights at once.
        state = {"adam": 12 if kind == "cuda" else 8}.get(settings.optimizer, 0) * trainable_count
        return BASE_MB[kind] + (held + saved + gradients + state + batch) / 2**20
    sides = [(side, count) for rows, columns, count in shapes for side in (rows, columns)]
    factors = 4.0 * sum(count * (side if _diagonal(side, facts) else side**2) for side, count in sides)
    largest = max((side for side, _ in sides if not _diagonal(side, facts)), default=0)
    sampling = held + gradients + factors + batch
    inverting = held + 2 * factors + 3 * 8 * largest**2
    climbing = held + saved + gradients + factors + batch + 8 * max(rows * columns for rows, columns, _ in shapes)
    return BASE_MB[kind] + max(sampling, inverting, climbing) / 2**20


def moving_shapes(facts: ModelInfo, trainable: Trainable) -> list[tuple[int, int, int]]:
    """(rows, columns, how many) of the matrices that move; the vocabulary's side comes first in its own."""
    shapes = [(rows, columns, count) for rows, columns, count in facts.matrices] or _usual_shapes(facts)
    layers = [shape for shape in shapes if shape[0] != facts.vocab_size]
    if trainable == "last_layers":
        blocks = max(1, (facts.num_layers or 1) // LAST_SHARE)
        return [(rows, columns, max(1, count * blocks // max(facts.num_layers, 1))) for rows, columns, count in layers]
    if trainable == "lora":
        rank = facts.adapter.rank if facts.adapter else RANK
        return [shape for rows, columns, count in layers for shape in ((rank, columns, count), (rows, rank, count))]
    return shapes


def _usual_shapes(facts: ModelInfo) -> list[tuple[int, int, int]]:
    """The matrices that a model of these sizes usually has, where its weights' headers are not known."""
    hidden, layers = max(facts.hidden_size, 1), max(facts.num_layers, 1)
    return [(facts.vocab_size, hidden, 1), (hidden, hidden, 4 * layers), (4 * hidden, hidden, 2 * layers)]


def _diagonal(side: int, facts: ModelInfo) -> bool:
    """Whether the factor of a matrix's side is a vector: the vocabulary's, and very long ones."""
    return side > LONGEST or side == facts.vocab_size


def _factor_flop(facts: ModelInfo, shapes: Sequence[tuple[int, int, int]], products: int, *, inverted: bool) -> float:
    """Both sides of every matrix multiplied ``products`` times and, if so, their factors inverted once."""
    total = 0.0
    for rows, columns, count in shapes:
        for side, other in ((rows, columns), (columns, rows)):
            if not _diagonal(side, facts):
                total += count * (products * 2.0 * side * side * other + (4.0 * side**3 if inverted else 0.0))
    return total


def _backward_flop(facts: ModelInfo, trainable: Trainable) -> float:
    """Operations a token of a forward and a backward pass: gradients reach no deeper than what moves."""
    whole = 2.0 * facts.parameters
    if trainable == "last_layers":
        return whole + 2 * whole / LAST_SHARE
    return 2 * whole if trainable == "lora" else 3 * whole


def _batch_bytes(facts: ModelInfo, work: Workload, trainable: Trainable, dtype: str) -> float:
    """One batch on its way: logits and their gradients, and what each layer keeps for the way back."""
    most = max(batch_tokens(facts.vocab_size), work.longest)
    back = min(most, max(2 * work.block_size, *(part.tokens for part in work.unlearned_sets)))
    inner = max((max(rows, columns) for rows, columns, _ in facts.matrices if rows != facts.vocab_size), default=0)
    hidden = max(facts.hidden_size, 1)
    layers = max(facts.num_layers, 1) / (LAST_SHARE if trainable == "last_layers" else 1)
    a_layer = (12 * hidden + 3 * max(inner, 4 * hidden)) * (4 if dtype == "float32" else 3)
    return max(
        back * (facts.vocab_size * 16.0 + layers * a_layer), min(most, work.eval_sets.tokens) * facts.vocab_size * 12
    )


def one_training_flop(training: Training, facts: ModelInfo) -> float:
    """Operations of one training: six a parameter and token."""
    return 6.0 * facts.parameters * training.steps * training.batch_size * training.block_size
