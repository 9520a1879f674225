"""What stands in the library: its entries, read from their files, and those that come with the program."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from untrac_core.engine.library.records import data_path
from untrac_core.errors import InputError
from untrac_core.specs import ModelRef, PromptSet, Subset
from untrac_core.specs.build import build

Kind = Literal["model", "prompts", "subset"]
Value = ModelRef | PromptSet | Subset
VALUES: dict[str, type[Value]] = {"model": ModelRef, "prompts": PromptSet, "subset": Subset}
TITLES = {"model": "model", "prompts": "prompt set", "subset": "training subset"}
ENTRY_ID = re.compile(r"[0-9a-f]{12}|demo(-[a-z0-9_]{1,60})?")
ORIGIN = "the bundled demo"


@dataclass(frozen=True)
class Entry:
    """One thing of the library. ``value`` can stand in a spec as it is; ``added`` is in seconds since 1970."""

    id: str
    """12 hexadecimal digits of the hash of its content, or ``demo...`` for what comes with the program."""
    kind: Kind
    name: str
    value: Value
    facts: dict[str, Any]
    origin: str
    notes: list[str]
    added: float
    problem: str = ""
    """One line when it cannot be used as it is: its folder or its data have gone or changed."""
    stamp: str = ""
    """Sizes and times of a local model's files when it was added."""

    @property
    def builtin(self) -> bool:
        """It comes with the program, and can be neither renamed nor removed."""
        return self.id.startswith("demo")


def checked_kind(kind: str) -> Kind:
    """The kind itself, when it is one."""
    if kind not in VALUES:
        raise InputError(f"{kind!r} is not kept in the library", field="library", hint=f"choose {', '.join(VALUES)}")
    return kind  # type: ignore[return-value]


def checked_entry_id(entry_id: str) -> str:
    """The id itself, when it is well formed (ids come from URLs and command lines)."""
    if not isinstance(entry_id, str) or not ENTRY_ID.fullmatch(entry_id):
        shown = str(entry_id)[:40]
        raise InputError(f"{shown!r} is not the id of an entry", field="library", hint="see the list of the library")
    return entry_id


def to_json(entry: Entry) -> str:
    """The file of an entry; facts that JSON cannot hold become text."""
    values = {
        "version": 1,
        "kind": entry.kind,
        "name": entry.name,
        "value": entry.value.model_dump(mode="json", exclude_defaults=True),
        "facts": entry.facts,
        "origin": entry.origin,
        "notes": entry.notes,
        "added": entry.added,
        "stamp": entry.stamp,
    }
    return json.dumps(values, ensure_ascii=False, indent=1, default=str) + "\n"


def read_entry(path: Path, kind: Kind, home: Path) -> Entry:
    """Read an entry's file and see whether what it stands for is still there.

    Raises:
        InputError: when the file is damaged or from another version.
    """
    where = f"library entry {path.stem}"
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        value = build(VALUES[kind], held["value"], where=where)
        entry = Entry(
            id=path.stem,
            kind=kind,
            name=str(held["name"]),
            value=value,
            facts=dict(held["facts"]),
            origin=str(held["origin"]),
            notes=[str(note) for note in held["notes"]],
            added=float(held["added"]),
            stamp=str(held["stamp"]),
        )
    except FileNotFoundError:
        raise InputError(
            f"there is no {TITLES[kind]} {path.stem}", field="library", hint="see the list of the library"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # an InputError is a ValueError
        raise InputError("its file cannot be read", field=where, hint="remove it and add it again") from None
    return replace(entry, problem=problem(entry, home))


def problem(entry: Entry, home: Path) -> str:
    """Why an entry cannot be used as it is, in one line; empty when it can."""
    value = entry.value
    if isinstance(value, ModelRef):
        for path in (value.path, value.adapter):
            if path and os.path.isabs(path) and not os.path.isdir(path):
                return f"Model {entry.name!r}: its folder {path!r} is gone. Put it back, or remove this entry."
        if entry.stamp and entry.stamp != stamp_of(value):
            return f"Model {entry.name!r}: its files have changed since it was added. Add it again to see its facts."
        return ""
    source = value.source
    if source is not None and source.kept is not None and not data_path(home, source.kept).is_file():
        title = TITLES[entry.kind].capitalize()
        return f"{title} {entry.name!r}: its kept records are gone. Remove this entry and add it again."
    return ""


def stamp_of(ref: ModelRef) -> str:
    """Names, sizes and times of a local model's files; empty for one of the hub, which is pinned by its commit."""
    parts = []
    for path in (ref.path, ref.adapter):
        if path and os.path.isdir(path):
            for file in sorted(os.scandir(path), key=lambda item: item.name):
                if file.name.endswith((".safetensors", ".json", ".model", ".txt")) and file.is_file():
                    facts = file.stat()
                    parts.append(f"{file.name}:{facts.st_size}:{facts.st_mtime_ns}")
    return "|".join(parts)
