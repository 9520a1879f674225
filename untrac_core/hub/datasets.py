"""Data sets on the hub: their configs, splits and files at one commit, and the bytes of a file as a stream.

The library ``datasets`` says which files make up a split. It would also follow a card that points elsewhere (to another
site, or to files of this machine), so a card that does is refused before it is asked.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from untrac_core.errors import Cancelled, InputError
from untrac_core.hub import cards, repos
from untrac_core.hub.download import ask, bring, read_range
from untrac_core.hub.repos import HubRepo
from untrac_core.paths import data_home
from untrac_core.progress import Progress, Silent
from untrac_core.specs import Source

WHOLE = 64 * 2**20
"""Files up to this many bytes are brought here whole and kept; of larger ones, only what is read is asked for."""
BLOCK = 4 * 2**20
BLOCKS = 6
"""Blocks of a remote file that are held in memory."""
LISTED = 100_000
"""Most files of a split."""


@dataclass(frozen=True)
class HubFile:
    """A file of a data set on the hub, at one commit."""

    repo: str
    sha: str
    name: str
    """Its path in the repository."""
    size: int
    progress: Progress = field(default_factory=Silent, compare=False, repr=False)

    @property
    def identity(self) -> str:
        """What its bytes are known by: the same text, the same bytes."""
        return f"{self.repo}@{self.sha}/{self.name}"

    def open(self) -> BinaryIO:
        """A seekable binary stream of its bytes; the listener is ticked in bytes, and may raise to stop it."""
        repo = HubRepo(self.repo, "dataset", self.sha, {self.name: self.size}, gated=False)
        local = repos.snapshot(self.repo, self.sha, "dataset") / self.name
        if not local.exists():
            self.progress.phase(f"reading {Path(self.name).name} of {self.repo} from the hub")
            if self.size > WHOLE:
                return io.BufferedReader(_Remote(repo, self.name, self.size, self.progress), BLOCK)
            bring(repo, self.name, lambda here: self.progress.tick(here, self.size))
        return local.open("rb")


class _Remote(io.RawIOBase):
    """A file on the hub that is read by ranges; at most ``BLOCKS`` blocks of it are in memory."""

    def __init__(self, repo: HubRepo, name: str, size: int, progress: Progress) -> None:
        super().__init__()
        self._repo, self._name, self._size, self._progress = repo, name, size, progress
        self._at, self._read = 0, 0
        self._held: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("negative seek")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size or not len(buffer):
            return 0
        block = self._block(self._at // BLOCK)
        start = self._at % BLOCK
        part = block[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _block(self, number: int) -> bytes:
        if number not in self._held:
            start = number * BLOCK
            data = read_range(self._repo, self._name, start, min(start + BLOCK, self._size))
            self._read = min(self._read + len(data), self._size)
            self._held[number] = data
            while len(self._held) > BLOCKS:
                self._held.popitem(last=False)
            self._progress.tick(self._read, self._size)
        self._held.move_to_end(number)
        return self._held[number]


def pin(repo: str, revision: str | None) -> str:
    """The commit that a revision of a data set (or its main branch) is now."""
    return repos.pin(_plain(repo), revision, "dataset")


def configs(repo: str, revision: str | None = None) -> list[str]:
    """The names of a data set's configs, in its own order; a plain one has the one config ``default``."""
    sha = pin(repo, revision)
    return list(_listing(repo, sha)["configs"])


def splits(repo: str, config: str | None = None, revision: str | None = None) -> list[str]:
    """The names of the splits of one config (unset: the data set's default one)."""
    sha = pin(repo, revision)
    return list(_files(repo, sha, _config(repo, sha, config)))


def data_files(source: Source, progress: Progress | None = None) -> list[HubFile]:
    """The files of a hub source's config and split, pinned to one commit, in their own order.

    Unset: the default config, and the split ``train`` or the only one. Raises :class:`InputError` with what there is
    where a name is wrong or missing.
    """
    if source.hub is None:
        raise InputError("this source is not on the hub", field="source", hint="name 'hub'")
    repo, where = source.hub, f"data set {source.hub!r}"
    sha = pin(repo, source.revision)
    (progress or Silent()).phase(f"listing the files of {repo}")
    listed = _files(repo, sha, _config(repo, sha, source.config))
    split = source.split
    if split is None:
        split = "train" if "train" in listed else next(iter(listed)) if len(listed) == 1 else None
    if split not in listed:
        what = f"it has no split {split!r}" if split else "it has several splits and none is named"
        raise InputError(what, field=where, hint=f"its splits are {_names(listed)}")
    return [HubFile(repo, sha, name, size, progress or Silent()) for name, size in listed[split]]


def _names(names: Any) -> str:
    return ", ".join(repr(str(name)[:60]) for name in list(names)[:20])


def _config(repo: str, sha: str, config: str | None) -> str:
    listing = _listing(repo, sha)
    names, default = listing["configs"], listing["default"]
    if config is None and default is None:
        raise InputError(
            "it has several configs and none is named", field=f"data set {repo!r}", hint=f"they are {_names(names)}"
        )
    if config is not None and config not in names:
        raise InputError(
            f"it has no config {config!r}", field=f"data set {repo!r}", hint=f"its configs are {_names(names)}"
        )
    return str(config if config is not None else default)


def _plain(repo: str) -> str:
    """The id, unless the library would take it for one of its own readers (``json``, ``csv`` ...)."""
    if "/" not in repo and repo.isidentifier() and repo.lower() in ("json", "csv", "parquet", "text", "arrow", "xml"):
        raise InputError(f"{repo!r} is a format", field="data set", hint="a hub id looks like 'owner/name'")
    return repo


def _kept(repo: str, sha: str, part: str) -> Path:
    """Where a listing is kept: a commit's never changes, and so the hub is asked once."""
    key = hashlib.sha256(json.dumps([repo, sha, part]).encode()).hexdigest()[:32]
    return data_home() / "hub" / f"{key}.json"


def _read_kept(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _keep(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(value), encoding="utf-8")
    os.replace(part, path)


def _listing(repo: str, sha: str) -> dict[str, Any]:
    """``configs``: all names; ``default``: the one that stands for none named, or ``None``."""
    path = _kept(repo, sha, "configs")
    kept = _read_kept(path)
    if isinstance(kept, dict):
        return kept
    _refuse_foreign(repo, sha)
    with _library(repo, sha) as datasets:
        at = f"hf://datasets/{repo}"
        names = datasets.get_dataset_config_names(at, revision=sha, token=repos.token())
        default = datasets.get_dataset_default_config_name(at, revision=sha, token=repos.token())
    names = [str(name) for name in names]
    listing = {"configs": names, "default": default or (names[0] if len(names) == 1 else None)}
    _keep(path, listing)
    return listing


def _files(repo: str, sha: str, config: str) -> dict[str, list[tuple[str, int]]]:
    """Split to its files' names and bytes, in order; ``config`` is one of :func:`_listing`, which checks the card."""
    path = _kept(repo, sha, f"files {config}")
    kept = _read_kept(path)
    if isinstance(kept, dict):
        return {split: [(str(name), int(size)) for name, size in files] for split, files in kept.items()}
    with _library(repo, sha) as datasets:
        builder = datasets.load_dataset_builder(f"hf://datasets/{repo}", config, revision=sha, token=repos.token())
        found = {
            str(split): [str(file) for file in files] for split, files in (builder.config.data_files or {}).items()
        }
    start = f"hf://datasets/{repo}@{sha}/"
    for file in (file for files in found.values() for file in files):
        if not file.startswith(start) or "::" in file or not repos.is_plain(file.removeprefix(start)):
            raise InputError("it keeps data in other places", field=f"data set {repo!r}", hint="use a plain data set")
    names = {split: [file.removeprefix(start) for file in files] for split, files in found.items()}
    if not any(names.values()) or sum(map(len, names.values())) > LISTED:
        raise InputError("it has no files, or too many", field=f"data set {repo!r}", hint="choose a smaller config")
    sizes = _sizes(repo, sha, [name for files in names.values() for name in files])
    listed = {split: [(name, sizes.get(name, 0)) for name in files] for split, files in names.items()}
    _keep(path, listed)
    return listed


def _sizes(repo: str, sha: str, names: list[str]) -> dict[str, int]:
    from huggingface_hub import HfApi, constants

    api, sizes = HfApi(endpoint=constants.ENDPOINT, token=repos.token()), {}
    with repos.said(repo, "dataset", sha):
        for start in range(0, len(names), 500):
            infos = api.get_paths_info(repo, names[start : start + 500], revision=sha, repo_type="dataset")
            sizes.update({info.path: int(getattr(info, "size", 0) or 0) for info in infos})
    return sizes


def _refuse_foreign(repo: str, sha: str) -> None:
    """Refuse a data set whose card names data elsewhere, or which is a script."""
    where = f"data set {repo!r}"
    found = repos.describe(repo, sha, "dataset", sizes=False)
    script = f"{repo.rsplit('/', 1)[-1]}.py"
    if script in found.files:
        raise InputError(
            f"it is a script ({script}), and scripts are not run", field=where, hint="use plain data files"
        )
    if found.gated and found.files:  # only a file's own answer says whether the user has accepted the terms
        ask(found, min(found.files))
    for card in ("README.md", ".huggingface.yaml"):
        if card not in found.files:
            continue
        text = bring(found, card, lambda _: None).read_bytes().decode("utf-8-sig", "replace")
        front = cards.front_of(text) if card == "README.md" else text
        try:
            values = cards.parsed(front, where) if front else None
        except InputError:
            raise
        except (yaml.YAMLError, ValueError, RecursionError):
            raise InputError("its card is malformed", field=where, hint="choose another data set") from None
        for pattern in _patterns(values.get("configs") if isinstance(values, dict) else None):
            if "://" in pattern or "::" in pattern or pattern.startswith(("/", "\\", "~")) or ".." in pattern:
                raise InputError(
                    f"its card points to data elsewhere ({pattern[:60]!r})", field=where, hint="use a plain data set"
                )


def _patterns(value: Any, depth: int = 0) -> Iterator[str]:
    """Every text below the configs of a card, whatever its key: each could be taken for a path."""
    if depth > 20:
        raise InputError("its card is nested too deep", field="data set", hint="choose another data set")
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _patterns(item, depth + 1)


@contextmanager
def _library(repo: str, sha: str) -> Iterator[Any]:
    """The library ``datasets``, quiet and without its counting of downloads; what it raises becomes one line."""
    import datasets

    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    datasets.disable_progress_bars()
    where = f"data set {repo!r}"
    try:
        with repos.said(repo, "dataset", sha):
            yield datasets
    except (InputError, Cancelled):
        raise
    except (datasets.exceptions.DataFilesNotFoundError, FileNotFoundError):
        raise InputError(
            "it has no data files that can be read", field=where, hint="use csv, jsonl, parquet, arrow or text files"
        ) from None
    except Exception as error:
        raise InputError(
            f"its files could not be listed ({type(error).__name__})", field=where, hint="choose another data set"
        ) from error
