"""A stand-in for the model hub on loopback: local folders served as model and data set repositories.

Layout: ``ROOT/models/OWNER/NAME/...`` and ``ROOT/datasets/OWNER/NAME/...``; a folder ``NAME@TAG`` beside one is that
repository at the revision TAG. Every request is recorded, so that a test can say what was asked for and what was not.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.helpers.homes import PATIENCE

LARGE = (".safetensors", ".parquet", ".arrow", ".bin", ".gz", ".jsonl")
"""Ends of the files that are stored apart, as large files are: asked for at one address, sent from another."""


class HubStandIn:
    """``with HubStandIn(root) as hub``: then ``hub.url`` is its ``HF_ENDPOINT``; the attributes below are switches."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.gated: set[str] = set()
        """Ids whose files need the token ``good``."""
        self.private: set[str] = set()
        """Ids that are not there without the token ``good``."""
        self.status: int | None = None
        """Answer everything with this."""
        self.cut_after: int | None = None
        """Break off a large file's body after so many bytes, ``cuts`` times."""
        self.cuts = 1
        self.pause = 0.0
        """Seconds between two pieces of ``piece`` bytes of a large file."""
        self.piece = 2**16
        self.silent: str | None = None
        """Never answer a request whose path contains this."""
        self.outwaited = False
        """Whether someone waited for such an answer until the stand-in itself gave up."""
        self.damaged = False
        """Send large files with a byte that is wrong."""
        self.surplus = 0
        """Send so many bytes more of a large file than it has."""
        self.once = False
        """An address of a large file's bytes serves one request, and then refuses with 403."""
        self.spent: set[str] = set()
        """The addresses that have served."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path with query, and headers (lower case) of all requests."""
        self._ended = threading.Event()

    def __enter__(self) -> HubStandIn:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """Variables with which another process takes this for the hub, and keeps its cache in ``home``."""
        cleared = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0", "HF_TOKEN": "", "NO_PROXY": "*"}
        caches = {"HF_HUB_CACHE": str(home / "hub"), "HF_DATASETS_CACHE": str(home / "datasets")}
        return {**os.environ, **cleared, **caches, "HF_ENDPOINT": self.url, "HF_HOME": str(home)}

    @contextmanager
    def here(self, home: Path) -> Iterator[HubStandIn]:
        """The same within this process: the libraries read these when they are imported, so they are put in place."""
        import datasets
        import pytest
        from huggingface_hub import HfFileSystem, constants

        patch = pytest.MonkeyPatch()
        for key, value in (("NO_PROXY", "*"), ("HF_TOKEN", "")):
            patch.setenv(key, value)
        patch.setattr(constants, "ENDPOINT", self.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", self.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(datasets.config, "HF_ENDPOINT", self.url)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        patch.setattr(datasets.config, "HF_DATASETS_OFFLINE", False)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(home / "datasets"))
        HfFileSystem.clear_instance_cache()
        try:
            yield self
        finally:
            patch.undo()
            HfFileSystem.clear_instance_cache()

    def paths(self) -> list[str]:
        """The paths of all requests, without queries."""
        return [urlsplit(path).path for _, path, _ in self.requests]

    def folder(self, kind: str, repo: str, revision: str | None = None) -> Path | None:
        """The folder of a repository at a revision."""
        plain = self.root / kind / repo
        if not plain.is_dir():
            return None
        tagged = self.root / kind / f"{repo}@{quote(str(revision), safe='')}"
        for folder in [tagged, plain, *sorted(plain.parent.glob(f"{plain.name}@*"))]:
            if folder.is_dir() and revision in (None, "main", commit(folder)) and folder != tagged:
                return folder
        return tagged if revision and tagged.is_dir() else None

    def commit(self, kind: str, repo: str, revision: str | None = None) -> str:
        """The commit that a repository is at."""
        folder = self.folder(kind, repo, revision)
        assert folder is not None, f"the stand-in has no {kind}/{repo}"
        return commit(folder)


def files_of(folder: Path) -> dict[str, Path]:
    """Name in the repository to file."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def commit(folder: Path) -> str:
    """A repository's commit: changes with its content."""
    facts = [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in files_of(folder).items()]
    return hashlib.sha1(json.dumps([str(folder), facts]).encode(), usedforsecurity=False).hexdigest()


_DIGESTS: dict[tuple[str, int, int], tuple[str, str]] = {}


def digests(path: Path) -> tuple[str, str]:
    """Git's SHA-1 of a file as a blob, and its SHA-256."""
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    if key not in _DIGESTS:
        git, plain = hashlib.sha1(f"blob {stat.st_size}\0".encode(), usedforsecurity=False), hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                git.update(chunk)
                plain.update(chunk)
        _DIGESTS[key] = (git.hexdigest(), plain.hexdigest())
    return _DIGESTS[key]


def entry(name: str, path: Path) -> dict[str, Any]:
    """A file as listings show it."""
    git, plain = digests(path)
    size = path.stat().st_size
    values: dict[str, Any] = {"type": "file", "path": name, "size": size, "oid": git}
    if name.endswith(LARGE):
        values["lfs"] = {"oid": plain, "sha256": plain, "size": size, "pointerSize": 134}
    return values


class _Handler(BaseHTTPRequestHandler):
    hub: HubStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, address = self.hub, urlsplit(self.path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        hub.requests.append((self.command, self.path, headers))
        body = self.rfile.read(int(headers.get("content-length") or 0))
        if hub.silent is not None and hub.silent in self.path:
            hub.outwaited |= not hub._ended.wait(PATIENCE)
            self.close_connection = True
            return
        if hub.status is not None:
            return self._send(hub.status, b"")
        parts = [unquote(part) for part in address.path.split("/") if part]
        try:
            if parts[:1] == ["api"] and parts[1] in ("models", "datasets"):
                return self._api(parts[1], parts[2:], parse_qs(address.query), body)
            if parts[:1] == ["large"]:
                if hub.once and self.path in hub.spent:
                    return self._send(403, b"")
                hub.spent.add(self.path)
                return self._body(Path("/") / "/".join(parts[2:]), parts[1])
            kind, rest = ("datasets", parts[1:]) if parts[:1] == ["datasets"] else ("models", parts)
            at = rest.index("resolve")
            return self._resolve(kind, "/".join(rest[:at]), rest[at + 1], "/".join(rest[at + 2 :]))
        except (ValueError, IndexError):
            return self._send(404, b"")

    def _repo(self, kind: str, repo: str, revision: str | None, *, files: bool) -> Path | None:
        """The folder, or ``None`` when the refusal has been sent."""
        hub = self.hub
        allowed = self.headers.get("authorization") == "Bearer good"
        folder = hub.folder(kind, repo, revision)
        if hub.folder(kind, repo) is None or (repo in hub.private and not allowed):
            self._send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif repo in hub.gated and files and not allowed:
            self._send(401, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to it is restricted"})
        elif folder is None:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
        else:
            return folder
        return None

    def _api(self, kind: str, parts: list[str], query: dict[str, list[str]], body: bytes) -> None:
        verbs = [i for i, part in enumerate(parts) if part in ("revision", "tree", "paths-info")]
        at = verbs[0] if verbs else len(parts)
        repo, verb = "/".join(parts[:at]), parts[at] if verbs else ""
        revision = parts[at + 1] if verbs else None
        folder = self._repo(kind, repo, revision, files=verb in ("tree", "paths-info"))
        if folder is None:
            return None
        files = files_of(folder)
        if verb == "tree":
            return self._tree(files, "/".join(parts[at + 2 :]), recursive="true" in str(query.get("recursive")).lower())
        if verb == "paths-info":
            sent = self.headers.get("content-type", "")
            values = json.loads(body) if "json" in sent else parse_qs(body.decode())
            wanted = values.get("paths", [])
            found = [entry(name, files[name]) for name in wanted if name in files]
            folders = {str(parent) for name in files for parent in Path(name).parents}
            found += [{"type": "directory", "path": name, "oid": "0" * 40} for name in wanted if name in folders]
            return self._json(found)
        siblings = []
        for name, path in files.items():
            facts = entry(name, path)
            sibling = {"rfilename": name, "size": facts["size"], "blobId": facts["oid"]}
            siblings.append(sibling | ({"lfs": facts["lfs"]} if "lfs" in facts else {}))
        gated = "manual" if repo in self.hub.gated else False
        values = {"_id": "0", "id": repo, "sha": commit(folder), "private": repo in self.hub.private, "gated": gated,
                  "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": siblings}  # fmt: skip
        return self._json(values)

    def _tree(self, files: dict[str, Path], under: str, *, recursive: bool) -> None:
        start = f"{under}/" if under else ""
        inside = {name: path for name, path in files.items() if name.startswith(start)}
        if under and not inside:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "no such path"})
        folders = {start + "/".join(p.parts) for n in inside for p in list(Path(n[len(start) :]).parents)[:-1]}
        found = [entry(name, path) for name, path in inside.items() if recursive or "/" not in name[len(start) :]]
        shown = [name for name in sorted(folders) if recursive or "/" not in name[len(start) :]]
        return self._json(found + [{"type": "directory", "path": name, "oid": "0" * 40} for name in shown])

    def _resolve(self, kind: str, repo: str, revision: str, name: str) -> None:
        folder = self._repo(kind, repo, revision, files=True)
        if folder is None:
            return None
        head = {"X-Repo-Commit": commit(folder)}
        path = folder / name
        if not path.is_file():
            return self._send(404, b"", head | {"X-Error-Code": "EntryNotFound", "X-Error-Message": "no such file"})
        git, plain = digests(path)
        if name.endswith(LARGE):
            # Another name of the same machine: to a client, another site, which must not see the token.
            signed = f"?signed={len(self.hub.requests)}" if self.hub.once else ""
            head["Location"] = f"http://localhost:{self.hub.port}/large/{plain}{quote(str(path))}{signed}"
            head |= {"X-Linked-Size": str(path.stat().st_size), "X-Linked-ETag": f'"{plain}"', "ETag": f'"{git}"'}
            return self._send(302, b"", head)
        return self._send(200, path.read_bytes(), head | {"ETag": f'"{git}"'})

    def _body(self, path: Path, etag: str) -> None:
        hub, size = self.hub, path.stat().st_size
        start, end = 0, size
        span = self.headers.get("range", "")
        if span.startswith("bytes="):
            first, last = span[6:].split("-")
            start, end = int(first), min(int(last) + 1, size) if last else size
        self.send_response(206 if span else 200)
        if span:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - start + hub.surplus))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = 0
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(min(hub.piece, end - start - sent)):
                if hub.cut_after is not None and hub.cuts > 0 and sent + len(chunk) > hub.cut_after:
                    hub.cuts -= 1
                    self.wfile.write(chunk[: hub.cut_after - sent])
                    self.close_connection = True
                    return
                if hub.damaged and start + sent == 0:
                    chunk = bytes([chunk[0] ^ 1]) + chunk[1:]
                try:
                    self.wfile.write(chunk)
                except OSError:  # the client has gone
                    self.close_connection = True
                    return
                sent += len(chunk)
                time.sleep(hub.pause)
        try:
            self.wfile.write(b"x" * hub.surplus)
        except OSError:
            self.close_connection = True

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
