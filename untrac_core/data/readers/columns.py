"""Guesses that a user can change: which column holds what, and which label is the harmful one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from untrac_core.specs import Columns

# Column names that people use, best first.
GUESSES = {
    "completion": (
        "completion", "continuation", "generation", "text", "sentence", "answer", "response", "output", "target",
        "content", "document", "body",
    ),
    "prompt": ("prompt", "question", "context", "instruction", "input", "query"),
    "group": ("group", "target_group", "category", "topic", "bias_type", "domain", "subject"),
    "label": ("label", "side", "class", "toxicity", "prompt_label", "labels", "is_toxic", "toxic", "is_safe"),
    "id": ("id", "uid", "idx", "_id", "guid", "index"),
    "cluster": ("cluster", "cluster_id", "pair", "pair_id", "question_id"),
    "text": (
        "text", "content", "document", "body", "completion", "sentence", "article", "passage", "story", "paragraph",
        "raw_content", "output", "response", "markdown", "abstract", "comment_text", "tweet",
    ),
}  # fmt: skip
SOURCES = ("pile_set_name", "subset", "source", "domain", "dataset", "corpus", "language", "lang", "category", "topic")
"""Columns by which one data set is split into training subsets, best first."""
LABELS_MOST = 20

# Labels whose text is compared in small letters, without what is not a letter or digit.
HARMFUL = (
    "harmful", "toxic", "unsafe", "hateful", "hate", "hatespeech", "offensive", "abusive", "insult", "insulting",
    "stereotype", "stereotyped", "stereotypical", "prostereotype", "prostereotyped", "pro", "biased", "false",
    "incorrect", "wrong", "untrue", "untruthful", "bad", "rejected", "negative", "harm", "myth", "fake", "forget",
    "profane", "spam",
)  # fmt: skip
HARMLESS = (
    "harmless", "benign", "safe", "nontoxic", "nothateful", "nonhate", "nothate", "nohate", "normal", "inoffensive",
    "notoffensive", "antistereotype", "antistereotyped", "antistereotypical", "anti", "unbiased", "true", "correct",
    "right", "truthful", "good", "chosen", "positive", "clean", "neutral", "none", "ok", "fact", "real", "retain",
)  # fmt: skip
PAIRS = (("toxic", "benign"), ("stereotype", "antistereotype"), ("false", "true"), ("unsafe", "safe"))
YES, NO = ("1", "10", "true", "yes", "y", "t"), ("0", "00", "false", "no", "n", "f")
NEGATIONS = re.compile(r"^(?:not|non|no|un|anti|is not)[\s_-]*")
HARM_NAMES = re.compile(r"toxic|hate|offens|unsafe|harm|abus|insult|stereotyp|bias|threat|profan|prompt_label")
GOOD_NAMES = re.compile(r"safe|truth|correct|benign|clean|factual")


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _named(columns: Sequence[str], role: str) -> str | None:
    """The first column that is named as the role is: by its whole name, else ``name.text``, else by its last part."""
    whole = {_plain(column): column for column in reversed(columns)}
    last = {_plain(column).rsplit(".", 1)[-1]: column for column in reversed(columns) if "." in column}
    for known in (whole, {name.removesuffix(".text"): column for name, column in whole.items()}, last):
        for name in GUESSES[role]:
            if name in known:
                return known[name]
    return None


def guess_columns(columns: Sequence[str], rows: Sequence[Mapping[str, str]] = ()) -> Columns:
    """Which column is likely to hold what in a prompt set; ``rows``, the first ones, help where no name does."""
    columns = list(columns)
    free = [column for column in columns if column not in {_named(columns, role) for role in ("id", "label")}]
    completion = _named(free, "completion") or _longest(free, rows) or (columns[0] if columns else "completion")
    taken = {completion}
    roles: dict[str, str | None] = {}
    for role in ("prompt", "label", "id", "group", "cluster"):
        found = _named([column for column in columns if column not in taken], role)
        if found is not None and role == "label" and len({row.get(found) for row in rows}) > LABELS_MOST:
            found = None  # a score, say
        if found is None and role == "label":
            found = _like_labels([column for column in columns if column not in taken], rows)
        if found is not None:
            taken.add(found)
        roles[role] = found
    if roles["prompt"] is not None and _named(free, "completion") is None and _longest(free, rows) == roles["prompt"]:
        others = [column for column in free if column not in taken]
        if not others:  # the only text is called a prompt: it is what there is to score
            return Columns(completion=roles["prompt"], **{**roles, "prompt": None})
    return Columns(completion=completion, **roles)


def guess_text(columns: Sequence[str], rows: Sequence[Mapping[str, str]] = ()) -> str:
    """Which column is likely to hold the text of a training subset."""
    return _named(columns, "text") or _longest(columns, rows) or (columns[0] if columns else "text")


def guess_split(columns: Sequence[str], values: Mapping[str, Mapping[str, int]]) -> str | None:
    """The column by which a data set is likely to fall into training subsets, if any: few values, each many times."""
    for name in SOURCES:
        for column in columns:
            counts = values.get(column, {})
            if _plain(column).rsplit(".", 1)[-1] == name and 2 <= len(counts) <= sum(counts.values()) / 2:
                return column
    return None


def _longest(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str | None:
    """The column with the most text."""
    sizes = {column: sum(len(row.get(column, "")) for row in rows) for column in columns}
    return max(sizes, key=lambda column: sizes[column]) if rows and sizes else None


def _like_labels(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str | None:
    """A column whose values are a harmful and a harmless label."""
    for column in columns:
        harmful, harmless = guess_sides((row.get(column, "") for row in rows), column)
        if harmful is not None and harmless is not None:
            return column
    return None


def guess_sides(values: Iterable[str], column: str = "") -> tuple[str | None, str | None]:
    """The harmful and the harmless one of a column's labels; ``None`` where there seems to be no such side.

    ``values``: the labels, repeated or not. One label that is neither (``neutral``), or too many, gives no sides: the
    whole set is then one side. ``column``: its name, which tells what 1 and 0, or true and false, mean.
    """
    labels = [value for value, _ in Counter(value for value in values if value.strip()).most_common(LABELS_MOST + 1)]
    if not labels or len(labels) > LABELS_MOST:
        return None, None
    plain = {re.sub(r"[^a-z0-9]", "", label.lower()): label for label in reversed(labels)}
    yes = next((plain[name] for name in YES if name in plain), None)
    no = next((plain[name] for name in NO if name in plain), None)
    if yes is not None and no is not None and len(labels) <= 3:
        name = _plain(column)
        if HARM_NAMES.search(name):
            return (no, yes) if re.match(r"(is_)?(not|non|no|anti)_?", name) else (yes, no)
        return (no, yes) if GOOD_NAMES.search(name) or yes.lower() == "true" else (yes, no)
    for bad, good in PAIRS:
        if bad in plain and good in plain:
            return plain[bad], plain[good]
    harmful = next((plain[name] for name in HARMFUL if name in plain), None)
    harmless = next((plain[name] for name in HARMLESS if name in plain and plain[name] != harmful), None)
    if harmful is None and len(labels) == 2:  # "x" and "not x": the one that is denied is the harmful one
        for one, other in (labels, labels[::-1]):
            if NEGATIONS.sub("", one.lower()) == other.lower() and one.lower() != other.lower():
                return other, one
    return (harmful, harmless) if harmful is not None else (None, None)
