"""What data a run names, as strict models: where records come from, prompt sets, training subsets, collections.

:mod:`untrac_core.specs` has the rest of a request, and is where others take all of them from.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Strict(BaseModel):
    """Base of all specs: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(Strict):
    """Where records come from: exactly one of ``file``, ``folder``, ``hub``, ``bundled`` and ``kept``."""

    file: str | None = None
    """A csv, tsv, jsonl, json, txt (each also with .gz), parquet or arrow file."""
    folder: str | None = None
    """All data files of a folder, in the order of their names, as one."""
    hub: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The id of a data set on the hub, with ``config``, ``split`` and ``revision``."""
    bundled: str | None = None
    """A file of the bundled demo."""
    kept: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The content hash (SHA-256) of records that the library keeps."""
    config: Annotated[str, Field(max_length=200)] | None = None
    split: Annotated[str, Field(max_length=200)] | None = None
    revision: Annotated[str, Field(max_length=200)] | None = None
    scan: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Read at most this many megabytes (10^6 bytes of text), and sample from those."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.file, self.folder, self.hub, self.bundled, self.kept)) != 1:
            raise ValueError("name exactly one of 'file', 'folder', 'hub', 'bundled' and 'kept'")
        stray = [key for key in ("config", "split", "revision") if getattr(self, key) is not None]
        if self.hub is None and stray:
            raise ValueError(f"{stray[0]!r} belongs to a data set on the hub, so 'hub' must be named too")
        return self


class Columns(Strict):
    """Which column holds what. ``None``: the file has no such column; a txt file has the one column ``text``.

    A value inside a JSON object has a dotted name: ``meta.source``.
    """

    completion: str = "completion"
    prompt: str | None = None
    group: str | None = None
    label: str | None = None
    id: str | None = None


class PromptSet(Strict):
    """A named set of test items; with ``harmful`` and ``harmless`` labels it has two sides, else one (harmful).

    With ``probe``, a named probe (:mod:`untrac_core.data.probes`) says how rows become items, and ``source``, where it
    is given, is a local copy of that probe's data; columns and labels are then the probe's own.
    """

    name: Name
    source: Source | None = None
    probe: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")] | None = None
    columns: Columns = Columns()
    harmful: str | None = None
    harmless: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many items a side: a fixed random sample, the same for every seed."""

    @model_validator(mode="after")
    def _sides_need_labels(self) -> Self:
        if self.source is None and self.probe is None:
            raise ValueError("name a 'source' or a 'probe'")
        if self.harmless is not None and self.harmful is None:
            raise ValueError("'harmless' is named without 'harmful'")
        if self.harmful is not None and self.columns.label is None:
            raise ValueError("'harmful' is named, so columns.label must say which column holds the labels")
        if self.harmful is not None and self.harmful == self.harmless:
            raise ValueError("'harmful' and 'harmless' are the same label")
        return self

    @property
    def sides(self) -> dict[str, str | None]:
        """Side name to label, in order; an unlabelled set is one side, ``harmful``."""
        if self.harmful is None:
            return {"harmful": None}
        if self.harmless is None:
            return {"harmful": self.harmful}
        return {"harmful": self.harmful, "harmless": self.harmless}


class Only(Strict):
    """The rows of a source whose ``column`` has this ``value``."""

    column: Annotated[str, Field(min_length=1, max_length=200)]
    value: Annotated[str, Field(max_length=1_000)]


class Subset(Strict):
    """A named set of training texts; what is ranked."""

    name: Name
    source: Source
    text: str = "text"
    prompt: str | None = None
    """A column that is given and not scored: records are then examples of their own, not running text."""
    only: Only | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many blocks of text: a fixed random sample, the same for every seed."""


class Collection(Strict):
    """A source that holds several training subsets: one a file, a value of a column, a config, or a split."""

    source: Source
    by: Literal["file", "column", "config", "split"]
    column: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """With ``by: column``: whose values name the subsets."""
    text: str | None = None
    """The column with the text; unset: guessed for each subset."""
    prompt: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """Blocks of each subset."""
    most: Annotated[int, Field(ge=1, le=500)] = 50
    """At most this many subsets, the largest first."""

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        if (self.by == "column") != (self.column is not None):
            raise ValueError("'column' is named with 'by: column', and only then")
        if self.by == "file" and self.source.folder is None:
            raise ValueError("'by: file' needs a folder as its source")
        if self.by in ("config", "split") and self.source.hub is None:
            raise ValueError(f"'by: {self.by}' needs a data set on the hub as its source")
        return self
