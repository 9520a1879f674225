"""Own words in a report: a safe part of Markdown, in which nothing runs and nothing is fetched."""

from html.parser import HTMLParser

import pytest

from tests.helpers.reports import PAYLOADS
from untrac_core.report.page import ENVIRONMENT
from untrac_core.report.words import WORDS_MOST, read_words

PLAIN = {"div", "h2", "h3", "h4", "p", "ul", "ol", "li", "blockquote", "strong", "em", "s", "code", "pre", "hr", "br",
         "table", "thead", "tbody", "tr", "th", "td"}  # fmt: skip


class Seen(HTMLParser):
    """Tags with their attributes, and the text of words as a browser reads them."""

    def __init__(self, markdown):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], ""
        self.feed(str(ENVIRONMENT.get_template("blocks.html").module.show([read_words(markdown)])))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_markdown_is_set():
    seen = Seen("# One\n\na *b* **c** `d`\n\n- e\n- f\n\n1. g\n\n> h\n\n```\n i\n  j\n```\n\n| k |\n|---|\n| l |\n")
    tags = [tag for tag, _ in seen.tags]
    assert {"h2", "em", "strong", "code", "ul", "ol", "blockquote", "pre", "table", "th", "td"} <= set(tags)
    assert tags.count("li") == 3
    assert " i\n  j\n" in seen.text


@pytest.mark.parametrize(
    "markdown",
    [
        *PAYLOADS,
        "<script>alert(1)</script>",
        "<div onclick=alert(1)>x</div>\n\n<style>@import 'http://evil.example/y.css'</style>",
        "[x](javascript:alert(1)) [y](JaVaScRiPt&colon;alert(1)) [z](data:text/html,<script>alert(1)</script>)",
        "[x](file:///etc/passwd) [y](vbscript:x) <javascript:alert(1)>",
        "[x]: javascript:alert(1)\n\n[x] ![x](http://evil.example/x.png)",
        "```html\n<script>alert(1)</script>\n```",
        "| <img src=x onerror=alert(1)> |\n|---|\n| `</td><script>` |",
    ],
)
def test_nothing_in_words_runs_or_is_fetched(markdown):
    seen = Seen(markdown)
    for tag, attributes in seen.tags:
        if tag == "a":
            assert set(attributes) == {"href", "rel"}
            assert attributes["href"].startswith(("http://", "https://", "mailto:"))
        else:
            assert tag in PLAIN
            assert set(attributes) <= {"class"}


def test_a_link_to_a_page_stays_one_and_says_nothing_of_where_it_comes_from():
    [link] = [one for tag, one in Seen('[paper](https://example.org/?q="><img>)').tags if tag == "a"]
    assert link == {"href": "https://example.org/?q=%22%3E%3Cimg%3E", "rel": "noopener noreferrer"}


def test_words_have_an_end():
    assert len(Seen("x" * (WORDS_MOST + 10)).text) <= WORDS_MOST + 10
