"""LoRA adapters in memory: put a stored one, or a fresh one, on a model, to be merged or to move.

Only peft's LoRA, from safetensors, and only by the settings named here: a stored config is read as data, so nothing
in it can name a library, a file or a hub id that would be used; :mod:`untrac_core.hub.adapter_files` says what is
refused.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from untrac_core.errors import InputError, reason_of
from untrac_core.hub import adapter_files
from untrac_core.specs.catalogue import RANK

SEED = 0
"""Of a fresh adapter's weights."""
PLAIN: dict[str, tuple[type, ...]] = {
    "r": (int,), "lora_alpha": (int, float), "target_modules": (str, list), "exclude_modules": (str, list),
    "lora_dropout": (int, float), "fan_in_fan_out": (bool,), "use_rslora": (bool,), "use_dora": (bool,),
    "bias": (str,), "lora_bias": (bool,), "modules_to_save": (list,), "rank_pattern": (dict,), "alpha_pattern": (dict,),
    "layers_to_transform": (int, list), "layers_pattern": (str, list),
}  # fmt: skip
"""The settings that are taken from a stored config, and their types."""
LONGEST_PATTERN = 2_000
CHOICES_MOST = 3
"""Repeats and choices that a pattern may have: the time to match grows with the name's length to this power."""


def add_adapter(module: nn.Module, folder: Path, name: str, *, seq2seq: bool, merge: bool) -> nn.Module:
    """The model with a stored adapter: merged into its weights, or beside them, ready to move.

    Raises :class:`InputError` where the adapter does not fit the model.
    """
    from safetensors.torch import load_file

    where = f"adapter {name!r}"
    config = _plain_settings(folder / adapter_files.CONFIG, where)
    try:
        adapted = _wrap(module, config, seq2seq=seq2seq)
        _fill(adapted, load_file(folder / adapter_files.WEIGHTS), where)
        if merge:
            _refuse_shared(adapted, where)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the adapter could not be put on the model ({reason_of(error)})",
            field=where,
            hint="use the model that it was made for",
        ) from error
    base: nn.Module = adapted.merge_and_unload() if merge else adapted.get_base_model()
    return base


def fresh_adapter(module: nn.Module, *, seq2seq: bool) -> nn.Module:
    """The model with a new adapter of rank :data:`RANK` on all linear layers but the head, the same every time.

    It changes nothing until it moves: one of its two factors is zero.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        settings = {"r": RANK, "lora_alpha": 2 * RANK, "target_modules": "all-linear"}
        base: nn.Module = _wrap(module, settings, seq2seq=seq2seq).get_base_model()
    return base


def _wrap(module: nn.Module, settings: dict[str, Any], *, seq2seq: bool) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(**settings, task_type="SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peft, on the layout of GPT-2's weights, which it handles
        return get_peft_model(module, config)


def _fill(adapted: Any, weights: dict[str, torch.Tensor], where: str) -> None:
    """Put the stored weights in; every one has its place, and every place of the adapter gets one."""
    from peft import set_peft_model_state_dict

    result: Any = set_peft_model_state_dict(adapted, weights)
    left = [key for key in result.missing_keys if ".lora_" in key or "modules_to_save" in key]
    stray = list(result.unexpected_keys)
    if left or stray:
        raise InputError(
            f"its weights do not fit its config: {(stray or left)[0][:100]!r} is {'left over' if stray else 'missing'}",
            field=where,
            hint="save the adapter again",
        )


def _refuse_shared(adapted: Any, where: str) -> None:
    """Refuse to merge into a tensor that another module uses too, as a tied head's: that one would change with it."""
    from peft.tuners.lora import LoraLayer

    uses = Counter(id(tensor) for _, tensor in adapted.named_parameters(remove_duplicate=False))
    for name, layer in adapted.named_modules():
        if isinstance(layer, LoraLayer) and uses[id(getattr(layer.get_base_layer(), "weight", None))] > 1:
            raise InputError(
                f"it changes {name.removeprefix('base_model.model.')[:80]!r}, whose weights the model also uses "
                "elsewhere, so it cannot be merged",
                field=where,
                hint="use trainable: lora",
            )


def _plain_settings(path: Path, where: str) -> dict[str, Any]:
    """The settings of a stored config that say what the adapter is; :class:`InputError` for a malformed one."""
    config = json.loads(path.read_text(encoding="utf-8"))
    settings: dict[str, Any] = {}
    for key, types in PLAIN.items():
        value = config.get(key)
        if value is None:
            continue
        if not isinstance(value, types):
            raise InputError(f"{path.name} has no usable {key!r}", field=where, hint="save the adapter again")
        settings[key] = value
    for pattern in _patterns(settings):
        try:
            re.compile(pattern)  # peft puts some in the middle of its own, where a half pattern would mean another
        except (re.error, OverflowError, RecursionError):
            raise InputError(f"{path.name} has no usable pattern", field=where, hint="list the modules") from None
        if len(pattern) > LONGEST_PATTERN or _is_slow(pattern):
            raise InputError(
                f"{path.name} has a pattern that could take for ever to match", field=where, hint="list the modules"
            )
    return settings


def _is_slow(pattern: str) -> bool:
    """Whether matching could take for ever: repeated groups, or many repeats and choices one after the other.

    Choices between plain names are not counted: few of them match at one place of a module's name.
    """
    if re.search(r"\)\s*[*+{]|\(\?[aiLmsux-]", pattern):  # flags could hide a repeat behind a comment
        return True
    text = re.sub(r"\\([.-])", "_", pattern)
    text = re.sub(r"\\.|\[\^?\]?[^\]]*\]", ".", text, flags=re.DOTALL)
    names = re.compile(r"\((\?:)?[\w-]*(\|[\w-]*)*\)")
    while (shorter := names.sub("_", text)) != text:
        text = shorter
    return len(re.findall(r"[*+{|]|(?<![(*+?}])\?", text)) > CHOICES_MOST


def _patterns(settings: dict[str, Any]) -> list[str]:
    """What peft will use as a regular expression."""
    found = [settings[key] for key in ("target_modules", "exclude_modules") if isinstance(settings.get(key), str)]
    for key in ("rank_pattern", "alpha_pattern", "modules_to_save"):
        found += [str(name) for name in settings.get(key, ())]
    layers = settings.get("layers_pattern", [])
    return found + ([layers] if isinstance(layers, str) else [str(layer) for layer in layers])
