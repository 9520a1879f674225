"""The files of a source: where they are, how large, and what tells that they are still the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from untrac_core.data.readers.formats import FORMATS, format_of
from untrac_core.errors import InputError
from untrac_core.paths import DEMO, data_home
from untrac_core.progress import Progress, Silent
from untrac_core.specs import Source

FILES_MOST = 20_000
DEPTH = 6
NOT_DATA = {"readme", "license", "licence", "notice", "changelog", "requirements", "citation"}
BOOKS = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""What ``datasets`` writes beside the files of a data set."""


@dataclass(frozen=True)
class DataFile:
    """One file of a source."""

    name: str
    """Relative to the folder or data set; its suffix tells the format."""
    size: int
    """Bytes, as stored."""
    identity: str
    """Changes where the content may have changed."""
    open: Callable[[], BinaryIO]
    path: Path | None = None


def locate(source: Source, *, where: str) -> Path:
    """The file (or folder) of a local source; a bundled one must stay within the demo's folder."""
    if source.file is not None or source.folder is not None:
        return Path(str(source.file or source.folder))
    if source.kept is not None:
        return data_home() / "library" / "data" / f"{source.kept}.jsonl"
    if source.bundled is None:
        raise InputError("this source is on the hub, not here", field=where, hint="fetch it first")
    path = (DEMO / source.bundled).resolve()
    if not path.is_relative_to(DEMO.resolve()) or not path.is_file():
        raise InputError(f"the demo has no file {source.bundled!r}", field=where, hint="see assets/demo for its files")
    return path


def title(source: Source) -> str:
    """A short name for messages and tables: the file's, the folder's, or the data set's."""
    if source.hub is not None:
        return "/".join(part for part in (source.hub, source.config, source.split) if part)
    if source.kept is not None:
        return f"library {source.kept[:12]}"
    return Path(str(source.file or source.folder or source.bundled)).name


def files_of(source: Source, *, where: str, progress: Progress | None = None) -> list[DataFile]:
    """All data files of a source, in a fixed order; raises :class:`InputError` where there is none."""
    if source.hub is not None:
        return _on_the_hub(source, progress or Silent())
    path = locate(source, where=where)
    if source.folder is None:
        if source.kept is not None and not path.is_file():
            raise InputError("these records are no longer in the library", field=where, hint="add them again")
        return [local_file(path, path.name, where=where)]
    return _in_folder(path, where)


def storable(name: str) -> str:
    """A file's name as text that can be written: the bytes of a name that is not UTF-8 become ``\\udcNN``."""
    return name.encode("utf-8", "backslashreplace").decode()


def local_file(path: Path, name: str, *, where: str) -> DataFile:
    """A file on this machine; refuses what is missing or no plain file (a device, a pipe)."""
    name = storable(name)
    try:
        status = path.stat() if path.is_file() else None
    except (OSError, ValueError) as error:
        raise _unreadable(name, error, where) from None
    if status is None:
        raise InputError(f"there is no file {str(path)!r}", field=where, hint="check the path")

    def opened() -> BinaryIO:
        try:
            return open(path, "rb")
        except OSError as error:
            raise _unreadable(name, error, where) from None

    return DataFile(name, status.st_size, f"{path} {status.st_size} {status.st_mtime_ns}", opened, path)


def _unreadable(name: str, error: Exception, where: str) -> InputError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return InputError(f"cannot read {name} ({reason})", field=where, hint="check its rights")


def _in_folder(folder: Path, where: str) -> list[DataFile]:
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}", field=where, hint="check the path")
    paths = sorted(_walk(folder, folder.resolve(), 0), key=lambda path: path.relative_to(folder).parts)
    if not paths:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise InputError(f"the folder {folder.name!r} has no data files", field=where, hint=f"they end in {known}")
    if len(paths) > FILES_MOST:
        raise InputError(f"{folder.name!r} has over {FILES_MOST:,} data files", field=where, hint="join some of them")
    return [local_file(path, path.relative_to(folder).as_posix(), where=where) for path in paths]


def _walk(folder: Path, root: Path, depth: int) -> Iterator[Path]:
    """Data files below a folder; hidden ones, notes about the data, and links that leave the folder are passed over."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith((".", "_")):
            continue
        if entry.is_symlink() and not path.resolve().is_relative_to(root):
            continue
        if entry.is_dir():
            if depth < DEPTH and not entry.is_symlink():
                yield from _walk(path, root, depth + 1)
        elif entry.is_file() and is_data(entry.name):
            yield path


def is_data(name: str) -> bool:
    """Whether a file's name is that of data, not of a note about them."""
    base = name.rsplit("/", 1)[-1].lower()
    return format_of(base) is not None and base not in BOOKS and base.split(".")[0] not in NOT_DATA


def _on_the_hub(source: Source, progress: Progress) -> list[DataFile]:
    # Imported here: everything else works without the hub's libraries.
    from untrac_core.hub.datasets import data_files

    return [DataFile(file.name, file.size, file.identity, file.open) for file in data_files(source, progress)]
