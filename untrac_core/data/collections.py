"""Sources that hold several training subsets: one per file, a value of a column, a config, or a split."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from untrac_core.data.readers.files import files_of, storable
from untrac_core.data.readers.records import Reading, guess_text, read_records, title, unknown_column
from untrac_core.data.readers.reservoir import Keys, Reservoir, Shelf
from untrac_core.data.readers.sampling import (
    PASS_BYTES,
    SMALL_BYTES,
    Document,
    Taker,
    Want,
    keep_sample,
    make_sample,
    sample_path,
)
from untrac_core.errors import InputError
from untrac_core.progress import Progress, Silent
from untrac_core.specs import Collection, RowFilter, Source, Subset

VALUES_MOST = 2_000
"""Different values of a column that is to name subsets; more, and it names documents."""
VALUE_CHARACTERS = 1_000
"""Of a value that names a subset; a longer one is a text."""
NAME_CHARACTERS = 80


@dataclass(frozen=True)
class Part:
    """One subset of a collection before it has its name: how large it is tells which ones are left out."""

    name: str
    size: int
    source: Source
    text: str
    where: RowFilter | None = None


def members(collection: Collection, progress: Progress | None = None) -> list[Subset]:
    """The subsets of a collection, the ``max_subsets`` largest ones, in the order of their names.

    Names are cleaned of control characters, cut to 80 characters, and unique. By column, the source is read once, up
    to its scan bound, and what the subsets need of a large source is kept for :func:`load_subsets`. Raises
    :class:`InputError` for a source that cannot be read, an unknown column, and one with too many values.
    """
    progress = progress or Silent()
    by = {"file": _by_file, "column": _by_column, "config": _by_config, "split": _by_split}[collection.split_by]
    parts = sorted(by(collection, progress), key=lambda part: part.name)
    names = unique_names(part.name for part in parts)
    return [
        Subset(
            name=name,
            source=part.source,
            text=part.text,
            prompt=collection.prompt,
            where=part.where,
            limit=collection.limit,
        )
        for name, part in zip(names, parts, strict=True)
    ]


def unique_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Names fit for a spec: clean, at most 80 characters, none twice (``wiki``, ``wiki (2)``)."""
    used, result = set(taken), []
    for name in names:
        clean = re.sub(r"[\x00-\x1f\x7f]+", " ", name).strip()[:NAME_CHARACTERS].strip() or "(empty)"
        unique, number = clean, 2
        while unique in used:
            ending = f" ({number})"
            unique, number = clean[: NAME_CHARACTERS - len(ending)] + ending, number + 1
        used.add(unique)
        result.append(unique)
    return result


def _where(collection: Collection) -> str:
    return f"collection {title(collection.source)!r}"


def _largest(collection: Collection, parts: list[Part], where: str, progress: Progress) -> list[Part]:
    """The ``max_subsets`` largest parts; only in these is the text's column looked for."""
    largest = sorted(parts, key=lambda part: (-part.size, part.name))[: collection.max_subsets]
    return [replace(part, text=_text(collection, part.source, f"{where}, {part.name}", progress)) for part in largest]


def _text(collection: Collection, source: Source, where: str, progress: Progress) -> str:
    if collection.text is not None:
        return collection.text
    look = read_records(source, where=where, paragraphs=True, rows=200, progress=progress)
    columns = [column for column in look.columns if column not in (collection.column, collection.prompt)]
    return guess_text(columns or look.columns, look.rows)


def _by_file(collection: Collection, progress: Progress) -> list[Part]:
    """One subset a data file of the folder."""
    where = _where(collection)
    parts = []
    for file in files_of(collection.source, where=where):
        if file.path is not None and str(file.path) != storable(str(file.path)):
            raise InputError(f"the file name {file.name!r} is not UTF-8", field=where, hint="rename the file")
        name = re.sub(r"(\.[A-Za-z]+)?(\.gz)?$", "", file.name)
        parts.append(Part(name, file.size, Source(file=str(file.path), max_read_mb=collection.source.max_read_mb), ""))
    return _largest(collection, parts, where, progress)


def _by_config(collection: Collection, progress: Progress) -> list[Part]:
    """One subset a config of the data set."""
    from untrac_core.hub.datasets import configs

    source = _pinned(collection.source)
    named = configs(str(source.hub), source.revision)
    return _hub_parts(collection, [(name, source.model_copy(update={"config": name})) for name in named], progress)


def _by_split(collection: Collection, progress: Progress) -> list[Part]:
    """One subset a split of the data set (or of one config of it)."""
    from untrac_core.hub.datasets import splits

    source = _pinned(collection.source)
    named = splits(str(source.hub), source.config, source.revision)
    return _hub_parts(collection, [(name, source.model_copy(update={"split": name})) for name in named], progress)


def _hub_parts(collection: Collection, named: list[tuple[str, Source]], progress: Progress) -> list[Part]:
    """Parts of a data set on the hub; their sizes are asked for only where some must be left out."""
    where = _where(collection)
    sizes = [0] * len(named)
    if len(named) > collection.max_subsets:
        sizes = [sum(file.size for file in files_of(s, where=where, progress=progress)) for _, s in named]
    parts = [Part(name, size, source, "") for (name, source), size in zip(named, sizes, strict=True)]
    return _largest(collection, parts, where, progress)


def _pinned(source: Source) -> Source:
    from untrac_core.hub.datasets import pin

    return source.model_copy(update={"revision": pin(str(source.hub), source.revision)})


def _by_column(collection: Collection, progress: Progress) -> list[Part]:
    """One subset a value of the column, found in one pass, which also draws their samples."""
    source, column, where = collection.source, str(collection.column), _where(collection)
    if source.hub is not None:
        source = _pinned(source)
    text = _text(collection, source, where, progress)
    columns = frozenset({"id", text, column, *([collection.prompt] if collection.prompt else [])})
    reading = Reading(source, where=where, paragraphs=True, progress=progress, shorten=True, columns=columns)
    progress.phase(f"reading {reading.title}")
    return _drawn(collection, source, reading, text)


def _drawn(collection: Collection, source: Source, reading: Reading, text: str) -> list[Part]:
    """The parts of a collection by column, from one pass, or two where its files must be read in random order."""
    column, where = str(collection.column), reading.where
    takers: dict[str, Taker] = {}
    # Twice what is kept in the end: a value that is left out then takes nothing from those that stay.
    shelf: Shelf[tuple[int, Document]] = Shelf(2 * PASS_BYTES)
    key_of = Keys().next
    met = False
    for count, row in enumerate(reading):
        key = key_of()
        met = met or column in row.values
        value = row.values.get(column, "")
        taker = takers.get(value)
        if taker is None:
            _check_value(len(takers), value, column, where)
            taker = takers[value] = Taker(Want(text, collection.prompt, RowFilter(column=column, value=value)))
        document = taker.look(row, reading.several)
        if document is not None and key < shelf.of(value).below:
            shelf.add(value, key, len(document.text) + len(document.prompt), (count, document))
    if reading.again():
        return _drawn(collection, source, reading, text)
    missing = None if met else column
    if met and not any(taker.met for taker in takers.values()):
        missing = text
    elif met and not any(taker.given for taker in takers.values()):
        missing = collection.prompt
    if missing is not None:
        raise unknown_column(missing, read_records(source, where=where, rows=100).columns, reading.title, where)
    return _kept_parts(collection, source, reading, takers, shelf, text)


def _check_value(met: int, value: str, column: str, where: str) -> None:
    """Refuse a column that names documents, or is a text, not a group of them."""
    what = f"over {VALUES_MOST:,} values" if met == VALUES_MOST else ""
    if len(value) > VALUE_CHARACTERS:
        what = f"a value of {len(value):,} characters"
    if what:
        what = f"the column {column!r} has {what}"
        raise InputError(what, field=where, hint="name a column whose values repeat")


def _kept_parts(
    collection: Collection,
    source: Source,
    reading: Reading,
    takers: dict[str, Taker],
    shelf: Shelf[tuple[int, Document]],
    text: str,
) -> list[Part]:
    """The largest values' parts; what was drawn of a large source is kept as the loading of these subsets wants it."""
    filled = [value for value, taker in takers.items() if taker.counts.seen]
    largest = sorted(filled, key=lambda value: (-takers[value].counts.characters, value))[: collection.max_subsets]
    if source.hub is not None or reading.size > SMALL_BYTES:
        budget = PASS_BYTES // max(len(largest), 1)
        for value in largest:
            reservoir: Reservoir[tuple[int, Document]] = shelf.reservoirs[value]
            if reservoir.whole or reservoir.size >= budget:
                reservoir.shrink(budget)
                path = sample_path(reading, source, takers[value].want, budget)
                keep_sample(path, make_sample(reading, takers[value], reservoir))
    return [
        Part(
            value, takers[value].counts.characters, source, text, RowFilter(column=str(collection.column), value=value)
        )
        for value in largest
    ]
