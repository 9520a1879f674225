"""A trace's data and model made ready to be asked: what a trace and a verification of its texts both begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from untrac_core.attribution.settings import settings_priced, trainable_of
from untrac_core.data.balancing import amounts
from untrac_core.hub.locate import fetch_adapter, fetch_model, inspect_model
from untrac_core.models.devices import device_info, torch_threads
from untrac_core.progress import Progress
from untrac_core.results.environment import data_digests, environment
from untrac_core.specs import ModelRef, TraceSpec
from untrac_core.tasks.costs import choose_dtype
from untrac_core.tasks.prepare import context_and_block, encode, load_records

if TYPE_CHECKING:  # torch is loaded when a study is opened, not before
    from untrac_core.attribution.base import AttributionContext


def build_context(
    spec: TraceSpec, progress: Progress, threads: int | None = None, cache: Path | None = None
) -> AttributionContext:
    """Read the data of an expanded spec, load its model, and encode the one for the other.

    ``threads`` sets torch's threads; ``cache``: a folder for what is slow to compute and may be needed again. Raises
    :class:`InputError` where the spec cannot be run.
    """
    from untrac_core.attribution.base import AttributionContext, ModelIdentity
    from untrac_core.models.loading import choose_device, load_model, settle_torch

    settle_torch(threads)
    progress.phase("reading prompt sets and training subsets")
    prompt_data, subset_data = load_records(spec, progress)
    progress.phase(f"loading the model {spec.model.path}")
    device = choose_device(spec.device)
    trainable_parameters = trainable_of(spec.method)
    model = load_model(with_precision(spec, progress), device, trainable_parameters, progress)
    context, block_size = context_and_block(spec, model.facts)
    prompts, subsets = encode(model.encoder, prompt_data, subset_data, context, block_size, spec.weighting)
    return AttributionContext(
        ModelIdentity(model.digest, device.type, str(model.dtype), trainable_parameters),
        lambda: model,
        prompt_data,
        prompts,
        subset_data,
        subsets,
        spec.seeds,
        progress,
        sizes=amounts(subset_data) if spec.weighting == "proportional" else None,
        cache=cache,
    )


def with_precision(spec: TraceSpec, progress: Progress | None = None) -> ModelRef:
    """The spec's model with ``auto`` made a number format: by the memory of its device, and the same each time."""
    ref = spec.model
    if ref.dtype != "auto":
        return ref
    folder, adapter = fetch_model(ref, progress), fetch_adapter(ref, progress)
    facts = inspect_model(folder, ref.path, adapter=adapter, adapter_name=ref.adapter)
    _, block_size = context_and_block(spec, facts)
    dtype = choose_dtype("auto", facts, settings_priced(spec.method), block_size, device_info(spec.device))
    return ref.model_copy(update={"dtype": dtype})


def context_environment(spec: TraceSpec, study: AttributionContext) -> dict[str, Any]:
    """What ``environment.json`` says: versions, device, threads, the model's and the data's hashes."""
    return environment() | {
        "device": str(study.model.device),
        "threads": torch_threads(),
        "model": {
            "name": spec.model.path,
            "architecture": study.model.facts.architecture,
            "parameters": study.model.facts.parameters,
            "sha256": study.model.digest,
            "adapter": spec.model.adapter,
            "dtype": str(study.model.dtype).removeprefix("torch."),
            "trainable": study.identity.trainable,
        },
        "data": data_digests(study.prompt_data, study.subset_data),
    }
