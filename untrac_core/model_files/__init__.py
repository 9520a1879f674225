"""A model's files, read without torch: where they are, what they hold, whether they are safe to load."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from untrac_core.cards import CARD_BYTES
from untrac_core.errors import InputError
from untrac_core.home import DEMO, allowed_roots
from untrac_core.model_files import adapters as adapter_files
from untrac_core.model_files import weights as weight_files
from untrac_core.model_files.adapters import AdapterFacts, choose_adapter, describe_adapter
from untrac_core.model_files.facts import (
    TOKENIZER_FILES,
    ModelFacts,
    checked_config,
    describe_model,
    licence_of,
    parse_json,
)
from untrac_core.model_files.weights import INDEX, INDEX_BYTES, MEND, Tensors, choose_weights
from untrac_core.progress import Progress
from untrac_core.specs import ModelRef

__all__ = ["ModelFacts", "fetch_adapter", "fetch_model", "find_adapter", "find_model", "hash_model", "inspect_model"]

CONFIG_BYTES = 10_000_000


def find_model(ref: ModelRef) -> Path | None:
    """The local folder of a model; ``None`` for a hub id that has not been downloaded yet."""
    if ref.path == "demo":
        return DEMO / "model"
    folder = _local(ref.path, "model")
    if folder is None:
        from untrac_core.hub import models as hub_models

        folder = hub_models.find_model_files(ref.path, ref.revision)
    return folder


def fetch_model(ref: ModelRef, progress: Progress | None = None, *, classifier: bool = False) -> Path:
    """The local folder of a model, downloaded from the hub if need be: weights, configs and tokenizer only.

    What must not be loaded is refused before any weight is fetched; with ``classifier``, what is not a sequence
    classifier. ``progress`` is ticked in bytes.
    """
    folder = find_model(ref)
    if folder is None:
        from untrac_core.hub import models as hub_models

        folder = hub_models.fetch_model_files(ref.path, ref.revision, progress, classifier=classifier)
    return folder


def fetch_tokenizer(ref: ModelRef, progress: Progress | None = None) -> Path:
    """A folder with the model's config and tokenizer; of a model on the hub, these alone are downloaded."""
    folder = find_model(ref)
    if folder is None:
        from untrac_core.hub import models as hub_models

        folder = hub_models.fetch_side_files(ref.path, ref.revision, progress)
    return folder


def find_adapter(ref: ModelRef) -> Path | None:
    """The local folder of the reference's adapter; ``None`` where it has none, or has not been downloaded yet."""
    if ref.adapter is None:
        return None
    folder = _local(ref.adapter, "adapter")
    if folder is None:
        from untrac_core.hub import models as hub_models

        folder = hub_models.find_adapter_files(ref.adapter, ref.adapter_revision)
    return folder


def fetch_adapter(ref: ModelRef, progress: Progress | None = None) -> Path | None:
    """The local folder of the reference's adapter, downloaded if need be; ``None`` where it has none."""
    folder = find_adapter(ref)
    if folder is None and ref.adapter is not None:
        from untrac_core.hub import models as hub_models

        folder = hub_models.fetch_adapter_files(ref.adapter, ref.adapter_revision, progress)
    return folder


def inspect_ref(ref: ModelRef) -> ModelFacts:
    """The facts of a model wherever it is; of one on the hub, from its card and headers, without fetching weights."""
    from untrac_core.hub import models as hub_models

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


def is_local(path: str) -> bool:
    """Whether a reference names a place on this machine, be it there or not; else it must be a hub id."""
    return Path(path).is_absolute() or path.startswith((".", "~")) or os.path.exists(path)


def _local(path: str, what: str) -> Path | None:
    """The folder that a reference names; ``None`` where it must be a hub id."""
    if "\0" in path:
        raise InputError("the path has a NUL character", where=what, mend="type it again")
    folder = Path(path)
    if os.path.isdir(folder):
        refuse_leaving_links(folder, f"{what} {path!r}")
        return folder
    if is_local(path):
        raise InputError(f"there is no {what} folder {path!r}", where=what, mend="check the path")
    return None


def refuse_leaving_links(folder: Path, where: str) -> None:
    """In a folder that pages may read, no file may be a link to a place that they may not."""
    home, roots = folder.resolve(), allowed_roots()
    if not any(home.is_relative_to(root) for root in roots):
        return
    for entry in os.scandir(folder):
        target = Path(entry.path).resolve()
        if entry.is_symlink() and not any(target.is_relative_to(root) for root in (home, *roots)):
            raise InputError(f"{entry.name} is a link that leaves the folder", where=where, mend="copy the file there")


def inspect_model(
    folder: Path,
    name: str,
    *,
    adapter: Path | None = None,
    adapter_name: str | None = None,
    classifier: bool = False,
) -> ModelFacts:
    """Check a model folder and read its facts; raises :class:`InputError` for what cannot or must not be loaded.

    ``adapter``: a LoRA adapter's folder, checked against the model. ``classifier``: a sequence classifier is wanted,
    not a language model.
    """
    where = f"model {name!r}"
    if not folder.is_dir():
        raise InputError("the folder is missing", where=where, mend="check the path, or remake the demo")
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


def inspect_adapter(folder: Path, name: str, base: Tensors) -> AdapterFacts:
    """Check an adapter's folder against its model's tensors, and read its facts."""
    where = f"adapter {name!r}"
    if not folder.is_dir():
        raise InputError("the folder is missing", where=where, mend="check the path")
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


def is_complete(folder: Path) -> bool:
    """Whether a folder holds a model whole: config, tokenizer and every part of the weights."""
    try:
        read_tensors(folder, "model")
    except (InputError, OSError):
        return False
    return (folder / "config.json").is_file() and any((folder / file).is_file() for file in TOKENIZER_FILES)


def weight_paths(folder: Path, where: str) -> list[Path]:
    """The weight files that transformers will read from a model folder."""
    index = _optional_json(folder / INDEX, most=INDEX_BYTES)
    return [folder / name for name in choose_weights((p.name for p in folder.iterdir() if p.is_file()), index, where)]


def read_tensors(folder: Path, where: str) -> Tensors:
    """The names, types and shapes of all tensors that transformers will read from a model folder."""
    return _tensors(weight_paths(folder, where), where)


def _tensors(paths: list[Path], where: str) -> Tensors:
    return {key: tensor for path in paths for key, tensor in weight_files.read_file(path, where).items()}


def require_memory(facts: ModelFacts, bytes_each: int = 4) -> None:
    """Refuse a model whose weights alone, at ``bytes_each`` a number, do not fit into the free memory."""
    import psutil

    free = psutil.virtual_memory().available
    needed = facts.parameters * bytes_each
    if needed > free:
        raise InputError(
            f"its weights take {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free",
            where=f"model {facts.name!r}",
            mend="choose a smaller model or a smaller precision, or free memory",
        )


def read_config(path: Path, where: str) -> dict[str, Any]:
    """A model's config.json, refused where it names code, a quantisation or a kernel to load."""
    if not path.is_file():
        raise InputError("the folder has no config.json", where=where, mend="name a save_pretrained folder")
    return checked_config(_read_json(path, where), where)


def _read_json(path: Path, where: str, most: int = CONFIG_BYTES) -> dict[str, Any]:
    try:
        if path.stat().st_size > most:
            raise InputError(f"{path.name} is over {most // 10**6} MB", where=where, mend=MEND)
        data = path.read_bytes()
    except OSError:
        raise InputError(f"{path.name} cannot be read", where=where, mend="check the file and its rights") from None
    return parse_json(data, path.name, where)


def _optional_json(path: Path, most: int = CONFIG_BYTES) -> dict[str, Any] | None:
    return _read_json(path, f"{path.parent.name}", most) if path.is_file() else None


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
