"""A model's files, read without torch: where they are, what they hold, whether they are safe to load."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError
from untrac_core.home import DEMO
from untrac_core.specs import ModelRef

PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt"]
TWICE = "consolidated*"
"""The same weights again in another layout, which some repositories hold beside them."""
HEADER_BYTES = 100_000_000
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
# Keys with which a config can make a loader run or fetch something else than the weights beside it.
REFUSED_KEYS = ("auto_map", "quantization_config")
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


@dataclass(frozen=True)
class ModelFacts:
    """What the files say of a model before any weight is read."""

    name: str
    folder: Path
    architecture: str
    parameters: int
    weight_bytes: int
    context: int | None
    vocabulary: int
    hidden: int


def find_model(ref: ModelRef) -> Path | None:
    """The local folder of a model; ``None`` for a hub id that has not been downloaded yet."""
    if ref.path == "demo":
        return DEMO / "model"
    path = Path(ref.path)
    if os.path.isdir(path):
        return path
    if path.is_absolute() or ref.path.startswith((".", "~")) or os.path.exists(path):
        raise InputError(f"there is no model folder {ref.path!r}", where="model", mend="check the path")
    return _hub_folder(ref, local_only=True)


def fetch_model(ref: ModelRef) -> Path:
    """The local folder of a model, downloaded from the hub if need be: weights, configs and tokenizer only."""
    folder = find_model(ref)
    from_hub = not os.path.isdir(ref.path) and ref.path != "demo"
    if folder is None or (from_hub and not any(folder.glob("*.safetensors"))):  # perhaps only a part is here
        folder = _hub_folder(ref, local_only=False)
    if folder is None:
        raise InputError(f"the model {ref.path!r} could not be fetched", where="model", mend="name a local folder")
    return folder


def _hub_folder(ref: ModelRef, *, local_only: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                ref.path,
                revision=ref.revision,
                allow_patterns=PATTERNS,
                ignore_patterns=TWICE,
                local_files_only=local_only,
            )
        )
    except HFValidationError:
        raise InputError(
            f"{ref.path!r} is neither a folder nor a hub id", where="model", mend="a hub id looks like 'owner/name'"
        ) from None
    except GatedRepoError:
        raise InputError(
            f"the model {ref.path!r} is gated", where="model", mend="accept its terms on the hub and set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise InputError(
            f"the model {ref.path!r} has no revision {ref.revision!r}", where="model", mend="check the revision"
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            f"the hub has no model {ref.path!r}", where="model", mend="check the id, or set HF_TOKEN if it is private"
        ) from None
    except LocalEntryNotFoundError:
        if local_only:
            return None
        raise InputError(
            f"the hub could not be reached for {ref.path!r}", where="model", mend="go online, or name a local folder"
        ) from None
    except OSError as error:
        raise InputError(
            f"the download of {ref.path!r} broke off ({type(error).__name__})", where="model", mend="try again"
        ) from None


def inspect_model(folder: Path, name: str) -> ModelFacts:
    """Check a model folder and read its facts; raises :class:`InputError` for what cannot or must not be loaded."""
    where = f"model {name!r}"
    if not folder.is_dir():
        raise InputError("the folder is missing", where=where, mend="check the path, or remake the demo")
    config = _read_config(folder, where)
    weights = sorted(path for path in folder.glob("*.safetensors") if not path.match(TWICE))
    if not weights:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth"))
        raise InputError(
            "the weights are pickle files, which can run code when loaded"
            if pickled
            else "there are no weights in safetensors",
            where=where,
            mend="save the model with safetensors (save_pretrained does)",
        )
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise InputError("the folder has no tokenizer", where=where, mend="save the tokenizer beside the weights")
    headers = [_read_header(path, where) for path in weights]
    entries = [entry for header in headers for key, entry in header.items() if key != "__metadata__"]
    # Models that also see or hear keep the numbers of their language part one level down.
    language = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    try:
        facts = ModelFacts(
            name=name,
            folder=folder,
            architecture=str((config.get("architectures") or [config.get("model_type", "unknown")])[0]),
            parameters=sum(_product(entry["shape"]) for entry in entries),
            weight_bytes=sum(path.stat().st_size for path in weights),
            context=next((language[key] for key in CONTEXT_KEYS if isinstance(language.get(key), int)), None),
            vocabulary=int(language.get("vocab_size") or 0),
            hidden=int(language.get("hidden_size") or language.get("n_embd") or language.get("d_model") or 0),
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        raise InputError("its files do not say what the model is", where=where, mend="save the model again") from None
    if facts.vocabulary < 2:
        raise InputError("config.json names no vocabulary size", where=where, mend="use a plain causal language model")
    return facts


def _read_config(folder: Path, where: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("the folder has no config.json", where=where, mend="name a save_pretrained folder") from None
    except (OSError, ValueError, RecursionError):
        raise InputError("config.json is malformed", where=where, mend="save the model again") from None
    if not isinstance(config, dict):
        raise InputError("config.json is not an object", where=where, mend="save the model again")
    refused = [key for key in config if key in REFUSED_KEYS or str(key).startswith("_attn_implementation")]
    if refused:
        raise InputError(
            f"config.json has {refused[0]!r}, which this program does not load",
            where=where,
            mend="use a plain, unquantised model of a known architecture",
        )
    if config.get("is_encoder_decoder"):
        raise InputError("this is an encoder-decoder model", where=where, mend="name a causal language model")
    return config


def _read_header(path: Path, where: str) -> dict[str, Any]:
    """The JSON header of a safetensors file: tensor names to dtype, shape and offsets."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > HEADER_BYTES:
                raise ValueError
            header = json.loads(file.read(length))
            if not isinstance(header, dict):
                raise ValueError
            return header
    except (OSError, ValueError, struct.error, RecursionError):
        raise InputError(f"{path.name} is not a safetensors file", where=where, mend="save the model again") from None


def _product(shape: list[int]) -> int:
    result = 1
    for size in shape:
        result *= int(size)
    return result


def hash_model(folder: Path) -> str:
    """SHA-256 over the weights, the config and the tokenizer: what makes this model this model."""
    digest = hashlib.sha256()
    names = {path.name for path in folder.glob("*.safetensors")} | {
        name for name in ("config.json", "tokenizer_config.json", *TOKENIZER_FILES) if (folder / name).is_file()
    }
    for name in sorted(names):
        digest.update(f"{name}\0{os.path.getsize(folder / name)}\0".encode())
        with (folder / name).open("rb") as file:
            while chunk := file.read(2**22):
                digest.update(chunk)
    return digest.hexdigest()
