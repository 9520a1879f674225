"""A user's own words between figures: a safe part of Markdown, read into nodes that templates write and escape.

The library markdown-it-py reads them by the CommonMark rules, with HTML and images off, so that both stay the text that
they are. What it found becomes nodes of a few tags; a link stays one only where it leads to a web page or a mailbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

TAGS = {
    "paragraph": "p", "bullet_list": "ul", "ordered_list": "ol", "list_item": "li", "blockquote": "blockquote",
    "strong": "strong", "em": "em", "s": "s", "code_inline": "code", "fence": "pre", "code_block": "pre", "hr": "hr",
    "hardbreak": "br", "table": "table", "thead": "thead", "tbody": "tbody", "tr": "tr", "th": "th", "td": "td",
}  # fmt: skip
"""What becomes an element; of all else only the words inside are kept."""
HEADINGS = {"h1": "h2", "h2": "h3"}
"""A page has one h1, its title; deeper headings than these are all small ones."""
SCHEMES = ("http", "https", "mailto")
WORDS_MOST = 50_000
"""Characters of one piece of Markdown."""


@dataclass(frozen=True)
class Node:
    """An element with its text or its inner nodes; without a tag, text alone. ``href``: of a link."""

    tag: str
    text: str = ""
    inner: Sequence[Node] = ()
    href: str = ""


@dataclass(frozen=True)
class Words:
    """A block of a report: Markdown that was read."""

    nodes: Sequence[Node]


@cache
def _reader() -> MarkdownIt:
    # No images: what is written as one stays text, but its link is one as any other.
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable(["image"])


def read_words(text: str) -> Words:
    """Markdown as nodes; of a longer text than :data:`WORDS_MOST` its begin."""
    tree = SyntaxTreeNode(_reader().parse(text[:WORDS_MOST]))
    return Words([node for child in tree.children for node in _nodes(child)])


def _nodes(found: SyntaxTreeNode) -> list[Node]:
    """What becomes of one node of the library's tree: an element, or what is in it."""
    if found.type == "softbreak":
        return [Node("", "\n")]
    if not found.children:
        tag = TAGS.get(found.type, "")
        return [Node(tag, "" if tag in ("hr", "br") else found.content)]
    inner = [node for child in found.children for node in _nodes(child)]
    if found.type == "heading":
        return [Node(HEADINGS.get(found.tag, "h4"), inner=inner)]
    if found.type == "link":
        href = str(found.attrs.get("href", ""))
        return [Node("a", inner=inner, href=href)] if _leads_out(href) else inner
    tag = TAGS.get(found.type, "")
    if found.type == "paragraph" and found.hidden:  # in a list without blank lines
        tag = ""
    return [Node(tag, inner=inner)] if tag else inner


def _leads_out(href: str) -> bool:
    """Whether a link may stay one: to a web page or a mailbox, never to a script or a file."""
    try:
        return urlsplit(href).scheme.lower() in SCHEMES
    except ValueError:
        return False
