"""What data a run names, as strict models: where records come from, prompt sets, training subsets, collections.

:mod:`untrac_core.specs.runs` has the rest of a request, and is where others take all of them from.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _fits_a_sentence(word: str) -> str:
    if not word[0].isalnum() or not all(letter.isalnum() or letter in " -" for letter in word):
        raise ValueError("write letters, digits, blanks and hyphens alone")
    return word


Word = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_fits_a_sentence)]
"""For a sentence; hides no markup."""


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
    """The data set's config."""
    split: Annotated[str, Field(max_length=200)] | None = None
    """The data set's split."""
    revision: Annotated[str, Field(max_length=200)] | None = None
    """A commit, tag or branch on the hub; unset: the newest, and the result names its commit."""
    max_read_mb: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
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
    """The text that is scored."""
    prompt: str | None = None
    """The text that is given."""
    group: str | None = None
    """What the item is about."""
    label: str | None = None
    """Which side the item is on."""
    id: str | None = None
    """The item's name."""
    cluster: str | None = None
    """What the item belongs to: its minimal pair, or its question. Items with the same value count as one observation.
    Unset: read off ids that all end as those of pairs (`-s` and `-a`, `-pro` and `-anti`) or of answers (`-f0`, `-t1`).
    """


class PromptSet(Strict):
    """A named set of test items; with ``harmful`` and ``harmless`` labels it has two sides, else one (harmful).

    With ``probe``, a named probe says how the rows of a benchmark's files become items, and ``source``,
    where it is given, is a local copy of that probe's data; columns and labels are then the probe's own.
    """

    name: Name
    """What pages and results call it."""
    source: Source | None = None
    """Where the items are read from."""
    probe: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")] | None = None
    """A named probe, whose columns and sides are known."""
    columns: Columns = Columns()
    """Which column holds what."""
    harmful: str | None = None
    """The label of the harmful side."""
    harmless: str | None = None
    """The label of the harmless side; with both there is a contrast."""
    harmful_name: Word | None = None
    """What sentences call the texts of the harmful side, as in 'toxic texts'; unset: its label."""
    harmless_name: Word | None = None
    """What sentences call the texts of the harmless side; unset: its label."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many items per side: a fixed random sample, the same for every seed."""

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


class RowFilter(Strict):
    """The rows of a source whose ``column`` has this ``value``."""

    column: Annotated[str, Field(min_length=1, max_length=200)]
    """The column that is looked at."""
    value: Annotated[str, Field(max_length=1_000)]
    """The value that a row must have there."""


class Subset(Strict):
    """A named set of training texts; what is ranked."""

    name: Name
    """What pages and results call it."""
    source: Source
    """Where the texts are read from."""
    text: str = "text"
    """The column with the text."""
    prompt: str | None = None
    """A column that is given and not scored: records are then examples of their own, not running text."""
    where: RowFilter | None = None
    """Take only some rows of the source."""
    without: Annotated[list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=10_000)] = []
    """Rows to leave out, by their ids (`line 12` where the source has no ids); the others keep their order."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many blocks of text: a fixed random sample, the same for every seed."""


class Collection(Strict):
    """A source that holds several training subsets: one per file, a value of a column, a config, or a split."""

    source: Source
    """Where the subsets are read from."""
    split_by: Literal["file", "column", "config", "split"]
    """What makes a subset."""
    column: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """With ``split_by: column``: the column whose values name the subsets."""
    text: str | None = None
    """The column with the text; unset: guessed for each subset."""
    prompt: str | None = None
    """A column that is given and not scored."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Blocks of each subset."""
    max_subsets: Annotated[int, Field(ge=1, le=500)] = 50
    """At most this many subsets, the largest first."""

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        if (self.split_by == "column") != (self.column is not None):
            raise ValueError("'column' is needed with 'split_by: column', and only then")
        if self.split_by == "file" and self.source.folder is None:
            raise ValueError("'split_by: file' needs a folder as its source")
        if self.split_by in ("config", "split") and self.source.hub is None:
            raise ValueError(f"'split_by: {self.split_by}' needs a data set on the hub as its source")
        return self
