"""Harmful text is masked until it is asked for: what is shown in its place."""

from __future__ import annotations

import re


def mask(text: str, most: int = 120) -> str:
    """The outline of a text without its words, on one line of at most ``most`` characters."""
    return dots(" ".join(text.split())[:most])


def dots(text: str) -> str:
    """A dot for every letter; blanks and line breaks stay."""
    return re.sub(r"\S", "•", text)
