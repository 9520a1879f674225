"""What a model's config, headers and card say of it, wherever they came from, and whether it may be loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from untrac_core.errors import InputError
from untrac_core.hub.adapter_files import CONFIG as ADAPTER_CONFIG
from untrac_core.hub.adapter_files import AdapterInfo
from untrac_core.hub.cards import parsed
from untrac_core.hub.config_json import MEND
from untrac_core.hub.weights import (
    Tensors,
    implied_parameters,
    main_dtype,
    matrix_counts,
    read_shape,
    read_tensors,
    stored_layers,
)

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
# Keys with which a config can make a loader run or fetch something else than the weights beside it.
REFUSED_KEYS = ("auto_map", "quantization_config")
NOT_LANGUAGE = (
    "ForMaskedLM",
    "Classification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForNextSentencePrediction",
)
PARAMETERS_APART = 3
"""How many times more or fewer parameters the weights may hold than the config implies."""
Kind = Literal["causal", "seq2seq", "classifier"]


@dataclass(frozen=True)
class ModelInfo:
    """What the files say of a model before any weight is read."""

    name: str
    folder: Path | None
    """``None``: it is on the hub, and not here."""
    architecture: str
    parameters: int
    weight_bytes: int
    context: int | None
    vocab_size: int
    hidden_size: int
    kind: Kind = "causal"
    dtype: str = "float32"
    """That most weights are stored in: ``float32``, ``bfloat16``, ``float16`` ..."""
    num_layers: int = 0
    """Transformer blocks, of encoder and decoder together; 0 where the files do not say."""
    tokenizer: str = ""
    """The class of its tokenizer."""
    licence: str | None = None
    """As the model card says it."""
    revision: str | None = None
    """The commit, of a model on the hub."""
    adapter: AdapterInfo | None = None
    matrices: tuple[tuple[int, int, int], ...] = ()
    """(rows, columns, how many) of the weights' matrices: for the memory that a method needs."""


def describe_model(
    name: str,
    config: dict[str, Any],
    tensors: Tensors,
    *,
    files: set[str],
    weight_bytes: int,
    tokenizer: dict[str, Any] | None,
    card: str,
    classifier: bool = False,
) -> ModelInfo:
    """Facts from a checked config, the weights' headers and the names of the files, here or on the hub."""
    where = f"model {name!r}"
    if ADAPTER_CONFIG in files:  # transformers would put that adapter on the model, unasked and unchecked
        raise InputError(
            f"there is an {ADAPTER_CONFIG} beside config.json",
            field=where,
            hint="keep the two apart: name the adapter as adapter, and the plain model as path",
        )
    if not any(file in files for file in TOKENIZER_FILES):
        raise InputError("the folder has no tokenizer", field=where, hint="save the tokenizer beside the weights")
    # Models that also see or hear keep the numbers of their language part one level down.
    language = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    architecture = str(([*_list(config.get("architectures")), config.get("model_type", "unknown")])[0])[:80]
    kind = _kind(architecture, config, where, classifier=classifier)
    try:
        shape = read_shape(language)
    except ValueError as error:
        raise InputError(
            f"its files do not say what the model is ({error} in config.json)", field=where, hint=MEND
        ) from None
    parameters = sum(tensor.size for tensor in tensors.values())
    if shape.vocab_size < 2:
        raise InputError("config.json names no vocabulary size", field=where, hint="use a plain language model")
    _agree(implied_parameters(shape), parameters, where)
    return ModelInfo(
        name=name,
        folder=None,
        architecture=architecture,
        parameters=parameters,
        weight_bytes=weight_bytes,
        context=shape.context,
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        kind=kind,
        dtype=main_dtype(tensors),
        num_layers=shape.num_layers or stored_layers(tensors),
        matrices=matrix_counts(tensors),
        tokenizer=str((tokenizer or {}).get("tokenizer_class") or "")[:80],
        licence=licence_of(card),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _kind(architecture: str, config: dict[str, Any], where: str, *, classifier: bool) -> Kind:
    if classifier:
        if not architecture.endswith("ForSequenceClassification"):
            raise InputError(f"{architecture} is not a sequence classifier", field=where, hint="name one, or a lexicon")
        return "classifier"
    if any(part in architecture for part in NOT_LANGUAGE):
        raise InputError(
            f"{architecture} does not write text", field=where, hint="name a causal or seq2seq language model"
        )
    return "seq2seq" if config.get("is_encoder_decoder") is True else "causal"


def _agree(implied: tuple[int, int] | None, stored: int, where: str) -> None:
    """Refuse a config that would make a loader build a far larger, or another, model than the weights hold."""
    if implied and not implied[0] / PARAMETERS_APART <= stored <= implied[1] * PARAMETERS_APART:
        raise InputError(
            f"config.json describes about {implied[0]:,} parameters, the weights hold {stored:,}",
            field=where,
            hint="use the config that belongs to the weights",
        )


def checked_config(config: dict[str, Any], where: str) -> dict[str, Any]:
    """The config, if nothing in it, at any depth, is refused."""
    refused = _refused_key(config)
    if refused:
        raise InputError(
            f"config.json has {refused!r}, which this program does not load",
            field=where,
            hint="use a plain, unquantised model of a known architecture",
        )
    return config


def _refused_key(value: Any) -> str | None:
    if isinstance(value, dict):
        for key, item in value.items():
            named = key in REFUSED_KEYS or str(key).startswith("_attn_implementation")
            if named and item is not None:
                return str(key)[:60]
            if found := _refused_key(item):
                return found
    return None


def licence_of(card: str) -> str | None:
    """The licence that a model card's front matter names, as it names it; ``None`` where it does not."""
    if not card.startswith("---"):
        return None
    try:
        front = parsed(card[3:].split("\n---", 1)[0], "card")
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(front, dict):
        return None
    named = front.get("license_name") if front.get("license") == "other" else None
    licence = named or front.get("license")
    licence = licence[0] if isinstance(licence, list) and licence else licence
    return " ".join(licence.split())[:80] if isinstance(licence, str) else None


def is_complete(folder: Path) -> bool:
    """Whether a folder holds a model whole: config, tokenizer and every part of the weights."""
    try:
        read_tensors(folder, "model")
    except (InputError, OSError):
        return False
    return (folder / "config.json").is_file() and any((folder / file).is_file() for file in TOKENIZER_FILES)
