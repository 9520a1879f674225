"""The words in which a probe says how a row of its data becomes test items: declarative, read from YAML, no code in it.

A :class:`Form` fits the rows that have certain columns. Its :class:`ItemRule` s each make one item of a row, or one for
every element of a list in it; a :class:`Value` says where a text stands and what is done with it. A value that is not
there leaves the item out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from untrac_core.specs import Strict

FROM = "@from"
"""A column that every row has: the config and split on the hub that it comes from, and the name of its file."""
Cells = Mapping[str, str]


class Band(Strict):
    """The numbers within these bounds have this ``value``."""

    value: str
    at_least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf
    at_most: float = math.inf

    def holds(self, number: float) -> bool:
        """Does the number lie in the band?"""
        return self.at_least <= number <= self.at_most and self.above < number < self.below


class Value(Strict):
    """A text: where it is taken from (one of the first six), then what is done to it, in this order.

    A bare string in YAML is a column. In a column's name ``{number}`` stands for the number of the element in a loop.
    """

    column: str | None = None
    text: str | None = None
    join: list[Value] | None = None
    """Several values with ``by`` between them; all must be there."""
    sum: list[str] | None = None
    """Columns added as numbers."""
    shared: Annotated[list[Value], Field(min_length=2, max_length=2)] | None = None
    """``yes`` if two lists have an element in common, else ``no``; a plain text is a list of one."""
    first_true: str | None = None
    """Of the columns whose names begin with this and a dot, the rest of the name of the first that is true."""

    by: str = " "
    element: int | None = None
    """This element of a list, counted from 0 (from -1 at its end)."""
    tidy: bool = False
    """Join a list of tokens and take the spaces before punctuation away."""
    unwrap: bool = False
    """Take a Python byte string's wrapping ``b'...'`` away."""
    drop: str | None = None
    """A regular expression whose matches are taken out."""
    after: str | None = None
    """The rest of the text after the text in this column, with which it must begin."""
    map: dict[str, str] | None = None
    """Whole values to others, whatever their case; what is not listed stays."""
    words: dict[str, list[str]] | None = None
    """The one key of whose words the text has any; with none or several of the keys there is no value."""
    bands: list[Band] | None = None
    """The first band in which the number lies; in none of them there is no value."""
    otherwise: str | None = None
    """Instead of a value that is not there."""

    @model_validator(mode="before")
    @classmethod
    def _column_for_short(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = (self.column, self.text, self.join, self.sum, self.shared, self.first_true)
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("name exactly one of 'column', 'text', 'join', 'sum', 'shared' and 'first_true'")
        if self.drop is not None:
            re.compile(self.drop)
        return self

    def of(self, cells: Cells) -> str | None:
        """The value in a row, or ``None`` where it is not there."""
        value = self._taken(cells)
        if value is not None:
            value = self._worked(value, cells)
        return self.otherwise if value is None else value

    def _taken(self, cells: Cells) -> str | None:
        if self.column is not None:
            return cells.get(_name(self.column, cells))
        if self.text is not None:
            return _name(self.text, cells)
        if self.join is not None:
            parts = [part.of(cells) for part in self.join]
            return None if None in parts else self.by.join(part.strip() for part in parts if part)
        if self.sum is not None:
            numbers = [_number(cells.get(_name(column, cells))) for column in self.sum]
            return None if None in numbers else repr(sum(number for number in numbers if number is not None))
        if self.shared is not None:
            first, second = ({part.casefold() for part in elements(value.of(cells))} for value in self.shared)
            return "yes" if first & second else "no"
        start = f"{_name(str(self.first_true), cells)}."
        true = (key for key, value in cells.items() if key.startswith(start) and value.casefold() in ("true", "1"))
        found = next(true, None)
        return found.removeprefix(start) if found else None

    def _worked(self, value: str, cells: Cells) -> str | None:
        if self.element is not None:
            parts = elements(value)
            if not -len(parts) <= self.element < len(parts):
                return None
            value = parts[self.element]
        if self.tidy:
            value = tidy(" ".join(elements(value)))
        if self.unwrap and (wrapped := re.fullmatch(r"b(['\"])(.*)\1", value, re.DOTALL)):
            value = wrapped[2]
        if self.drop is not None:
            value = re.sub(self.drop, "", value)
        if self.after is not None:
            start = cells.get(_name(self.after, cells), "").rstrip()
            if not start or not value.startswith(start):
                return None
            value = value[len(start) :].lstrip()
        if self.map is not None:
            value = {key.casefold(): text for key, text in self.map.items()}.get(value.strip().casefold(), value)
        if self.words is not None:
            there = word_set(value)
            keys = [key for key, words in self.words.items() if not there.isdisjoint(words)]
            return keys[0] if len(keys) == 1 else None
        if self.bands is not None:
            number = _number(value)
            return next((band.value for band in self.bands if number is not None and band.holds(number)), None)
        return value


class Condition(Strict):
    """A value that must be, or must not be, one of some texts, whatever their case."""

    value: Value
    is_in: list[str] | None = None
    is_not: list[str] | None = None

    def holds(self, cells: Cells) -> bool:
        """Is the condition met in this row? A value that is not there meets no condition."""
        value = self.value.of(cells)
        if value is None:
            return False
        key = value.strip().casefold()
        asked = self.is_in is None or key in {text.casefold() for text in self.is_in}
        return asked and not (self.is_not is not None and key in {text.casefold() for text in self.is_not})


class ItemRule(Strict):
    """How an item is made of a row; with ``each`` or ``repeat``, one for every element."""

    prompt: Value | None = None
    completion: Value
    group: Value | None = None
    label: Value
    part: str = ""
    """What tells the row's items apart, at the end of their ids."""
    each: dict[str, str] | None = None
    """New column to the column with a list: their elements side by side; ``number`` counts from 0."""
    split: str | None = None
    """What stands between the elements of those lists where they are plain text."""
    repeat: Annotated[int, Field(ge=1, le=50)] | None = None
    """The item this many times, with ``number`` from 0."""
    when: Annotated[list[Condition], Field(default_factory=list)]

    def made(self, cells: Cells) -> Iterator[Made]:
        """The items of a row by this rule."""
        for looped in self._loops(cells):
            if not all(condition.holds(looped) for condition in self.when):
                continue
            prompt = self.prompt.of(looped) if self.prompt else ""
            completion = self.completion.of(looped)
            group = self.group.of(looped) if self.group else ""
            label = self.label.of(looped)
            if prompt is None or group is None or label is None or not (completion and completion.strip()):
                continue
            yield Made(prompt, completion, group, label, _name(self.part, looped))

    def _loops(self, cells: Cells) -> Iterator[Cells]:
        if self.each is not None:
            lists = {new: elements(cells.get(_name(column, cells)), self.split) for new, column in self.each.items()}
            for number in range(min(len(parts) for parts in lists.values())):
                yield {**cells, **{new: parts[number] for new, parts in lists.items()}, "number": str(number)}
        elif self.repeat is not None:
            for number in range(self.repeat):
                yield {**cells, "number": str(number)}
        else:
            yield cells


class Form(Strict):
    """One shape in which the data come: the columns that tell it, which rows are used, and their items."""

    needs: Annotated[list[str], Field(min_length=1)]
    id: Value | None = None
    keep: Annotated[list[Condition], Field(default_factory=list)]
    items: Annotated[list[ItemRule], Field(min_length=1)]


class Part(Strict):
    """A config and split of the data set on the hub."""

    config: str | None = None
    split: str | None = None


class Probe(Strict):
    """A published test set: what it is, where it lies, and how its rows become items."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]
    title: str
    version: Annotated[int, Field(ge=1)]
    """Of these rules; counted up when the same data would give other items."""
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
    forms: Annotated[list[Form], Field(min_length=1)]

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.least is not None and self.of != "group":
            raise ValueError("'least' is about groups, so it needs 'of: group'")
        if self.harmless is not None and self.harmful in (None, self.harmless):
            raise ValueError("'harmless' needs a 'harmful' that is another label")
        return self

    @property
    def labels(self) -> list[str]:
        """The labels of its sides."""
        return [label for label in (self.harmful, self.harmless) if label is not None]


@dataclass(frozen=True)
class Made:
    """An item as a rule made it of a row."""

    prompt: str
    completion: str
    group: str
    label: str
    part: str


def elements(value: str | None, split: str | None = None) -> list[str]:
    """The elements of a JSON list as texts; of a plain text, its parts between ``split``, or itself."""
    if value is None or not value.strip():
        return []
    if value.lstrip().startswith("["):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, list):
            return [part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parsed]
    parts = value.split(split) if split else [value]
    return [part.strip() for part in parts if part.strip()]


def tidy(text: str) -> str:
    """Tokenised text as it is written: no space before punctuation, within quotes, brackets and contractions."""
    text = re.sub(r"``\s*|\s*''", '"', text)
    text = re.sub(r"\s+(n't\b|['’](?:s|re|ve|ll|d|m)\b|[.,;:!?%)\]}])", r"\1", text)
    text = re.sub(r"([(\[{])\s+", r"\1", text)
    return " ".join(text.split())


def word_set(text: str) -> set[str]:
    """The words of a text in lower case; an underscore parts words."""
    return set(re.findall(r"[^\W_]+", text.casefold()))


def _name(name: str, cells: Cells) -> str:
    return name.replace("{number}", cells.get("number", "")) if "{number}" in name else name


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
