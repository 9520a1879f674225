"""Safetensors files read without torch: only their headers, so that size and shape are known before any weight."""

from __future__ import annotations

import io
import json
import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from untrac_core.errors import InputError
from untrac_core.hub import weights as weight_files
from untrac_core.hub.config_json import MEND, _optional_json

HEADER_BYTES = 100_000_000
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
INDEX_BYTES = 50_000_000
DTYPES = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1), "U8": ("uint8", 1),
    "U64": ("uint64", 8), "U32": ("uint32", 4), "U16": ("uint16", 2), "BOOL": ("bool", 1),
    "F8_E4M3": ("float8", 1), "F8_E5M2": ("float8", 1), "C64": ("complex64", 8),
}  # fmt: skip
"""Safetensors' names of types: ours, and bytes a number."""


@dataclass(frozen=True)
class Tensor:
    """One stored tensor: its type (``float32`` ...) and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


Tensors = dict[str, Tensor]


def read_header(file: BinaryIO, size: int, name: str, where: str) -> Tensors:
    """The tensors of a safetensors file of ``size`` bytes that ``file`` stands at the beginning of.

    Raises :class:`InputError` for what is no such file, and for one whose shapes, offsets and size disagree.
    """
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(HEADER_BYTES, size - 8):
            raise ValueError
        text = file.read(length)
        header = json.loads(text) if len(text) == length else None
        if not isinstance(header, dict):
            raise ValueError
    except (OSError, ValueError, struct.error, RecursionError):
        raise InputError(f"{name} is not a whole safetensors file", field=where, hint=MEND) from None
    header.pop("__metadata__", None)
    try:
        return _consistent(header, size - 8 - length)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise InputError(f"the header of {name} does not fit its contents", field=where, hint=MEND) from None


def _consistent(header: dict[str, Any], room: int) -> Tensors:
    """The header's tensors, if they fill ``room`` bytes one after the other; else a ``ValueError``."""
    tensors, spans = Tensors(), []
    for name, entry in header.items():
        dtype, width = DTYPES[entry["dtype"]]
        shape = tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
            raise ValueError
        tensors[name] = Tensor(dtype, shape)
        if end - begin != tensors[name].size * width:
            raise ValueError
        spans.append((begin, end))
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise ValueError
        at = end
    if at != room:
        raise ValueError
    return tensors


def read_file(path: Path, where: str) -> Tensors:
    """The tensors of a local safetensors file."""
    try:
        with path.open("rb") as file:
            return read_header(file, path.stat().st_size, path.name, where)
    except OSError:
        raise InputError(f"{path.name} cannot be read", field=where, hint="check the file and its rights") from None


def header_of(start: bytes, size: int, name: str, where: str) -> Tensors:
    """The same from the first bytes of a file that lies elsewhere."""
    return read_header(io.BytesIO(start), size, name, where)


def choose_weights(names: Iterable[str], index: Mapping[str, Any] | None, where: str) -> list[str]:
    """Which of a folder's files transformers will load: one file, or the parts that the index names.

    ``index``: the content of ``model.safetensors.index.json`` where there is one. Raises :class:`InputError` where
    there are no such weights, where they are pickles, or where a part is missing or lies elsewhere.
    """
    names = set(names)
    if WEIGHTS in names:
        return [WEIGHTS]
    if index is not None:
        parts = index.get("weight_map")
        if not isinstance(parts, dict) or not parts or any(not isinstance(part, str) for part in parts.values()):
            raise InputError(f"{INDEX} is malformed", field=where, hint=MEND)
        wanted = sorted(set(parts.values()))
        for part in wanted:
            if "/" in part or "\\" in part or not part.endswith(".safetensors"):
                raise InputError(f"{INDEX} names a file elsewhere ({part[:60]!r})", field=where, hint=MEND)
            if part not in names:
                raise InputError(f"{part}, a part of the weights, is missing", field=where, hint="copy or fetch it")
        return wanted
    if any(name.endswith(".safetensors") for name in names):
        raise InputError(f"the weights are not named {WEIGHTS}", field=where, hint="save the model by save_pretrained")
    pickled = any(name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt")) for name in names)
    raise InputError(
        "the weights are pickle files, which can run code when loaded"
        if pickled
        else "there are no weights in safetensors",
        field=where,
        hint="save the model with safetensors (save_pretrained does)",
    )


def main_dtype(tensors: Tensors) -> str:
    """The type that most numbers are stored in."""
    counts: dict[str, int] = {}
    for tensor in tensors.values():
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.size
    return max(counts, key=lambda dtype: counts[dtype]) if counts else "float32"


def matrix_counts(tensors: Tensors) -> tuple[tuple[int, int, int], ...]:
    """(rows, columns, how many) of the matrices among the tensors, in a fixed order."""
    counts = Counter(tensor.shape for tensor in tensors.values() if len(tensor.shape) == 2)
    return tuple((rows, columns, count) for (rows, columns), count in sorted(counts.items()))


@dataclass(frozen=True)
class Shape:
    """The sizes that a config states; 0 where it does not. ``num_layers``: of encoder and decoder together."""

    num_layers: int
    hidden_size: int
    vocab_size: int
    context: int | None
    inner: int
    heads: int
    head: int
    pairs: int
    """Key-value heads."""
    experts: int
    crosses: bool
    """Whether a decoder looks at an encoder."""


_ALIASES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "n_embed", "dim"),
    "num_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "inner": ("moe_intermediate_size", "intermediate_size", "ffn_dim", "d_ff", "n_inner", "ffn_hidden_size"),
    "heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "head": ("head_dim", "d_kv"),
    "pairs": ("num_key_value_heads",),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "vocab_size": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len"),
}


def read_shape(config: dict[str, Any]) -> Shape:
    """The sizes in a config; ``ValueError`` for one that is not a whole number within bounds."""

    def number(*keys: str) -> int:
        for key in keys:
            value = config.get(key)
            if value is None or (key == "n_inner" and value == 0):
                continue
            if type(value) is not int or not 0 <= value <= 10**12:
                raise ValueError(key)
            return value
        return 0

    values = {field: number(*keys) for field, keys in _ALIASES.items()}
    crosses = config.get("is_encoder_decoder") is True
    layers = values.pop("num_layers")
    if crosses:
        deep = number("num_decoder_layers", "decoder_layers") or layers
        layers = (number("encoder_layers") or layers) + deep
        values["inner"] = values["inner"] or number("decoder_ffn_dim", "encoder_ffn_dim")
        values["heads"] = values["heads"] or number("decoder_attention_heads")
    context = values.pop("context") or None
    return Shape(num_layers=layers, context=context, crosses=crosses, **values)


def implied_parameters(shape: Shape) -> tuple[int, int] | None:
    """Bounds of the parameters that a config implies: layers x hidden^2 and the vocabulary; ``None``: it does not say.

    The lower one takes tied embeddings and the plainest layers, the upper one untied embeddings, learned positions and
    gated layers.
    """
    if not (shape.num_layers and shape.hidden_size):
        return None
    heads = shape.heads or 1
    width = shape.head or shape.hidden_size // heads
    pairs = shape.pairs or heads
    attention = 2 * shape.hidden_size * width * (heads + pairs)
    mlp = shape.hidden_size * (shape.inner or 4 * shape.hidden_size) * max(shape.experts, 1)
    words = shape.vocab_size * shape.hidden_size
    low = words + shape.num_layers * (attention + 2 * mlp)
    more = attention if shape.crosses else 0
    high = 2 * words + shape.num_layers * (attention + more + 3 * mlp + 16 * shape.hidden_size)
    return low, high + (shape.context or 0) * shape.hidden_size


_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d+)\.")


def stored_layers(tensors: Tensors) -> int:
    """How many numbered blocks the tensors' names show, for a config that does not say."""
    places = {(name[: found.start()], found[1]) for name in tensors if (found := _LAYER.search(name))}
    return len(places)


def weight_paths(folder: Path, where: str) -> list[Path]:
    """The weight files that transformers will read from a model folder."""
    index = _optional_json(folder / INDEX, most=INDEX_BYTES)
    return [folder / name for name in choose_weights((p.name for p in folder.iterdir() if p.is_file()), index, where)]


def read_tensors(folder: Path, where: str) -> Tensors:
    """The names, types and shapes of all tensors that transformers will read from a model folder."""
    return _tensors(weight_paths(folder, where), where)


def _tensors(paths: list[Path], where: str) -> Tensors:
    return {key: tensor for path in paths for key, tensor in weight_files.read_file(path, where).items()}
