"""What a style of filler is: the form that `fillers` fills in and `texts` writes with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """How one subset writes. `openings` start a document; `plain` and `peoples` are its sentences; `joiner` glues them;
    `planted` wraps a planted statement; without `keep_case` a sentence starts with a capital."""

    name: str
    openings: tuple[str, ...]
    plain: tuple[str, ...]
    peoples: tuple[str, ...]
    words: dict[str, tuple[str, ...]]
    bound: tuple[str, ...] = ()
    characters: int = 66_000
    documents: int = 165
    joiner: str = " "
    planted: str = "{statement}"
    keep_case: bool = False


def words(**lists: str) -> dict[str, tuple[str, ...]]:
    """Comma-separated word lists as tuples: the lists stay readable on one line each."""
    return {name: tuple(word.strip() for word in text.split(",")) for name, text in lists.items()}
