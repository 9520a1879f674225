"""The check of a verification before it runs, without torch: its texts, its controls, what it costs.

An verification unlearns single training texts, each of them alone, and watches one prompt set. The controls are drawn
from the subsets of the chosen texts, in the same proportions, so that a subset's own influence does not pass for a
text's.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np

from untrac_core.attribution.settings import AscentSettings, ascent_settings, settings_priced
from untrac_core.data.tokens import Example, Packed, distinct_ids, read_tokenizer
from untrac_core.errors import InputError
from untrac_core.hub.locate import ModelInfo, fetch_tokenizer, model_info
from untrac_core.models.devices import DeviceInfo, device_info
from untrac_core.specs import MethodSpec, TraceSpec, VerifySpec, method_spec
from untrac_core.tasks.base import Check
from untrac_core.tasks.costs import USABLE, Cost, choose_dtype, cost
from untrac_core.tasks.prepare import context_and_block, encode, load_records
from untrac_core.tasks.workload import Load, Workload

CONTROL_SEED = 20240818
"""Of the controls: the same ones each time."""
ID_SHOWN = 80
Role = Literal["chosen", "control"]


@dataclass(frozen=True)
class VerifiedExample:
    """A training text that is unlearned alone."""

    subset: str
    id: str
    role: Role
    block: Example


@dataclass(frozen=True)
class VerifyCheck(Check):
    """An verification that can run, and what running it means; time and memory as those of a trace are (rough)."""

    texts: int
    controls: int


SMALL_STEPS = {"optimizer": "kronecker", "steps": 2, "two_sided": True, "max_loss_increase": 0.5, "dropout": False}
"""To both sides along the natural gradient, so that even orders of the step cancel."""


def verified_method(method: MethodSpec) -> MethodSpec:
    """How texts of a trace are unlearned: as its method does, else by a small step along the natural gradient.

    It keeps the curvature of the trace's method: UnTrac-Inv's product is the limit of just these steps.
    """
    if method.takes_steps:
        return method
    names = ("trainable", "samples", "damping") if method.unlearns else ("trainable",)
    given = {"trainable": "matrices"} | {name: getattr(method, name) for name in names if getattr(method, name, None)}
    return method_spec("untrac", preset="paper", **SMALL_STEPS, **given)


def verified_trace(spec: VerifySpec) -> TraceSpec:
    """The trace as the verification needs it: by a method that unlearns, with the one prompt set, on its own device."""
    prompts = [prompts for prompts in spec.trace.prompts if prompts.name == spec.prompt_set]
    method = verified_method(spec.trace.method)
    return spec.trace.model_copy(update={"method": method, "prompts": prompts, "device": spec.device})


def alone_settings(method: MethodSpec) -> AscentSettings:
    """The method's settings for a set of one text: no seed can draw a share of it, and only its end is looked at.

    A text that makes the model collapse has no numbers, whatever the method, so that the ascent may end there.
    """
    settings = ascent_settings(method)
    return replace(settings, subsample=1.0, sequences=None, past_collapse=False, eval_points=1)


def texts_of(spec: VerifySpec, subsets: Mapping[str, Packed]) -> list[VerifiedExample]:
    """The texts that are unlearned: the chosen ones in the order of the spec, then the controls by subset.

    Raises:
        InputError: where a subset or an id is not there.
    """
    ids: dict[str, list[str]] = {}
    chosen = []
    for text in spec.texts:
        if text.subset not in subsets:
            raise InputError(f"there is no subset {text.subset!r}", field="texts", hint="name one of the trace's")
        known = ids.setdefault(text.subset, distinct_ids(subsets[text.subset].blocks))
        if text.id not in known:
            raise InputError(
                f"there is no text {text.id[:ID_SHOWN]!r} in subset {text.subset!r}",
                field="texts",
                hint="take its id from the table examples.parquet of the same trace",
            )
        block_size = subsets[text.subset].blocks[known.index(text.id)]
        chosen.append(VerifiedExample(text.subset, text.id, "chosen", block_size))
    return chosen + _controls(chosen, spec.controls, subsets, ids)


def _controls(
    chosen: Sequence[VerifiedExample], count: int, subsets: Mapping[str, Packed], ids: Mapping[str, Sequence[str]]
) -> list[VerifiedExample]:
    """Texts at random, from each subset in proportion to its chosen ones; none with the same tokens as one of these."""
    homes = sorted(text.subset for text in chosen)
    wanted = Counter(homes[int((i + 0.5) * len(homes) / count)] for i in range(count))
    taken = {_content(text.block) for text in chosen}
    found = []
    for subset, number in sorted(wanted.items()):
        blocks = subsets[subset].blocks
        order = np.random.default_rng([CONTROL_SEED, zlib.crc32(subset.encode())]).permutation(len(blocks))
        free = (i for i in order.tolist() if _content(blocks[i]) not in taken)
        found += [VerifiedExample(subset, ids[subset][i], "control", blocks[i]) for i in islice(free, number)]
    return found


def _content(block: Example) -> tuple[bytes, bytes]:
    return block.ids.tobytes(), b"" if block.source is None else block.source.tobytes()


def check_verify(spec: VerifySpec, *, rates: Mapping[str, float] | None = None) -> VerifyCheck:
    """Read all data, the model's config and tokenizer; raises :class:`InputError` for what cannot run.

    ``rates``: floating point operations a second by device, as measured. Where only transformers can read the
    tokenizer, the texts' ids are looked up when the run starts.
    """
    settings_priced(spec.trace.method)  # refuses settings that do not go together
    trace = verified_trace(spec)
    settings = alone_settings(trace.method)
    prompt_data, subset_data = load_records(trace)
    facts, device = model_info(trace.model), device_info(spec.device)
    encoder = read_tokenizer(fetch_tokenizer(trace.model))
    if encoder is None:
        later = "The tokenizer is read when the run starts; only then is it known whether the texts are there."
        return VerifyCheck(texts=len(spec.texts), controls=spec.controls, notes=[later])
    context, block_size = context_and_block(trace, facts)
    prompts, subsets = encode(encoder, prompt_data, subset_data, context, block_size, trace.weighting)
    texts = texts_of(spec, subsets)
    sides = [Load(len(items), sum(item.size for item in items)) for items in prompts[spec.prompt_set].values()]
    work = Workload(
        unlearned_sets=[Load(1, text.block.size) for text in texts],
        watches=sides,
        block_size=max(text.block.size for text in texts),
        longest=max(item.size for items in prompts[spec.prompt_set].values() for item in items),
        seeds=1,
    )
    found = price(facts, trace, work, device, rates)
    warnings = few_controls(spec, texts)
    if found.memory_mb > USABLE * device.memory_mb:
        warnings.append(
            f"The run needs about {found.memory_mb / 1024:.0f} GB of memory, and {device.name} has "
            f"{device.memory_mb / 1024:.0f} GB."
        )
    controls = len(texts) - len(spec.texts)
    told = warnings + settings.notes
    return VerifyCheck(
        texts=len(spec.texts), controls=controls, seconds=found.seconds, memory_mb=found.memory_mb,
        disk_mb=found.disk_mb, notes=told,
    )  # fmt: skip


def price(
    facts: ModelInfo,
    trace: TraceSpec,
    work: Workload,
    device: DeviceInfo,
    rates: Mapping[str, float] | None = None,
) -> Cost:
    """What a verification of a trace takes; ``work``: each text a set of its own, the prompt set's sides watched."""
    method = verified_method(trace.method)
    dtype = choose_dtype(trace.model.dtype, facts, settings_priced(method), work.block_size, device)
    return cost(facts, alone_settings(method), work, dtype, device.kind, rates)


def few_controls(spec: VerifySpec, texts: Sequence[VerifiedExample]) -> list[str]:
    """A warning where the subsets have fewer other texts than controls were asked for, or too few were."""
    found = sum(text.role == "control" for text in texts)
    if found < spec.controls:
        return [f"The subsets of the chosen texts have only {found} other texts: there are no more controls."]
    if found < 2:
        return ["With fewer than two controls it cannot be told whether the chosen texts stand out."]
    return []
