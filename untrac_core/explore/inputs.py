"""What a call in Python is given, as the values of a spec; what is in memory becomes files of the run's folder.

A spec names files, so that a run can be checked, hashed and replayed. Texts are written as jsonl, a model by its own
``save_pretrained``, and the spec names these.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from untrac_core.data.probes.loader import probe_names
from untrac_core.data.readers.columns import guess_columns, guess_sides, guess_text
from untrac_core.data.readers.files import is_data
from untrac_core.data.readers.records import preview, read_records
from untrac_core.errors import InputError, reason_of
from untrac_core.fileio import write_bytes
from untrac_core.results.export import file_part
from untrac_core.specs import Source
from untrac_core.specs.parts import is_local

FOLDER, MODEL = "inputs", "model"
"""Of a run's folder: what was in memory; and in it, the model."""
LOOKED_AT = 200
"""Rows by which a column is guessed."""
HUB_ID = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?", re.ASCII)
KINDS = "a path, a hub id, a list of texts, a DataFrame, a datasets.Dataset, or what a spec has there"


def plain(value: Any) -> Any:
    """A value as specs have it: paths as text, tuples and ranges as lists, also inside lists and mappings."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple | range) else value


class Inputs:
    """What one call was given. Texts are written at once, a model when all else is known to be right (:meth:`save`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self._number = count(1)
        self._save: Callable[[], None] | None = None

    def model(self, given: Any, tokenizer: Any = None) -> Any:
        """A model's place, what a spec has there, or a loaded model, which :meth:`save` writes with its tokenizer."""
        if not hasattr(given, "save_pretrained"):
            if tokenizer is not None:
                hint = "leave it out: a folder or a hub id brings its own"
                raise InputError("a tokenizer is named without a loaded model", field="tokenizer", hint=hint)
            if isinstance(given, Path):
                return {"path": os.path.abspath(os.path.expanduser(given))}
            return {"path": given} if isinstance(given, str) else plain(given)
        if getattr(given, "peft_config", None) or getattr(given, "_hf_peft_config_loaded", False):
            hint = "merge it (model.merge_and_unload()), or write model={'path': ..., 'adapter': ...}"
            raise InputError("the loaded model has an adapter beside its weights", field="model", hint=hint)
        if not hasattr(tokenizer, "save_pretrained"):
            raise InputError("a loaded model needs its tokenizer", field="model", hint="add tokenizer=...")
        self._save = lambda: _save_model(given, tokenizer, self.folder / MODEL)
        return {"path": str(self.folder / MODEL)}

    def save(self) -> None:
        """Write the model that is in memory, if there is one."""
        if self._save is not None:
            self._save()

    def prompts(self, given: Any) -> list[Any]:
        """Prompt sets by name, or as a list of what specs have there."""
        return _each(given, "prompts", self.prompt_set)

    def subsets(self, given: Any) -> list[Any]:
        """Training subsets by name, or as a list of what specs have there."""
        return _each(given, "subsets", self.subset)

    def prompt_set(self, name: str, given: Any) -> Any:
        """One prompt set; a probe's name stands for the probe. Columns and sides are guessed as pages do."""
        if is_part(given):
            return _named(name, given)
        if isinstance(given, str) and given in probe_names():
            return {"name": name, "probe": given}
        where = f"prompt set {name!r}"
        source = self.source(name, given, "completion", where)
        found = preview(source, where=where)
        columns = guess_columns(found.columns, found.first)
        harmful, harmless = guess_sides(found.values.get(columns.label or "", {}), columns.label or "")
        if harmful is None:
            columns = columns.model_copy(update={"label": None})
        return {"name": name, "source": source, "columns": columns, "harmful": harmful, "harmless": harmless}

    def subset(self, name: str, given: Any) -> Any:
        """One training subset; the column with the text is guessed as pages guess it."""
        if is_part(given):
            return _named(name, given)
        where = f"subset {name!r}"
        source = self.source(name, given, "text", where)
        found = read_records(source, where=where, paragraphs=True, rows=LOOKED_AT)
        return {"name": name, "source": source, "text": guess_text(found.columns, found.rows)}

    def beginnings(self, given: Any) -> tuple[Source, str]:
        """Where prompts that are to be completed come from, and the column that is likely to hold them."""
        source = self.source("texts", given, "prompt", "texts")
        found = read_records(source, where="texts", rows=LOOKED_AT)
        columns = guess_columns(found.columns, found.rows)
        return source, columns.prompt or columns.completion

    def source(self, name: str, given: Any, column: str, where: str) -> Source:
        """Where records come from; rows that are in memory are written, plain texts among them under ``column``."""
        if isinstance(given, str | Path):
            return _place(given, where)
        lines = list(_lines(given, column, where))
        if not lines:
            raise InputError("there are no texts in it", field=where, hint="give at least one")
        path = self.folder / f"{next(self._number):02d}-{file_part(name)}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_bytes("".join(f"{line}\n" for line in lines).encode(), path)
        except UnicodeEncodeError:
            raise InputError("a text has half of a surrogate pair", field=where, hint="remove it") from None
        return Source(file=str(path))


def is_part(given: Any) -> bool:
    """Whether it is what a spec has there; a ``DatasetDict`` is a mapping, too, but of data."""
    return isinstance(given, BaseModel | Mapping) and type(given).__module__.split(".")[0] != "datasets"


def _each(given: Any, key: str, one: Callable[[str, Any], Any]) -> list[Any]:
    """The parts of a call's mapping, each by its name; of a list, its members as they are."""
    if isinstance(given, Mapping) and is_part(given):
        return [one(str(name), value) for name, value in given.items()]
    if isinstance(given, list | tuple) and all(is_part(part) for part in given):
        return plain(list(given))  # type: ignore[no-any-return]
    raise InputError(f"{key!r} is a mapping of names to {KINDS}", hint=f"write {key}={{'a name': ...}}")


def _named(name: str, given: BaseModel | Mapping[str, Any]) -> Any:
    """What a spec has there, under this name."""
    return given.model_copy(update={"name": name}) if isinstance(given, BaseModel) else plain({**given, "name": name})


def _place(given: str | Path, where: str) -> Source:
    """A file, a folder, or a data set on the hub at the commit that it is at now."""
    path = Path(os.path.expanduser(given))
    try:
        if path.is_dir():
            return Source(folder=str(path.absolute()))
        if path.is_file() or isinstance(given, Path) or is_local(given) or is_data(given):
            return Source(file=str(path.absolute()))
    except (OSError, ValueError):  # too long, or with a NUL: a text
        pass
    if not HUB_ID.fullmatch(str(given)):
        what = f"{str(given)[:60]!r} is no path and no id on the hub"
        raise InputError(what, field=where, hint="put single texts into a list")
    from untrac_core.hub.datasets import pin

    return Source(hub=str(given), revision=pin(str(given), None))


def _lines(given: Any, column: str, where: str) -> Iterator[str]:
    """Rows that are in memory, as JSON, one per line."""
    datasets = sys.modules.get("datasets")
    if datasets is not None and isinstance(given, datasets.DatasetDict):
        hint = f"choose one, as data[{next(iter(given), 'train')!r}]"
        raise InputError("a DatasetDict has several splits", field=where, hint=hint)
    if datasets is not None and isinstance(given, datasets.Dataset):
        given = given.to_pandas()
    try:
        if isinstance(given, pd.DataFrame):
            text = given.to_json(orient="records", lines=True, force_ascii=False)
            yield from (line for line in text.split("\n") if line)
            return
        if isinstance(given, pd.Series):
            given = given.tolist()
        if not isinstance(given, list | tuple):
            raise InputError(f"it is of type {type(given).__name__}", field=where, hint=f"give {KINDS}")
        for number, row in enumerate(given, 1):
            if not isinstance(row, str | Mapping):
                what = f"entry {number} is of type {type(row).__name__}"
                raise InputError(what, field=where, hint="a list has texts, or dicts with texts")
            values = {column: row} if isinstance(row, str) else dict(row)
            yield json.dumps(values, ensure_ascii=False, allow_nan=False, default=_single)
    except InputError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        hint = "keep texts and numbers alone in it"
        raise InputError(f"it cannot be written as JSON ({reason_of(error)})", field=where, hint=hint) from None


def _single(value: Any) -> Any:
    """A single number of numpy or torch as Python's own."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a value is of type {type(value).__name__}")


def named_texts(given: Any) -> list[Any] | None:
    """Single training texts by subset and id, of rows of a table of examples or as specs have them; else ``None``."""
    if isinstance(given, pd.DataFrame) and {"subset", "id"} <= set(given.columns):
        pairs = given[["subset", "id"]].drop_duplicates().astype(str)
        return [{"subset": subset, "id": name} for subset, name in pairs.itertuples(index=False)]
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        return None
    known = all(
        isinstance(one, BaseModel) or (isinstance(one, Mapping) and set(one) == {"subset", "id"}) for one in given
    )
    return plain(list(given)) if known else None


def _save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a loaded model and its tokenizer; transformers notes things in its config, which is put back."""
    config = getattr(model, "config", None)
    before = dict(vars(config)) if config is not None else {}
    try:
        # Not written over: the model may still be read from the files of an earlier call.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as error:
        what = f"the loaded model cannot be saved ({reason_of(error)})"
        raise InputError(what, field="model", hint="name the folder or hub id that it is from") from error
    finally:
        if config is not None:
            vars(config).clear()
            vars(config).update(before)
