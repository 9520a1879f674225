"""Results whose every word tries to become markup, and a reader of reports."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from tests.helpers.making import spec_of, write_result
from tests.helpers.validations import validate_spec, write_validation

PAYLOADS = [
    "</script><script>alert(1)</script>",
    '"><img src="http://evil.example/x.png" onerror="alert(2)">',
    "'><svg onload=alert(3)>\u2028alert(4)//",
    "<!--<script>]]>&lt;b&gt;{{7*7}}`${alert(5)}`",
    "=cmd|'/c calc'!A1 </title></style><style>@import 'http://evil.example/y.css'",
    "\u202eevil\u2066<a href=http://evil.example>link</a>",
]


def hostile_trace(folder: Path) -> Path:
    """The folder of a trace whose names, labels, texts, notes and versions are all payloads; returns it."""
    names = [name[:80] for name in PAYLOADS]
    source = {"file": str(folder / "data" / "prompts.jsonl")}
    prompts = {"name": names[0], "source": source, "columns": {"completion": "text", "label": "label"}}
    labels = {"harmful": names[1], "harmless": names[2]}
    spec = spec_of(names, folder / "data", name=names[3], prompts=[prompts | labels])
    result = folder / "<b>result"
    write_result(result, spec, text=" ".join(PAYLOADS))
    path = result / "summary.json"
    summary = json.loads(path.read_text())
    place = {"prompt_set": names[0], "side": "harmful", "subset": ""}
    summary["text_features"] = [place | {"text": payload} for payload in PAYLOADS]
    summary["warnings"] = summary["notes"] = PAYLOADS
    summary["baselines"][0]["unit"] = PAYLOADS[1]
    path.write_text(json.dumps(summary))
    cells = [
        {"prompt_set": names[0], "side": "harmful", "group": group, "subset": name, "influence": 0.1 * (i + 1)}
        | {"low": -0.1 + 0.2 * (i % 2), "high": 0.9, "items": 5}
        for i, name in enumerate(names)
        for group in PAYLOADS
    ]
    pd.DataFrame(cells).to_parquet(result / "groups.parquet")
    environment = {"python": PAYLOADS[0], "packages": {PAYLOADS[1]: PAYLOADS[2]}, "odd": [PAYLOADS[3]], "none": None}
    (result / "environment.json").write_text(json.dumps(environment))
    known = [(name, names[0], "harmful", seed, 0.1 * i) for i, name in enumerate(names) for seed in (0, 1)]
    columns = ["subset", "prompt_set", "side", "seed", "influence"]
    pd.DataFrame(known, columns=columns).to_parquet(result / "ground_truth.parquet")
    return result


def hostile_validation(folder: Path) -> Path:
    """The folder of a validation whose names, verdict, warnings and notes are payloads; returns it."""
    spec = validate_spec(folder / "data", names=[name[:80] for name in PAYLOADS[:4]], prompts=PAYLOADS[1][:80])
    write_validation(folder / "checked", spec, text=" ".join(PAYLOADS))
    return folder / "checked"


class Report(HTMLParser):
    """What a browser without scripts would see in a report: tags, attributes, tables (rows of cells) and scripts."""

    def __init__(self, content: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.tables: list[list[list[str]]] = []
        self.scripts: list[str] = []
        self.said = ""
        self._open: list[str] = []
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br", "hr", "input"):
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "script" in self._open:
            self.scripts[-1] += data
        elif "style" not in self._open:
            self.said += data
            if {"td", "th"} & set(self._open):
                self.tables[-1][-1][-1] += data

    @property
    def figures(self) -> list[dict]:
        """The figures that the script will draw."""
        return json.loads(self.scripts[0])["figures"]

    @property
    def policy(self) -> str:
        """The content security policy."""
        [found] = [one["content"] for tag, one in self.tags if tag == "meta" and "http-equiv" in one]
        return found

    def rankings(self) -> list[list[str]]:
        """The subsets of each ranking, in the order of its table."""
        return [[row[1] for row in table[1:]] for table in self.tables if table[0][:2] == ["Rank", "Subset"]]


ELEMENTS = """
html head meta title style body header h1 h2 h3 h4 p nav ul li a main div strong span figure figcaption button
details summary table caption thead tbody tr th td pre br footer script
"""
ATTRIBUTES = """
lang charset http-equiv content name class id href style scope role aria-label data-figure data-name data-format data-of
type open
"""


def sound_markup(seen: Report, tags: set[str] = frozenset(), names: set[str] = frozenset(), scripts: int = 3) -> None:
    """Assert that a page has no element, attribute or script but its own; ``tags`` and ``names``: further ones."""
    assert {tag for tag, _ in seen.tags} <= {*ELEMENTS.split(), *tags}
    assert {name for _, one in seen.tags for name in one} <= {*ATTRIBUTES.split(), *names}
    assert len(seen.scripts) == scripts
    assert "<" not in seen.scripts[0]
    assert "\u2028" not in seen.scripts[0]
    assert not [one for tag, one in seen.tags if tag == "script" and "src" in one]


def without_bundle(content: bytes) -> str:
    """The file without plotly.js."""
    text = content.decode("utf-8")
    return re.sub(r"<script>/\*\*\n\* plotly\.js.*?</script>", "", text, flags=re.DOTALL)


def only_text(figure) -> None:
    """Assert that a figure lets the page's ground through and draws no name as markup."""
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
    shapes = json.loads(figure.to_json())
    for trace in shapes["data"]:
        trace.pop("customdata", None)  # never drawn
    assert "<a " not in json.dumps(shapes)
    assert "<img" not in json.dumps(shapes)
