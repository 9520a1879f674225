"""The hub: which commit, which files, and bringing them here byte by byte; every fault is one line.

Downloads lie in the ordinary cache of ``huggingface_hub``, so that what is there already is used. They are our own,
because that library's neither resume after a break nor can be stopped within a file. ``HF_ENDPOINT`` and
``HF_HUB_OFFLINE`` are heeded; ``HF_TOKEN`` is read from the environment alone and stands in no message.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from untrac_core.errors import Cancelled, InputError

Kind = Literal["model", "dataset"]
CALLED: dict[Kind, str] = {"model": "model", "dataset": "data set"}
TIMEOUT = 15.0
"""Seconds without an answer, or without a byte, after which the hub counts as silent."""
SPARE = 200 * 10**6
"""Bytes of disk that a download leaves free."""
COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"(?!.*\.\.)[\w][\w./+-]{0,199}")


@dataclass(frozen=True)
class HubRepo:
    """A repository at one commit: its files and their bytes."""

    id: str
    kind: Kind
    sha: str
    files: dict[str, int]
    gated: bool


def token() -> str | bool:
    """The user's token from ``HF_TOKEN``; ``False`` (send none, not even a stored one) without it."""
    return os.environ.get("HF_TOKEN", "").strip() or False


@contextmanager
def said(repo: str, kind: Kind = "model", revision: str | None = None) -> Iterator[None]:
    """Turn whatever goes wrong at the hub inside into one line for the user."""
    try:
        yield
    except (InputError, Cancelled):
        raise
    except Exception as error:
        fault = explain(error, repo, kind, revision)
        if fault is None:
            raise
        raise fault from None


def explain(error: BaseException, repo: str, kind: Kind, revision: str | None) -> InputError | None:
    """The line for an error of the hub, or of what it was the cause of; ``None`` for one that is not the hub's."""
    import httpx2
    from huggingface_hub import errors

    what, name = CALLED[kind], f"{repo!r}"
    revised = f" at revision {revision!r}" if revision else ""
    lines: list[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str]] = [
        (
            errors.HFValidationError,
            f"{name} is neither a folder nor a hub id" if kind == "model" else f"{name} is not a hub id",
            "a hub id looks like 'owner/name'",
        ),
        (errors.GatedRepoError, f"the {what} {name} is gated", "accept its terms on the hub and set HF_TOKEN"),
        (errors.DisabledRepoError, f"the hub has disabled the {what} {name}", "choose another"),
        (errors.RevisionNotFoundError, f"the {what} {name} has no revision {revision!r}", "check the revision"),
        (
            errors.RepositoryNotFoundError,
            f"the hub has no {what} {name}",
            "check the id, or set HF_TOKEN if it is private",
        ),
        (errors.RemoteEntryNotFoundError, f"the {what} {name}{revised} lacks a file that it should have", "try again"),
        (
            (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, httpx2.ConnectError, httpx2.ProxyError),
            f"the hub could not be reached for {name}",
            "go online (is HF_HUB_OFFLINE set?), or name a local copy",
        ),
        (httpx2.TimeoutException, f"the hub stopped answering for {name}", "try again later"),
    ]
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for kinds, sentence, hint in lines:
        if any(isinstance(link, kinds) for link in chain):
            return InputError(sentence, field=what, hint=hint)
    for link in chain:
        if isinstance(link, errors.HfHubHTTPError):
            return _refused(link, what, name)
        if isinstance(link, httpx2.HTTPError):
            return InputError(f"the download of {name} broke off", field=what, hint="start it again; it goes on there")
        if isinstance(link, errors.FileMetadataError):
            return InputError(f"the hub's answer for {name} is incomplete", field=what, hint="check HF_ENDPOINT")
    return None


def _refused(error: Any, what: str, name: str) -> InputError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return InputError(f"the hub does not let you read {name}", field=what, hint="check HF_TOKEN and its rights")
    if status == 429:
        return InputError(f"the hub asks to wait (too many requests) for {name}", field=what, hint="try again later")
    return InputError(f"the hub answered {status} for {name}", field=what, hint="try again later")


def _checked(repo: str, revision: str | None, kind: Kind) -> None:
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    with said(repo, kind, revision):
        validate_repo_id(repo)
    if revision is not None and not _REVISION.fullmatch(revision):
        raise InputError(
            f"{revision[:60]!r} is not a revision", field=CALLED[kind], hint="name a branch, a tag or a commit"
        )


def is_plain(name: str) -> bool:
    """Whether a file's name stays below its repository."""
    return not name.startswith(("/", "\\")) and "\0" not in name and ".." not in name.replace("\\", "/").split("/")


def describe(repo: str, revision: str | None, kind: Kind = "model", *, sizes: bool = True) -> HubRepo:
    """Ask the hub for a repository: its commit, and its files with their sizes (0 without ``sizes``: quicker)."""
    from huggingface_hub import HfApi, constants

    _checked(repo, revision, kind)
    with said(repo, kind, revision):
        info = HfApi(endpoint=constants.ENDPOINT, token=token()).repo_info(
            repo, revision=revision, repo_type=kind, files_metadata=sizes, timeout=TIMEOUT
        )
        siblings = getattr(info, "siblings", None) or []
        files = {file.rfilename: int(file.size or 0) for file in siblings if is_plain(file.rfilename)}
        if not COMMIT.fullmatch(str(info.sha)):
            raise InputError(f"the hub's answer for {repo!r} is incomplete", field=CALLED[kind], hint="try again")
        return HubRepo(repo, kind, str(info.sha), files, bool(getattr(info, "gated", False)))


def pin(repo: str, revision: str | None, kind: Kind = "model") -> str:
    """The commit (40 hexadecimal digits) that a revision, or the main branch, is now; a commit is itself.

    Noted in the cache: where the hub cannot be reached, it is what it was when it was last asked for.
    """
    _checked(repo, revision, kind)
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    try:
        sha = describe(repo, revision, kind, sizes=False).sha
    except InputError as error:
        known = known_commit(repo, revision, kind) if "could not be reached" in error.message else None
        if known is None:
            raise
        return known
    with suppress(OSError):  # a cache that cannot be written to still serves a run that is online
        remember(repo, kind, revision, sha)
    return sha


def storage(repo: str, kind: Kind = "model") -> Path:
    """The cache's folder of a repository; it need not be there."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type=kind)


def known_commit(repo: str, revision: str | None, kind: Kind = "model") -> str | None:
    """The commit of a revision as the cache knows it, without asking the hub."""
    _checked(repo, revision, kind)
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    try:
        sha = (storage(repo, kind) / "refs" / (revision or "main")).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return sha if COMMIT.fullmatch(sha) else None


def snapshot(repo: str, sha: str, kind: Kind = "model") -> Path:
    """The folder in which a commit's files appear; it need not be there, and need not be complete."""
    return storage(repo, kind) / "snapshots" / sha


def require_disk(size: int, repo: str, kind: Kind) -> None:
    """Refuse what the cache's disk has no room for."""
    place = storage(repo, kind)
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if size and size + SPARE > free:
        raise InputError(
            f"{repo!r} needs {size / 1e9:.1f} GB of disk, and {max(free - SPARE, 0) / 1e9:.1f} GB are free",
            field=CALLED[kind],
            hint="free space, or set HF_HOME to a larger disk",
        )


def remember(repo: str, kind: Kind, revision: str | None, sha: str) -> None:
    """Note in the cache which commit a branch or a tag was, as ``huggingface_hub`` does, for use without the hub."""
    path = storage(repo, kind) / "refs" / (revision or "main")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(sha, encoding="ascii")
    os.replace(part, path)
