"""An examination looked over before it runs, without torch: are its texts there, which are the controls, what it costs.

An examination unlearns single training texts, each of them alone, and watches one prompt set. The controls are drawn
from the subsets of the chosen texts, in the same proportions, so that a subset's own influence does not pass for a
text's.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np

from untrac_core.check import context_and_block, encode, load_records
from untrac_core.costs import USABLE, Cost, Load, Workload, choose_precision, cost
from untrac_core.data.expansion import expand
from untrac_core.data.text_ids import distinct_ids
from untrac_core.data.tokens import Example, Packed, read_tokenizer
from untrac_core.devices import DeviceFacts, device_facts
from untrac_core.errors import InputError
from untrac_core.model_files import ModelFacts, fetch_tokenizer, inspect_ref
from untrac_core.settings import AscentSettings, ascent_settings, settings_priced
from untrac_core.specs import ExamineSpec, MethodSpec, TraceSpec

CONTROL_SEED = 20240818
"""Of the controls: the same ones each time."""
ID_SHOWN = 80
Role = Literal["chosen", "control"]


@dataclass(frozen=True)
class Examined:
    """A training text that is unlearned alone."""

    subset: str
    id: str
    role: Role
    block: Example


@dataclass(frozen=True)
class ExamineCheck:
    """An examination that can run, and what running it means; time and memory as those of a trace are (rough)."""

    texts: int
    controls: int
    seconds: float
    memory_mb: float
    disk_mb: float
    notes: list[str]


def examined_method(method: MethodSpec) -> MethodSpec:
    """How texts of a trace are unlearned: as its method does, else, for one that does not unlearn, as UnTrac does."""
    return method if method.unlearns else MethodSpec(name="untrac", moves=method.moves)


def examined_trace(spec: ExamineSpec) -> TraceSpec:
    """The trace as the examination needs it: by a method that unlearns, with the one prompt set, on its own device."""
    prompts = [prompts for prompts in spec.trace.prompts if prompts.name == spec.prompt_set]
    method = examined_method(spec.trace.method)
    return spec.trace.model_copy(update={"method": method, "prompts": prompts, "device": spec.device})


def alone_settings(method: MethodSpec) -> AscentSettings:
    """The method's settings for a set of one text: no seed can draw a share of it, and only its end is looked at."""
    return replace(ascent_settings(method), share=1.0, evaluations=1)


def texts_of(spec: ExamineSpec, subsets: Mapping[str, Packed]) -> list[Examined]:
    """The texts that are unlearned: the chosen ones in the order of the spec, then the controls by subset.

    Raises:
        InputError: where a subset or an id is not there.
    """
    ids: dict[str, list[str]] = {}
    chosen = []
    for text in spec.texts:
        if text.subset not in subsets:
            raise InputError(f"there is no subset {text.subset!r}", where="texts", mend="name one of the trace's")
        known = ids.setdefault(text.subset, distinct_ids(subsets[text.subset].blocks))
        if text.id not in known:
            raise InputError(
                f"there is no text {text.id[:ID_SHOWN]!r} in subset {text.subset!r}",
                where="texts",
                mend="take its id from the table examples.parquet of the same trace",
            )
        block = subsets[text.subset].blocks[known.index(text.id)]
        chosen.append(Examined(text.subset, text.id, "chosen", block))
    return chosen + _controls(chosen, spec.controls, subsets, ids)


def _controls(
    chosen: Sequence[Examined], count: int, subsets: Mapping[str, Packed], ids: Mapping[str, Sequence[str]]
) -> list[Examined]:
    """Texts at random, from each subset in proportion to its chosen ones; none with the same tokens as one of these."""
    homes = sorted(text.subset for text in chosen)
    wanted = Counter(homes[int((i + 0.5) * len(homes) / count)] for i in range(count))
    taken = {_content(text.block) for text in chosen}
    found = []
    for subset, number in sorted(wanted.items()):
        blocks = subsets[subset].blocks
        order = np.random.default_rng([CONTROL_SEED, zlib.crc32(subset.encode())]).permutation(len(blocks))
        free = (i for i in order.tolist() if _content(blocks[i]) not in taken)
        found += [Examined(subset, ids[subset][i], "control", blocks[i]) for i in islice(free, number)]
    return found


def _content(block: Example) -> tuple[bytes, bytes]:
    return block.ids.tobytes(), b"" if block.source is None else block.source.tobytes()


def check_examination(spec: ExamineSpec, *, rates: Mapping[str, float] | None = None) -> ExamineCheck:
    """Read all data, the model's config and tokenizer; raises :class:`InputError` for what cannot run.

    ``rates``: floating point operations a second by device, as measured. Where only transformers can read the
    tokenizer, the texts' ids are looked up when the run starts.
    """
    spec = expand(spec)
    trace = examined_trace(spec)
    settings = alone_settings(trace.method)
    prompt_data, subset_data = load_records(trace)
    facts, device = inspect_ref(trace.model), device_facts(spec.device)
    encoder = read_tokenizer(fetch_tokenizer(trace.model))
    if encoder is None:
        later = "The tokenizer is read when the run starts; only then is it known whether the texts are there."
        return ExamineCheck(len(spec.texts), spec.controls, math.nan, math.nan, math.nan, [later])
    context, block = context_and_block(trace, facts)
    prompts, subsets = encode(encoder, prompt_data, subset_data, context, block, trace.sizes)
    texts = texts_of(spec, subsets)
    sides = [Load(len(items), sum(item.size for item in items)) for items in prompts[spec.prompt_set].values()]
    work = Workload(
        unlearned=[Load(1, text.block.size) for text in texts],
        watches=sides,
        block=max(text.block.size for text in texts),
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
    return ExamineCheck(len(spec.texts), controls, found.seconds, found.memory_mb, found.disk_mb, told)


def price(
    facts: ModelFacts,
    trace: TraceSpec,
    work: Workload,
    device: DeviceFacts,
    rates: Mapping[str, float] | None = None,
) -> Cost:
    """What an examination of a trace takes; ``work``: each text a set of its own, the prompt set's sides watched."""
    method = examined_method(trace.method)
    precision = choose_precision(trace.model.precision, facts, settings_priced(method), work.block, device)
    return cost(facts, alone_settings(method), work, precision, device.kind, rates)


def few_controls(spec: ExamineSpec, texts: Sequence[Examined]) -> list[str]:
    """A warning where the subsets have fewer other texts than controls were asked for, or too few were."""
    found = sum(text.role == "control" for text in texts)
    if found < spec.controls:
        return [f"The subsets of the chosen texts have only {found} other texts: there are no more controls."]
    if found < 2:
        return ["With fewer than two controls it cannot be told whether the chosen texts stand out."]
    return []
