"""A trace's data and model made ready to be asked: what a trace and an examination of its texts both begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from untrac_core.check import context_and_block, encode, load_records
from untrac_core.costs import choose_precision
from untrac_core.data.sizes import amounts
from untrac_core.devices import device_facts
from untrac_core.environment import data_digests, environment
from untrac_core.model_files import fetch_adapter, fetch_model, inspect_model
from untrac_core.progress import Progress
from untrac_core.settings import moving_of, settings_priced
from untrac_core.specs import ModelRef, TraceSpec

if TYPE_CHECKING:  # torch is loaded when a study is opened, not before
    from untrac_core.attribution import Study


def open_study(spec: TraceSpec, progress: Progress, threads: int | None = None, cache: Path | None = None) -> Study:
    """Read the data of an expanded spec, load its model, and encode the one for the other.

    ``threads`` sets torch's threads; ``cache``: a folder for what is slow to compute and may be needed again. Raises
    :class:`InputError` where the spec cannot be run.
    """
    from untrac_core.attribution import Identity, Study
    from untrac_core.models import choose_device, load_model, settle_torch

    settle_torch(threads)
    progress.phase("reading prompt sets and training subsets")
    prompt_data, subset_data = load_records(spec, progress)
    progress.phase(f"loading the model {spec.model.path}")
    device = choose_device(spec.device)
    moving = moving_of(spec.method)
    model = load_model(with_precision(spec, progress), device, moving, progress)
    context, block = context_and_block(spec, model.facts)
    prompts, subsets = encode(model.encoder, prompt_data, subset_data, context, block, spec.sizes)
    return Study(
        Identity(model.digest, device.type, str(model.precision), moving),
        lambda: model,
        prompt_data,
        prompts,
        subset_data,
        subsets,
        spec.seeds,
        progress,
        sizes=amounts(subset_data) if spec.sizes == "proportional" else None,
        cache=cache,
    )


def with_precision(spec: TraceSpec, progress: Progress | None = None) -> ModelRef:
    """The spec's model with ``auto`` made a precision: by the memory of its device, and the same each time."""
    ref = spec.model
    if ref.precision != "auto":
        return ref
    folder, adapter = fetch_model(ref, progress), fetch_adapter(ref, progress)
    facts = inspect_model(folder, ref.path, adapter=adapter, adapter_name=ref.adapter)
    _, block = context_and_block(spec, facts)
    precision = choose_precision("auto", facts, settings_priced(spec.method), block, device_facts(spec.device))
    return ref.model_copy(update={"precision": precision})


def study_environment(spec: TraceSpec, study: Study) -> dict[str, Any]:
    """What ``environment.json`` says: versions, device, threads, the model's and the data's hashes."""
    import torch

    return environment() | {
        "device": str(study.model.device),
        "threads": torch.get_num_threads(),
        "model": {
            "name": spec.model.path,
            "architecture": study.model.facts.architecture,
            "parameters": study.model.facts.parameters,
            "sha256": study.model.digest,
            "adapter": spec.model.adapter,
            "precision": str(study.model.precision).removeprefix("torch."),
            "moves": study.identity.moves,
        },
        "data": data_digests(study.prompt_data, study.subset_data),
    }
