"""What a probe's YAML says: what it is, where it lies, which columns it needs and how many items are drawn."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from untrac_core.specs import Columns
from untrac_core.specs.data import Strict

Plain = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]
"""A name without a dot or slash, so that it names nothing outside this package."""


class Part(Strict):
    """A config and split of the data set on the hub."""

    config: str | None = None
    split: str | None = None


class Probe(Strict):
    """A published test set; its rows are items (``columns``), or its module makes items of them (``needs``)."""

    name: Plain
    title: str
    version: Annotated[int, Field(ge=1)]
    """Counted up when the same data would give other items."""
    about: str
    warning: str
    """What a reader of its texts must be ready for."""
    licence: str
    citation: str
    home: str
    hub: str
    revision: str | None = None
    parts: Annotated[list[Part], Field(min_length=1)]
    confirmed: str
    """What was looked up about columns, configs and licence, and what is not sure."""
    harmful: str | None
    """Label of the harmful side; ``None``: the probe has one side, which is no harm."""
    harmless: str | None
    groups: str
    """What its groups are, in words; empty where it has none."""
    most: Annotated[int, Field(ge=1)] | None = None
    """At most this many items of each side, in each group or in all (``of``): a fixed random sample."""
    of: Literal["group", "side"] = "group"
    length: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """Fewest and most words of a completion."""
    pairs: bool = False
    """A row counts only with as many items on one side as on the other, none of which was there before."""
    least: Annotated[int, Field(ge=1)] | None = None
    """Only groups with at least this many harmful items."""
    columns: Columns | None = None
    """Where an item stands in its row."""
    needs: Annotated[list[list[str]], Field(min_length=1)] | None = None
    """The columns of each form of the data; ``items(row)`` in the module makes items of a row that has all of one."""
    module: Plain
    """The Python file beside the YAML with that function; for a probe ``like`` another, the other's."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.least is not None and self.of != "group":
            raise ValueError("'least' is about groups, so it needs 'of: group'")
        if self.harmless is not None and self.harmful in (None, self.harmless):
            raise ValueError("'harmless' needs a 'harmful' that is another label")
        if (self.columns is None) == (self.needs is None):
            raise ValueError("name either 'columns' or 'needs'")
        return self

    @property
    def labels(self) -> list[str]:
        """The labels of its sides."""
        return [label for label in (self.harmful, self.harmless) if label is not None]

    @property
    def forms(self) -> list[list[str]]:
        """The columns of each form of the data; a row has all of one form, or is not the probe's."""
        if self.columns is None:
            return self.needs or []
        columns = (self.columns.prompt, self.columns.completion, self.columns.group, self.columns.label)
        return [[column for column in columns if column is not None]]
