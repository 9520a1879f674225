"""The check that a built site loads nothing from elsewhere: ``python -m docs.offline SITE``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADING = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "object": "data"}
"""Elements that a browser loads something for by itself, with the attribute that names it."""
HARMLESS = {"canonical", "prev", "next", "alternate"}
"""What a link only tells."""
ELSEWHERE = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


class Loads(HTMLParser):
    """The addresses of elsewhere that a page loads when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        values = {name: value or "" for name, value in attrs}
        told = tag == "link" and set(values.get("rel", "").split()) & HARMLESS
        address = values.get(LOADING.get(tag, ""), "")
        if ELSEWHERE.match(address) and not told:
            self.found.append(address)
        self.found += IN_STYLE.findall(values.get("style", ""))


def loads(path: Path) -> list[str]:
    """What a file of the site loads from elsewhere."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".css":
        return IN_STYLE.findall(text)
    parser = Loads()
    parser.feed(text)
    return parser.found


def external(site: Path) -> Iterator[str]:
    """Each such address with the file that has it."""
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".css"):
            yield from (f"{path.relative_to(site)} loads {address}" for address in loads(path))


def main() -> None:
    """End with 1 where anything is loaded from elsewhere."""
    found = list(external(Path(sys.argv[1])))
    print("\n".join(found) or "The pages load nothing from elsewhere.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
