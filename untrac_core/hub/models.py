"""Models and adapters on the hub: what they are, from their small files and headers, and bringing them here."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError
from untrac_core.hub import adapter_files, repos
from untrac_core.hub.adapter_files import AdapterInfo, choose_adapter, describe_adapter
from untrac_core.hub.cards import CARD_BYTES
from untrac_core.hub.config_json import parse_json
from untrac_core.hub.download import bring, fetch, read_start
from untrac_core.hub.model_info import ModelInfo, checked_config, describe_model, is_complete, licence_of
from untrac_core.hub.repos import HubRepo
from untrac_core.hub.weights import INDEX, INDEX_BYTES, Tensors, choose_weights, header_of
from untrac_core.progress import Progress

SMALL = 10_000_000
"""Bytes that a config or a card may have."""
FIRST = 2**18
"""Bytes of a weight file that are asked for first: most headers end within them."""
HEADER_MOST = 30_000_000
SIDE_FILES = (".json", ".model", ".txt")
"""Ends of the files that come with the weights: configs and tokenizer."""


@dataclass(frozen=True)
class HubModel:
    """A model (or an adapter) on the hub at one commit, known from its small files and its weights' headers."""

    repo: HubRepo
    config: dict[str, Any]
    tokenizer: dict[str, Any] | None
    card: str
    weights: list[str]
    tensors: Tensors

    @property
    def sha(self) -> str:
        """The commit."""
        return self.repo.sha

    @property
    def files(self) -> dict[str, int]:
        """Names and bytes of the files at the top of the repository."""
        return self.repo.files

    @property
    def licence(self) -> str | None:
        """As its card names it."""
        return licence_of(self.card)

    @property
    def gated(self) -> bool:
        """Whether its terms must be accepted on the hub."""
        return self.repo.gated

    @property
    def parameters(self) -> dict[str, int]:
        """How many parameters are stored in each type."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors.values():
            counts[tensor.dtype] += tensor.size
        return dict(counts)


def model_card(path: str, revision: str | None = None) -> HubModel:
    """Look at a model on the hub without fetching weights; :class:`InputError` for one that is not to be loaded."""
    where = f"model {path!r}"
    repo = _top(repos.describe(path, revision))
    if "config.json" not in repo.files:
        raise InputError("the repository has no config.json", field=where, hint="name a model in transformers' layout")
    has_index = INDEX in repo.files and "model.safetensors" not in repo.files
    index = parse_json(_small(repo, INDEX, INDEX_BYTES), INDEX, where) if has_index else None
    weights = choose_weights(repo.files, index, where)
    config = checked_config(parse_json(_small(repo, "config.json"), "config.json", where), where)
    tokenizer_file = "tokenizer_config.json"
    tokenizer = (
        parse_json(_small(repo, tokenizer_file), tokenizer_file, where) if tokenizer_file in repo.files else None
    )
    return HubModel(repo, config, tokenizer, _read_card(repo), weights, _headers(repo, weights, where))


def remote_model(path: str, revision: str | None = None) -> tuple[ModelInfo, Tensors]:
    """The facts of a model on the hub, and its tensors' shapes; nothing large is fetched."""
    card = model_card(path, revision)
    return _facts(path, card), card.tensors


def _facts(path: str, card: HubModel, *, classifier: bool = False) -> ModelInfo:
    facts = describe_model(
        path,
        card.config,
        card.tensors,
        files=set(card.files),
        weight_bytes=sum(card.files[name] for name in card.weights),
        tokenizer=card.tokenizer,
        card=card.card,
        classifier=classifier,
    )
    return replace(facts, revision=card.sha)


def remote_adapter(path: str, revision: str | None, base: Tensors) -> AdapterInfo:
    """The facts of a LoRA adapter on the hub, checked against its model's tensors."""
    where = f"adapter {path!r}"
    repo = _adapter_repo(path, revision)
    name = adapter_files.WEIGHTS
    return describe_adapter(
        path,
        parse_json(_small(repo, adapter_files.CONFIG), adapter_files.CONFIG, where),
        _headers(repo, [name], where),
        base,
        folder=None,
        weight_bytes=repo.files[name],
        licence=licence_of(_read_card(repo)),
    )


def fetch_model_files(
    path: str, revision: str | None, progress: Progress | None = None, *, classifier: bool = False
) -> Path:
    """Bring a model here: looked at first, then its configs and tokenizer, then its weights; its folder."""
    card = model_card(path, revision)
    _facts(path, card, classifier=classifier)
    # The weights last: a folder that has them whole has the rest too (see is_complete).
    return fetch(card.repo, revision, [*_side(card.repo), *card.weights], progress=progress)


def fetch_side_files(path: str, revision: str | None, progress: Progress | None = None) -> Path:
    """Bring a model's configs and tokenizer here, without its weights; their folder.

    Nothing is checked here: :func:`untrac_core.hub.locate.model_info` looks at the model first.
    """
    repo = _top(repos.describe(path, revision))
    return fetch(repo, revision, _side(repo), progress=progress)


def _side(repo: HubRepo) -> list[str]:
    """A model's configs, tokenizer and card; never an adapter's config, which transformers would obey."""
    names = [name for name in repo.files if name.endswith(SIDE_FILES) and name != adapter_files.CONFIG]
    return [*names, *(["README.md"] if "README.md" in repo.files else [])]


def fetch_adapter_files(path: str, revision: str | None, progress: Progress | None = None) -> Path:
    """Bring an adapter's config, card and weights here; its folder."""
    repo = _adapter_repo(path, revision)
    files = [adapter_files.CONFIG, "README.md", adapter_files.WEIGHTS]
    return fetch(repo, revision, files, progress=progress)


def find_model_files(path: str, revision: str | None) -> Path | None:
    """The folder of a model that was fetched whole before; ``None`` otherwise. The hub is not asked."""
    sha = repos.known_commit(path, revision)
    folder = repos.snapshot(path, sha) if sha else None
    return folder if folder is not None and is_complete(folder) else None


def find_adapter_files(path: str, revision: str | None) -> Path | None:
    """The folder of an adapter that was fetched whole before; ``None`` otherwise."""
    sha = repos.known_commit(path, revision)
    folder = repos.snapshot(path, sha) if sha else None
    whole = folder is not None and all((folder / f).is_file() for f in (adapter_files.CONFIG, adapter_files.WEIGHTS))
    return folder if whole else None


def _adapter_repo(path: str, revision: str | None) -> HubRepo:
    repo = _top(repos.describe(path, revision))
    choose_adapter(set(repo.files), f"adapter {path!r}")
    return repo


def _top(repo: HubRepo) -> HubRepo:
    """Only the files at the top of the repository, which is all that a loader reads."""
    return replace(repo, files={name: size for name, size in repo.files.items() if "/" not in name})


def _small(repo: HubRepo, name: str, most: int = SMALL) -> bytes:
    """A small file's content, by way of the cache."""
    if repo.files[name] > most:
        raise InputError(f"{name} is over {most // 10**6} MB", field=repo.id, hint="choose another model")
    return bring(repo, name, lambda _: None).read_bytes()


def _read_card(repo: HubRepo) -> str:
    if not 0 < repo.files.get("README.md", 0) <= SMALL:
        return ""
    return _small(repo, "README.md")[:CARD_BYTES].decode("utf-8", "replace")


def _headers(repo: HubRepo, weights: list[str], where: str) -> Tensors:
    """The tensors of all weight files, from their first bytes alone."""
    tensors: Tensors = {}
    for name in weights:
        start = read_start(repo, name, FIRST)
        needed = struct.unpack("<Q", start[:8])[0] + 8 if len(start) >= 8 else 0
        if needed > HEADER_MOST:
            raise InputError(f"{name} is not a whole safetensors file", field=where, hint="choose another model")
        if needed > len(start):
            start = read_start(repo, name, needed)
        tensors |= header_of(start, repo.files[name], name, where)
    return tensors
