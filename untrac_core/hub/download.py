"""Files of a repository on the hub, byte by byte: resumed after a break, checked, kept in the ordinary cache."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from untrac_core.errors import InputError
from untrac_core.hub.repos import (
    CALLED,
    COMMIT,
    TIMEOUT,
    HubRepo,
    remember,
    require_disk,
    said,
    snapshot,
    storage,
    token,
)
from untrac_core.progress import Progress, Silent

RETRIES = 4
"""Times that a broken transfer is taken up again where it stopped."""
CHUNK = 2**18
_ETAG = re.compile(r"[\w-]{8,128}")


def ask(repo: HubRepo, file: str) -> tuple[str, str, str, int | None]:
    """What the hub says of a file: its address, the address of its bytes, its ETag and its size."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import get_hf_file_metadata

    with said(repo.id, repo.kind, repo.sha):
        url = hf_hub_url(repo.id, file, repo_type=repo.kind, revision=repo.sha, endpoint=constants.ENDPOINT)
        facts = get_hf_file_metadata(url, token=token(), timeout=TIMEOUT, endpoint=constants.ENDPOINT)
        return url, facts.location, str(facts.etag), facts.size


def bring(repo: HubRepo, file: str, tick: Callable[[int], None]) -> Path:
    """Bring one file of a repository into the cache, going on where an earlier attempt stopped; its path there.

    ``tick`` is called with the bytes of it that are here.
    """
    from huggingface_hub import constants, hf_hub_download

    place = snapshot(repo.id, repo.sha, repo.kind) / file
    if place.exists():
        return place
    with said(repo.id, repo.kind, repo.sha):
        url, location, etag, size = ask(repo, file)
        if not _ETAG.fullmatch(etag) or size is None:
            raise InputError(
                f"the hub's answer for {repo.id!r} is incomplete", field=CALLED[repo.kind], hint="try again"
            )
        blobs = storage(repo.id, repo.kind) / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        part = blobs / f".{etag}.untrac.part"
        with _lock(repo, etag, lambda: tick(part.stat().st_size if part.exists() else 0)):
            if not (blobs / etag).exists():
                require_disk(size - (part.stat().st_size if part.exists() else 0), repo.id, repo.kind)
                _transfer(repo, file, url, location, size, part, tick)
                _verify(part, etag, repo, file)
                os.replace(part, blobs / etag)
        return Path(
            hf_hub_download(
                repo.id, file, repo_type=repo.kind, revision=repo.sha, token=token(), endpoint=constants.ENDPOINT
            )
        )


@contextmanager
def _lock(repo: HubRepo, etag: str, wait: Callable[[], None]) -> Iterator[None]:
    """One process at a time brings a file; the others call ``wait`` twice a second."""
    from filelock import FileLock, Timeout

    place = storage(repo.id, repo.kind)
    folder = place.parent / ".locks" / place.name
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{etag}.untrac.lock")
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            wait()
    try:
        yield
    finally:
        lock.release()


def _transfer(
    repo: HubRepo, file: str, url: str, location: str, size: int, part: Path, tick: Callable[[int], None]
) -> None:
    """Append to ``part`` until it has ``size`` bytes; a broken stream is taken up again, up to a few times in a row."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    failures, longer, renewed = 0, 0, False
    while True:
        before = part.stat().st_size if part.exists() else 0
        if before > size:
            part.unlink()
            before = 0
        tick(before)
        if before == size and part.exists():
            return
        try:
            with part.open("ab") as out, stream(url, location, before) as (chunks, resumed):
                if not resumed:
                    out.seek(0)
                    out.truncate()
                last = time.monotonic()
                for chunk in chunks:
                    out.write(chunk)
                    if out.tell() > size:
                        break
                    if time.monotonic() - last > 0.2:
                        last = time.monotonic()
                        tick(out.tell())
                here = out.tell()
            if here == size:
                continue
            if here < size:
                raise httpx2.RemoteProtocolError("the stream ended early")
            longer += 1  # never reset: each time, it begins again with nothing
            if longer > RETRIES:
                part.unlink()
                raise _damaged(repo, file)
        except (httpx2.TransportError, httpx2.StreamError):
            here = part.stat().st_size
            failures, renewed = (1, False) if here > before else (failures + 1, renewed)
            if failures > RETRIES:
                raise
            time.sleep(min(0.5 * failures, 2.0))
        except HfHubHTTPError as error:
            # A signed address runs out with 403; the hub is asked for a new one, once for each break.
            if renewed or error.response.status_code != 403:
                raise
            url, location, *_ = ask(repo, file)
            renewed = True


@contextmanager
def stream(url: str, location: str, start: int, end: int | None = None) -> Iterator[tuple[Iterator[bytes], bool]]:
    """The bytes of a file from ``start`` (to ``end``, not included), and whether they begin there (or at 0)."""
    from urllib.parse import urlsplit

    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

    # A signed address elsewhere, to which the hub redirects, must not see the token.
    own = urlsplit(location).netloc == urlsplit(constants.ENDPOINT).netloc
    headers = build_hf_headers(token=token() if own else False)
    headers["Accept-Encoding"] = "identity"
    if start or end is not None:
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    with get_session().stream(
        "GET", location or url, headers=headers, timeout=TIMEOUT, follow_redirects=own
    ) as response:
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        yield response.iter_bytes(CHUNK), response.status_code == 206 or start == 0


def _verify(part: Path, etag: str, repo: HubRepo, file: str) -> None:
    """The hub names large files by their SHA-256, small ones by git's SHA-1; what is neither is taken as it is."""
    if len(etag) == 64:
        digest = hashlib.sha256()
    elif len(etag) == 40:
        digest = hashlib.sha1(f"blob {part.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        return
    with part.open("rb") as data:
        while chunk := data.read(2**22):
            digest.update(chunk)
    if digest.hexdigest() != etag:
        part.unlink()
        raise _damaged(repo, file)


def _damaged(repo: HubRepo, file: str) -> InputError:
    return InputError(f"{file} of {repo.id!r} came damaged", field=CALLED[repo.kind], hint="start the download again")


def read_start(repo: HubRepo, file: str, size: int) -> bytes:
    """The first ``size`` bytes of a file, or all of a shorter one."""
    return read_range(repo, file, 0, min(size, repo.files.get(file, size)))


def read_range(repo: HubRepo, file: str, start: int, end: int) -> bytes:
    """The bytes of a file from ``start`` to ``end`` (not included), asked for by a range; nothing is kept."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    failures, renew = 0, False
    with said(repo.id, repo.kind, repo.sha):
        while True:
            try:
                return _range(repo, file, start, end, renew=renew)
            except (httpx2.TransportError, httpx2.StreamError, HfHubHTTPError) as error:
                status = error.response.status_code if isinstance(error, HfHubHTTPError) else 500
                # A signed address runs out with 403; of other refusals, asking again changes nothing.
                if failures >= RETRIES or (status < 500 and (failures or status != 403)):
                    raise
                failures, renew = failures + 1, status < 500
                time.sleep(min(0.5 * failures, 2.0))


_ADDRESSES: dict[tuple[str, str, str], tuple[str, str]] = {}


def _range(repo: HubRepo, file: str, start: int, end: int, *, renew: bool) -> bytes:
    import httpx2
    from huggingface_hub import constants

    key = (constants.ENDPOINT, f"{repo.kind} {repo.id}@{repo.sha}", file)
    if renew or key not in _ADDRESSES:
        _ADDRESSES[key] = ask(repo, file)[:2]
    data = bytearray()
    with stream(*_ADDRESSES[key], start, end) as (chunks, ranged):
        if not ranged:
            raise InputError("the hub does not send parts of files", field=CALLED[repo.kind], hint="try again later")
        for chunk in chunks:
            data += chunk
            if len(data) >= end - start:  # a server that heeds no ranges sends it all
                break
    if len(data) < end - start:
        raise httpx2.RemoteProtocolError("the stream ended early")
    return bytes(data[: end - start])


def fetch(repo: HubRepo, revision: str | None, names: list[str], *, progress: Progress | None = None) -> Path:
    """Bring the files of these names that the repository has here, in that order; the folder of their commit.

    ``progress`` is ticked in bytes of all files, at least once a second while they come, so that a tick that raises
    :class:`untrac_core.errors.Cancelled` stops it; the next call goes on where it stopped. A file whose bytes are not
    what the hub says they are is not kept.
    """
    folder = snapshot(repo.id, repo.sha, repo.kind)
    missing = [name for name in names if name in repo.files and not (folder / name).exists()]
    total = sum(repo.files[name] for name in missing)
    require_disk(total, repo.id, repo.kind)
    listener, done = progress or Silent(), 0
    if missing:
        listener.phase(f"downloading {repo.id} ({total / 1e6:,.1f} MB)")
    for name in missing:
        bring(repo, name, lambda here, before=done: listener.tick(before + here, total))  # type: ignore[misc]
        done += repo.files[name]
        listener.tick(done, total)
    if revision is None or not COMMIT.fullmatch(revision):
        remember(repo.id, repo.kind, revision, repo.sha)
    return folder
