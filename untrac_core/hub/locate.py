"""A model's files, read without torch: where they are, what they hold, whether they are safe to load."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError
from untrac_core.hub import adapter_files
from untrac_core.hub import models as hub_models
from untrac_core.hub import weights as weight_files
from untrac_core.hub.adapter_files import AdapterInfo, choose_adapter, describe_adapter
from untrac_core.hub.cards import CARD_BYTES
from untrac_core.hub.config_json import _optional_json, _read_json
from untrac_core.hub.model_info import TOKENIZER_FILES, ModelInfo, checked_config, describe_model, licence_of
from untrac_core.hub.weights import Tensors, _tensors, read_tensors, weight_paths
from untrac_core.paths import DEMO, allowed_roots
from untrac_core.progress import Progress
from untrac_core.specs import ModelRef
from untrac_core.specs.parts import is_local

__all__ = ["ModelInfo", "fetch_adapter", "fetch_model", "find_adapter", "find_model", "hash_model", "inspect_model"]


def find_model(ref: ModelRef) -> Path | None:
    """The local folder of a model; ``None`` for a hub id that has not been downloaded yet."""
    if ref.path == "demo":
        return DEMO / "model"
    folder = _local(ref.path, "model")
    if folder is None:
        folder = hub_models.find_model_files(ref.path, ref.revision)
    return folder


def fetch_model(ref: ModelRef, progress: Progress | None = None, *, classifier: bool = False) -> Path:
    """The local folder of a model, downloaded from the hub if need be: weights, configs and tokenizer only.

    What must not be loaded is refused before any weight is fetched; with ``classifier``, what is not a sequence
    classifier. ``progress`` is ticked in bytes.
    """
    folder = find_model(ref)
    if folder is None:
        folder = hub_models.fetch_model_files(ref.path, ref.revision, progress, classifier=classifier)
    return folder


def fetch_tokenizer(ref: ModelRef, progress: Progress | None = None) -> Path:
    """A folder with the model's config and tokenizer; of a model on the hub, these alone are downloaded."""
    folder = find_model(ref)
    if folder is None:
        folder = hub_models.fetch_side_files(ref.path, ref.revision, progress)
    return folder


def find_adapter(ref: ModelRef) -> Path | None:
    """The local folder of the reference's adapter; ``None`` where it has none, or has not been downloaded yet."""
    if ref.adapter is None:
        return None
    folder = _local(ref.adapter, "adapter")
    if folder is None:
        folder = hub_models.find_adapter_files(ref.adapter, ref.adapter_revision)
    return folder


def fetch_adapter(ref: ModelRef, progress: Progress | None = None) -> Path | None:
    """The local folder of the reference's adapter, downloaded if need be; ``None`` where it has none."""
    folder = find_adapter(ref)
    if folder is None and ref.adapter is not None:
        folder = hub_models.fetch_adapter_files(ref.adapter, ref.adapter_revision, progress)
    return folder


def model_info(ref: ModelRef) -> ModelInfo:
    """The facts of a model wherever it is; of one on the hub, from its card and headers, without fetching weights."""
    folder, adapter = find_model(ref), find_adapter(ref)
    if folder is not None and (adapter is not None or ref.adapter is None):
        return inspect_model(folder, ref.path, adapter=adapter, adapter_name=ref.adapter)
    if folder is not None:
        facts, tensors = inspect_model(folder, ref.path), read_tensors(folder, f"model {ref.path!r}")
    else:
        facts, tensors = hub_models.remote_model(ref.path, ref.revision)
    if adapter is not None:
        return replace(facts, adapter=inspect_adapter(adapter, str(ref.adapter), tensors))
    if ref.adapter is not None:
        return replace(facts, adapter=hub_models.remote_adapter(ref.adapter, ref.adapter_revision, tensors))
    return facts


def _local(path: str, what: str) -> Path | None:
    """The folder that a reference names; ``None`` where it must be a hub id."""
    if "\0" in path:
        raise InputError("the path has a NUL character", field=what, hint="type it again")
    folder = Path(path)
    if os.path.isdir(folder):
        refuse_leaving_links(folder, f"{what} {path!r}")
        return folder
    if is_local(path):
        raise InputError(f"there is no {what} folder {path!r}", field=what, hint="check the path")
    return None


def refuse_leaving_links(folder: Path, where: str) -> None:
    """In a folder that pages may read, no file may be a link to a place that they may not."""
    home, roots = folder.resolve(), allowed_roots()
    if not any(home.is_relative_to(root) for root in roots):
        return
    for entry in os.scandir(folder):
        target = Path(entry.path).resolve()
        if entry.is_symlink() and not any(target.is_relative_to(root) for root in (home, *roots)):
            raise InputError(f"{entry.name} is a link that leaves the folder", field=where, hint="copy the file there")


def inspect_model(
    folder: Path,
    name: str,
    *,
    adapter: Path | None = None,
    adapter_name: str | None = None,
    classifier: bool = False,
) -> ModelInfo:
    """Check a model folder and read its facts; raises :class:`InputError` for what cannot or must not be loaded.

    ``adapter``: a LoRA adapter's folder, checked against the model. ``classifier``: a sequence classifier is wanted,
    not a language model.
    """
    where = f"model {name!r}"
    if not folder.is_dir():
        raise InputError("the folder is missing", field=where, hint="check the path, or remake the demo")
    config = read_config(folder / "config.json", where)
    paths = weight_paths(folder, where)
    tensors = _tensors(paths, where)
    facts = describe_model(
        name,
        config,
        tensors,
        files={path.name for path in folder.iterdir() if path.is_file()},
        weight_bytes=sum(path.stat().st_size for path in paths),
        tokenizer=_optional_json(folder / "tokenizer_config.json"),
        card=_card(folder),
        classifier=classifier,
    )
    facts = replace(facts, folder=folder)
    if adapter is not None:
        facts = replace(facts, adapter=inspect_adapter(adapter, adapter_name or adapter.name, tensors))
    return facts


def inspect_adapter(folder: Path, name: str, base: Tensors) -> AdapterInfo:
    """Check an adapter's folder against its model's tensors, and read its facts."""
    where = f"adapter {name!r}"
    if not folder.is_dir():
        raise InputError("the folder is missing", field=where, hint="check the path")
    choose_adapter({path.name for path in folder.iterdir()}, where)
    weights = folder / adapter_files.WEIGHTS
    return describe_adapter(
        name,
        _read_json(folder / adapter_files.CONFIG, where),
        weight_files.read_file(weights, where),
        base,
        folder=folder,
        weight_bytes=weights.stat().st_size,
        licence=licence_of(_card(folder)),
    )


def require_memory(facts: ModelInfo, bytes_each: int = 4) -> None:
    """Refuse a model whose weights alone, at ``bytes_each`` per number, do not fit into the free memory."""
    import psutil

    free = psutil.virtual_memory().available
    needed = facts.parameters * bytes_each
    if needed > free:
        raise InputError(
            f"its weights take {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free",
            field=f"model {facts.name!r}",
            hint="choose a smaller model or a 'dtype' of 16 bits, or free memory",
        )


def read_config(path: Path, where: str) -> dict[str, Any]:
    """A model's config.json, refused where it names code, a quantisation or a kernel to load."""
    if not path.is_file():
        raise InputError("the folder has no config.json", field=where, hint="name a save_pretrained folder")
    return checked_config(_read_json(path, where), where)


def _card(folder: Path) -> str:
    """The beginning of a folder's model card; empty where it has none."""
    try:
        with (folder / "README.md").open("rb") as file:
            return file.read(CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def hash_model(folder: Path, adapter: Path | None = None) -> str:
    """SHA-256 over the weights, the config and the tokenizer, and the adapter's: what makes this model this model."""
    digest = hashlib.sha256()
    names = {path.name for path in folder.glob("*.safetensors")} | {
        name for name in ("config.json", "tokenizer_config.json", *TOKENIZER_FILES) if (folder / name).is_file()
    }
    files = [(name, folder / name) for name in sorted(names)]
    if adapter is not None:
        files += [(f"adapter/{name}", adapter / name) for name in (adapter_files.CONFIG, adapter_files.WEIGHTS)]
    for name, path in files:
        digest.update(f"{name}\0{os.path.getsize(path)}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(2**22):
                digest.update(chunk)
    return digest.hexdigest()
