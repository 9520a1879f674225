"""A LoRA adapter's files, read without torch: what it changes, whether it fits its model and is safe to load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError
from untrac_core.hub.weights import Tensors, choose_weights

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
RANK_MOST = 4096
# Settings with which an adapter would import a library, compute from data or files while it loads, or grow the model.
REFUSED = (
    "megatron_config", "layer_replication", "use_qalora", "arrow_config", "corda_config", "eva_config",
    "lora_ga_config", "velora_config", "monteclora_config", "kasa_config", "use_bdlora", "alora_invocation_tokens",
    "auto_map", "loftq_config",
)  # fmt: skip
STARTS = (True, False, None, "gaussian", "orthogonal")
"""Ways of ``init_lora_weights`` that need no data and leave the model's own weights as they are."""
MOVED_BASE = ("pissa", "olora")
"""Beginnings of those that change the model's weights as well: on the untouched model such an adapter is wrong."""
ALPHA_MOST = 1e6


@dataclass(frozen=True)
class AdapterInfo:
    """What an adapter's files say before any weight is read; ``targets`` are the ends of the modules' names."""

    name: str
    folder: Path | None
    rank: int
    alpha: float
    targets: list[str]
    parameters: int
    weight_bytes: int
    base: str | None
    """The model that it says it was made for."""
    licence: str | None


def describe_adapter(
    name: str,
    config: dict[str, Any],
    tensors: Tensors,
    base: Tensors,
    *,
    folder: Path | None,
    weight_bytes: int,
    licence: str | None,
) -> AdapterInfo:
    """Check an adapter against the tensors of its model; :class:`InputError` for what must not or cannot be loaded."""
    where = f"adapter {name!r}"
    _refuse(config, where)
    rank, alpha = config.get("r", 0), config.get("lora_alpha", 8)
    stated = _numbers(config, rank, alpha, where)
    modules = {}
    for key, tensor in tensors.items():
        if ".lora_A." in key and len(tensor.shape) == 2:
            other = tensors.get(key.replace(".lora_A.", ".lora_B."))
            if other is None or len(other.shape) != 2 or other.shape[1] != tensor.shape[0]:
                raise InputError("its two halves do not fit each other", field=where, hint="save the adapter again")
            modules[key.removeprefix("base_model.model.").split(".lora_A.")[0]] = (tensor.shape, other.shape)
    if not modules:
        raise InputError("it has no LoRA weights", field=where, hint="name a LoRA adapter saved by peft")
    ranks = {down[0] for down, _ in modules.values()}
    if not ranks <= stated:
        raise InputError("its weights do not have the rank it states", field=where, hint="save the adapter again")
    _fit(modules, base, where)
    return AdapterInfo(
        name=name,
        folder=folder,
        rank=int(rank),
        alpha=float(alpha),
        targets=sorted({module.rsplit(".", 1)[-1] for module in modules}),
        parameters=sum(tensor.size for tensor in tensors.values()),
        weight_bytes=weight_bytes,
        base=str(config["base_model_name_or_path"])[:200] if config.get("base_model_name_or_path") else None,
        licence=licence,
    )


def _numbers(config: dict[str, Any], rank: Any, alpha: Any, where: str) -> set[int]:
    """All ranks that a config states; :class:`InputError` where a rank or an alpha is no number within bounds."""
    patterns = {}
    for key in ("rank_pattern", "alpha_pattern"):
        patterns[key] = {} if config.get(key) is None else config[key]
        if not isinstance(patterns[key], dict):
            raise InputError(f"{CONFIG} has no usable {key!r}", field=where, hint="save the adapter again")
    for value in (rank, *patterns["rank_pattern"].values()):
        if type(value) is not int or not 1 <= value <= RANK_MOST:
            raise InputError(
                f"its rank is not a number from 1 to {RANK_MOST}", field=where, hint="save the adapter again"
            )
    for value in (alpha, *patterns["alpha_pattern"].values()):
        if type(value) not in (int, float) or not abs(value) <= ALPHA_MOST:  # so for NaN
            raise InputError(
                f"its alpha is not a number up to {ALPHA_MOST:,.0f}", field=where, hint="save the adapter again"
            )
    return {rank, *patterns["rank_pattern"].values()}


def _refuse(config: dict[str, Any], where: str) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise InputError(f"it is a {str(kind)[:40]!r} adapter, not LoRA", field=where, hint="use a LoRA adapter")
    refused = next((key for key in REFUSED if config.get(key)), None)
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(MOVED_BASE):
        raise InputError(
            f"it was made with init_lora_weights={start[:40]!r}, which also changed the model's own weights",
            field=where,
            hint="convert it to plain LoRA: save_pretrained(..., path_initial_model_for_weight_conversion=...)",
        )
    if refused is None and start not in STARTS:
        refused = "init_lora_weights"
    if refused:
        raise InputError(f"{CONFIG} sets {refused!r}, which this program does not load", field=where, hint="use LoRA")


def _fit(modules: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]], base: Tensors, where: str) -> None:
    """Every adapted module is in the model and has the adapter's sizes; names may differ in what they begin with."""
    ends: dict[str, list[tuple[int, ...]]] = {}
    for key, tensor in base.items():
        if key.endswith(".weight") and len(tensor.shape) == 2:
            parts = key.removesuffix(".weight").split(".")
            for start in range(len(parts)):
                ends.setdefault(".".join(parts[start:]), []).append(tensor.shape)
    for module, (down, up) in modules.items():
        parts = module.split(".")
        shapes = next((ends[end] for start in range(len(parts)) if (end := ".".join(parts[start:])) in ends), None)
        # The embedding that an untied head shares may be stored once: then there is nothing to compare with.
        if shapes is None and parts[-1] in ("lm_head", "embed_out", "embed_tokens"):
            continue
        if shapes is None:
            raise InputError(
                f"the model has no module {module[:80]!r}", field=where, hint="use the model that it was made for"
            )
        sizes = {down[1], up[0]}
        if not any(sizes == set(shape) for shape in shapes):
            raise InputError(
                f"it does not fit the model: {module[:80]!r} is {' x '.join(map(str, shapes[0]))} there and "
                f"{up[0]} x {down[1]} here",
                field=where,
                hint="use the model that it was made for",
            )


def choose_adapter(names: set[str], where: str) -> None:
    """Refuse a folder or repository that is no LoRA adapter in safetensors."""
    if CONFIG not in names:
        raise InputError(f"there is no {CONFIG}", field=where, hint="name a folder that peft's save_pretrained wrote")
    if WEIGHTS not in names:
        choose_weights([name for name in names if name.endswith((".bin", ".pt", ".pth"))], None, where)
