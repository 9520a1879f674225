"""Records from csv, tsv, jsonl and txt files; every fault is one line that names the file and the place in it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError
from untrac_core.home import DEMO
from untrac_core.specs import Columns, Source

SUFFIXES = ("csv", "tsv", "jsonl", "txt")
FILE_BYTES = 256 * 2**20
FIELD_CHARACTERS = 1_000_000
COLUMNS_MOST = 200

# Column names that people use, best first; used for a guess that the user can change.
GUESSES = {
    "completion": ("completion", "text", "generation", "sentence", "answer", "response", "continuation", "output"),
    "prompt": ("prompt", "question", "context", "instruction", "input"),
    "group": ("group", "target_group", "category", "topic", "bias_type"),
    "label": ("label", "side", "class", "toxicity", "prompt_label"),
    "id": ("id", "uid", "idx"),
    "text": ("text", "content", "document", "body", "completion", "sentence"),
}


@dataclass(frozen=True)
class Records:
    """The rows of one file, every value a string; ``blank`` rows were empty and are not among them."""

    path: Path
    columns: list[str]
    rows: list[dict[str, str]]
    digest: str
    """SHA-256 of the file's bytes."""
    blank: int = 0
    lines: list[int] = field(default_factory=list)
    """Line number of each row in the file, from 1."""

    def column(self, name: str, *, where: str) -> list[str]:
        """One column's values, in row order; an unknown name is an :class:`InputError` that lists the columns."""
        if name not in self.columns:
            known = ", ".join(repr(column) for column in self.columns[:20])
            raise InputError(f"{self.path.name} has no column {name!r}", where=where, mend=f"its columns are {known}")
        return [row.get(name, "") for row in self.rows]


def locate(source: Source, *, where: str) -> Path:
    """The file of a source; a bundled one must stay within the demo's folder."""
    if source.file is not None:
        return Path(source.file)
    path = (DEMO / str(source.bundled)).resolve()
    if not path.is_relative_to(DEMO.resolve()) or not path.is_file():
        raise InputError(f"the demo has no file {source.bundled!r}", where=where, mend="see assets/demo for its files")
    return path


def guess_columns(columns: list[str]) -> Columns:
    """Which column is likely to hold what in a prompt set; a guess to be confirmed by the user."""
    lower = {column.lower(): column for column in columns}

    def pick(role: str) -> str | None:
        return next((lower[name] for name in GUESSES[role] if name in lower), None)

    completion = pick("completion") or (columns[0] if columns else "completion")
    roles = {role: pick(role) for role in ("prompt", "group", "label", "id")}
    taken = {role: value for role, value in roles.items() if value != completion}
    return Columns(completion=completion, **taken)


def guess_text(columns: list[str]) -> str:
    """Which column is likely to hold the text of a training subset."""
    lower = {column.lower(): column for column in columns}
    return next((lower[name] for name in GUESSES["text"] if name in lower), columns[0] if columns else "text")


def read_records(path: Path, *, where: str = "", paragraphs: bool = False) -> Records:
    """Read a file by its suffix.

    A txt file has one column, ``text``: a line is a record, or, with ``paragraphs``, what stands between blank lines
    (where the file has any). Raises :class:`InputError` for a file that is missing, empty, too large, not UTF-8 or
    malformed, with the number of the first bad line.
    """
    where = where or path.name
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path.name} is not a csv, tsv, jsonl or txt file", where=where, mend="convert it to one of them"
        )
    data = _read_bytes(path, where)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path.name} is not UTF-8 text (line {line})", where=where, mend="save it as UTF-8") from None
    if "\0" in text:
        raise InputError(f"{path.name} has NUL characters, so it is not text", where=where, mend="check the file")
    readers = {"csv": _csv, "tsv": _csv, "jsonl": _jsonl, "txt": _txt}
    parsed = list(readers[suffix](text, path, where, "\t" if suffix == "tsv" else ",", paragraphs))
    kept = [(line, row) for line, row in parsed if any(value.strip() for value in row.values())]
    if not kept:
        raise InputError(f"{path.name} has no records", where=where, mend="give a file with at least one")
    columns = list(dict.fromkeys(name for _, row in kept for name in row))
    if len(columns) > COLUMNS_MOST:
        raise InputError(f"{path.name} has {len(columns)} columns", where=where, mend=f"keep at most {COLUMNS_MOST}")
    digest = hashlib.sha256(data).hexdigest()
    rows, lines = [row for _, row in kept], [line for line, _ in kept]
    return Records(path, columns, rows, digest, len(parsed) - len(kept), lines)


def _read_bytes(path: Path, where: str) -> bytes:
    try:
        if not path.is_file():
            raise InputError(f"there is no file {str(path)!r}", where=where, mend="check the path")
        size = path.stat().st_size
        if size > FILE_BYTES:
            raise InputError(
                f"{path.name} has {size / 2**20:.0f} MB, more than {FILE_BYTES // 2**20}",
                where=where,
                mend="cut it, or split it into several files",
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path.name} ({error.strerror})", where=where, mend="check its rights") from None


def _bounded(value: str, path: Path, line: int, where: str) -> str:
    if len(value) > FIELD_CHARACTERS:
        raise InputError(
            f"{path.name} line {line} has a field of {len(value):,} characters",
            where=where,
            mend=f"cut it to {FIELD_CHARACTERS:,}",
        )
    return value


def _csv(text: str, path: Path, where: str, delimiter: str, _: bool) -> Iterator[tuple[int, dict[str, str]]]:
    csv.field_size_limit(FIELD_CHARACTERS)
    # Not splitlines(): it would also end a line at U+2028, a form feed and others, which may stand in a text.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(set(header)) != len(header) or "" in header:
            raise InputError(
                f"{path.name} has an empty or repeated column name in line 1", where=where, mend="name each column once"
            )
        for values in reader:
            if not values:
                yield reader.line_num, {}
                continue
            if len(values) != len(header):
                raise InputError(
                    f"{path.name} line {reader.line_num} has {len(values)} fields, the header has {len(header)}",
                    where=where,
                    mend="quote fields that hold the separator",
                )
            yield reader.line_num, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise InputError(
            f"{path.name} line {reader.line_num} is malformed ({error})", where=where, mend="mend the quotes"
        ) from None


def _jsonl(text: str, path: Path, where: str, _: str, __: bool) -> Iterator[tuple[int, dict[str, str]]]:
    # Not splitlines(): JSON strings may hold characters such as U+2028 that it would take for line ends.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(
                f"{path.name} line {number} is not valid JSON", where=where, mend="write one JSON object a line"
            ) from None
        if not isinstance(value, dict):
            raise InputError(
                f"{path.name} line {number} is not a JSON object", where=where, mend="write one object a line"
            )
        yield number, {_storable(key): _bounded(_text(item), path, number, where) for key, item in value.items()}


def _text(value: Any) -> str:
    """A JSON value as the text that a column shows: strings as they are, nothing for null, the rest as JSON."""
    if value is None:
        return ""
    return _storable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _storable(text: str) -> str:
    """Without lone surrogates, which JSON can spell but UTF-8, and so every result file, cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _txt(text: str, path: Path, where: str, _: str, paragraphs: bool) -> Iterator[tuple[int, dict[str, str]]]:
    lines = text.replace("\r\n", "\n").rstrip().split("\n")
    if not (paragraphs and any(not line.strip() for line in lines)):
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, {"text": _bounded(line, path, number, where)}
        return
    start, held = 1, list[str]()
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            start = start if held else number
            held.append(line)
        elif held:
            yield start, {"text": _bounded("\n".join(held), path, start, where)}
            held = []
