"""The library: models, prompt sets and training subsets that were added once, to be chosen ever after.

An entry is a small file, ``library/<kind>/<id>.json``, whose name is the hash of its content: the same thing added
twice is one entry. Records lie beside it under the hash of their bytes (:mod:`untrac_core.engine.library.records`) and
stay while an entry or a run mentions them, so a run keeps what it used even after the entry was removed. Models are
not copied: a local one is a path, one of the hub a commit.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from untrac_core.engine.library import records as kept
from untrac_core.engine.library.builtin import builtin
from untrac_core.engine.library.entries import (
    TITLES,
    VALUES,
    Entry,
    Kind,
    Value,
    checked_entry_id,
    checked_kind,
    read_entry,
    to_json,
)
from untrac_core.errors import InputError
from untrac_core.paths import data_home
from untrac_core.progress import Progress
from untrac_core.specs import ModelRef, PromptSet, Source, Subset

if TYPE_CHECKING:
    from untrac_core.data.subsets import SubsetData
    from untrac_core.engine.library.metadata import Metadata
    from untrac_core.engine.runs import Run

NAME_CHARACTERS = 80


class Library:
    """The library of one data home. Cheap to make; processes and threads may share it."""

    def __init__(self, home: str | Path | None = None) -> None:
        self.home = Path(home or data_home()).resolve()

    # -- look --

    def entries(self, kind: str) -> list[Entry]:
        """The entries of a kind, newest first, then the demo's; those that cannot be read are left out."""
        wanted = checked_kind(kind)
        found = []
        for path in self._folder(wanted).glob("*.json"):
            with suppress(InputError):
                found.append(read_entry(path, wanted, self.home))
        return [*sorted(found, key=lambda entry: (-entry.added, entry.id)), *builtin(wanted)]

    def entry(self, kind: str, entry_id: str) -> Entry:
        """One entry. Raises :class:`InputError` when the id is ill-formed, unknown, or its file is damaged."""
        wanted = checked_kind(kind)
        for entry in builtin(wanted) if checked_entry_id(entry_id).startswith("demo") else ():
            if entry.id == entry_id:
                return entry
        return read_entry(self._path(wanted, entry_id), wanted, self.home)

    def find(self, kind: str, name: str) -> Entry | None:
        """The entry with a name, which is unique among those of its kind."""
        return next((entry for entry in self.entries(kind) if entry.name == name), None)

    def kind_of(self, entry_id: str) -> Kind:
        """The kind of an entry, be its file damaged or not. Raises :class:`InputError` for an id that is not there."""
        checked_entry_id(entry_id)
        for kind in VALUES:
            wanted = checked_kind(kind)
            if self._path(wanted, entry_id).exists() or any(entry.id == entry_id for entry in builtin(wanted)):
                return wanted
        raise InputError(f"there is no entry {entry_id}", field="library", hint="see the list of the library")

    # -- add --

    def add_model(
        self, ref: ModelRef, name: str | None = None, progress: Progress | None = None, origin: str = ""
    ) -> Entry:
        """Add a model, looked over but neither loaded nor downloaded; one of the hub is pinned to a commit.

        ``origin``: where it came from, for the list; else where it lies.

        Raises:
            InputError: when it is not there or must not be loaded, or the name is unfit.
        """
        from untrac_core.engine.library.metadata import describe_model

        if ref == ModelRef(path="demo"):
            return self.entry("model", "demo")
        described = describe_model(ref, progress)
        if origin:
            described = replace(described, origin=origin)
        return self._add("model", _clean(name) if name else _model_name(ref), described)

    def add_prompts(self, spec: PromptSet, origin: str = "", progress: Progress | None = None) -> Entry:
        """Add a prompt set with all its items; ``limit`` stays a wish. ``origin``: where it came from, for the list.

        Raises:
            InputError: when its data cannot be read or used, or the disk is almost full.
        """
        from untrac_core.engine.library.metadata import describe_prompts

        return self._add_records("prompts", spec.name, describe_prompts(spec, progress), origin)

    def add_subset(
        self, spec: Subset, origin: str = "", progress: Progress | None = None, data: SubsetData | None = None
    ) -> Entry:
        """Add a training subset with its documents, of a very large one a fixed random sample of them.

        ``data``: what :func:`untrac_core.data.subsets.load_subset` has read for ``spec`` already.

        Raises:
            InputError: when its data cannot be read or used, or the disk is almost full.
        """
        from untrac_core.engine.library.metadata import describe_subset

        return self._add_records("subset", spec.name, describe_subset(spec, progress, data), origin)

    def add_completions(self, run: Run, name: str | None = None) -> Entry:
        """Turn a finished ``generate`` run into a prompt set: toxic completions harmful, benign ones harmless.

        Without a scorer, all completions are the harmful side.

        Raises:
            InputError: when the run is not one, has not finished, or nothing that it wrote was scored harmful.
        """
        from untrac_core.engine.library.metadata import describe_completions

        called = _clean(name or run.name)
        return self._add_records("prompts", called, describe_completions(run, called), "")

    # -- change --

    def rename(self, kind: str, entry_id: str, name: str) -> Entry:
        """Give an entry another name. Raises :class:`InputError` for one that is taken, unfit, or of the demo's."""
        wanted, new = checked_kind(kind), _clean(name)
        self._own(wanted, entry_id)
        with kept.library_lock(self.home):
            entry = self.entry(wanted, entry_id)
            other = self.find(wanted, new)
            if other is not None and other.id != entry_id:
                raise InputError(f"another {TITLES[wanted]} is named {new!r}", field="name", hint="choose another name")
            return self._write(_named(entry, new))

    def remove(self, kind: str, entry_id: str) -> None:
        """Remove an entry; its records stay while a run or another entry needs them. No-op when it is gone.

        Raises:
            InputError: for what comes with the program.
        """
        wanted = checked_kind(kind)
        self._own(wanted, entry_id)
        with kept.library_lock(self.home):
            self._path(wanted, entry_id).unlink(missing_ok=True)
            kept.sweep(self.home)

    # -- inside --

    def _folder(self, kind: Kind) -> Path:
        return self.home / "library" / kind

    def _path(self, kind: Kind, entry_id: str) -> Path:
        return self._folder(kind) / f"{checked_entry_id(entry_id)}.json"

    def _own(self, kind: Kind, entry_id: str) -> None:
        if checked_entry_id(entry_id).startswith("demo"):
            raise InputError(
                f"this {TITLES[kind]} comes with the program", field="library", hint="it can stay as it is"
            )

    def _add_records(self, kind: Kind, name: str, described: Metadata, origin: str) -> Entry:
        """Keep the records of what was described, and mention them in an entry."""
        if origin:
            described = replace(described, origin=origin)
        with kept.staged(self.home, described.rows) as draft:
            value = described.value.model_copy(update={"source": Source(kept=draft.digest)})
            return self._add(
                kind, name, replace(described, value=value), lambda: kept.keep(self.home, draft, described.totals)
            )

    def _add(self, kind: Kind, name: str, described: Metadata, settle: Callable[[], None] | None = None) -> Entry:
        """Write an entry under a free name, after ``settle`` has put its records in place; one that is there stays."""
        entry_id = content_id(kind, described.value, described.identity)
        with kept.library_lock(self.home):
            known = None
            with suppress(InputError):  # not there, or damaged: written anew
                known = self.entry(kind, entry_id)
            if settle is not None:
                settle()
            name = known.name if known else self._free_name(kind, name)
            added = known.added if known else time.time()
            origin = known.origin if known and known.origin else described.origin
            made = Entry(
                entry_id, kind, name, described.value, described.facts, origin, described.notes, added,
                stamp=described.stamp,
            )  # fmt: skip
            self._write(_named(made, name))
            kept.sweep(self.home)
        return self.entry(kind, entry_id)

    def _free_name(self, kind: Kind, name: str) -> str:
        """The name, or with the first number after it that makes it unlike all others of its kind."""
        from untrac_core.data.collections import unique_names

        return unique_names([name], {entry.name for entry in self.entries(kind)})[0]

    def _write(self, entry: Entry) -> Entry:
        kept.write_text(to_json(entry), self._path(entry.kind, entry.id))
        return entry


def content_id(kind: Kind, value: Value, identity: str = "") -> str:
    """12 hexadecimal digits of the hash of what an entry stands for, whatever it is called."""
    values = value.model_dump(mode="json", exclude={"name"})
    text = json.dumps([kind, values, identity], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _named(entry: Entry, name: str) -> Entry:
    """The entry, and what it puts into a spec, under this name."""
    value = entry.value
    if not isinstance(value, ModelRef):
        value = value.model_copy(update={"name": name})
    return replace(entry, name=name, value=value)


def _clean(name: str) -> str:
    """The name without space around it. Raises :class:`InputError` for one that cannot be a name."""
    found = name.strip()
    if not found or len(found) > NAME_CHARACTERS or any(ord(letter) < 32 or ord(letter) == 127 for letter in found):
        raise InputError("this cannot be a name", field="name", hint=f"write 1 to {NAME_CHARACTERS} plain characters")
    return found


def _model_name(ref: ModelRef) -> str:
    """What a model is called unless the user says so: the end of its path, and that of its adapter."""
    parts = [path.rstrip("/").rpartition("/")[2] or path for path in (ref.path, ref.adapter) if path]
    plain = "".join(letter if ord(letter) >= 32 and ord(letter) != 127 else " " for letter in " + ".join(parts))
    return plain.strip()[:NAME_CHARACTERS] or "model"
