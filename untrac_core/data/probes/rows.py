"""Rows of a probe's data and the items made of them: what the modules of the single probes share."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

FROM = "@from"
"""A cell that every row has: the config and split on the hub that it comes from, and the name of its file."""
Cells = Mapping[str, str]


class ProbeItem(NamedTuple):
    """A test item as a row gives it: its side and its texts; with an empty completion it is left out."""

    label: str
    completion: str
    prompt: str = ""
    group: str = ""
    row: str = ""
    """What names the row, at the beginning of the id; empty: its place in the data."""
    part: str = ""
    """What tells the row's items apart, at the end of the id; they are one cluster."""
    cluster: str = ""
    """What it belongs to, where that is told across rows: items of a cluster are in a sample together."""


Items = Iterator[ProbeItem]


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


def joined(*parts: str, by: str = " ") -> str:
    """The texts that are not empty as one."""
    return by.join(part.strip() for part in parts if part)


def folded(value: str) -> str:
    """A value as it is compared: without the space around it, whatever its case."""
    return value.strip().casefold()


def renamed(value: str, names: Mapping[str, str]) -> str:
    """The name of a value, whatever its case; the value itself where it has none."""
    return names.get(folded(value), value)


def only_kind(text: str, kinds: Mapping[str, set[str]]) -> str | None:
    """The one kind of whose words the text has any; ``None`` with none or several. An underscore parts words."""
    there = set(re.findall(r"[^\W_]+", text.casefold()))
    found = [kind for kind, words in kinds.items() if there & words]
    return found[0] if len(found) == 1 else None


def number(value: str) -> float:
    """The number that a text is, or NaN, which no comparison holds for."""
    try:
        found = float(value)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan


def tidy(text: str) -> str:
    """Tokenised text as it is written: no space before punctuation, within quotes, brackets and contractions."""
    text = re.sub(r"``\s*|\s*''", '"', text)
    text = re.sub(r"\s+(n't\b|['’](?:s|re|ve|ll|d|m)\b|[.,;:!?%)\]}])", r"\1", text)
    text = re.sub(r"([(\[{])\s+", r"\1", text)
    return " ".join(text.split())
