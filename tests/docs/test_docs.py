"""The papers: generated pages are current, examples can be used, links lead somewhere, and pages load nothing."""

import json
import re
from pathlib import Path

import pytest
import yaml

from benchmarks.accuracy import precision, rungs
from benchmarks.accuracy.sizes import size_table
from docs.generate import PAGES
from docs.generators import fields, methods, results
from docs.generators.markdown import facts
from docs.offline import external
from untrac_core import __version__
from untrac_core.paths import PROJECT
from untrac_core.specs import KINDS
from untrac_core.specs.files import parse_spec

DOCS = PROJECT / "docs"
PAPERS = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted(DOCS.glob("*.md")),
]
TESTBEDS = {"OPT, ten": "opt", "GPT-2": "gpt2", "Llama": "llama", "OPT, eight": "mix"}


def ids(path):
    return path.name


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name):
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run 'make docs', and commit what it writes"


@pytest.mark.parametrize("path", PAPERS, ids=ids)
def test_every_yaml_example_is_a_spec(path):
    for text in blocks(path, "yaml"):
        parse_spec(text)


def test_every_kind_of_spec_has_an_example():
    assert {parse_spec(text).kind for text in blocks(DOCS / "run-specs.md", "yaml")} == set(KINDS)


@pytest.mark.parametrize("path", PAPERS, ids=ids)
def test_links_of_papers_lead_to_files(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#]+)", text)
    hooks = (DOCS / "hooks.py").read_text(encoding="utf-8")
    for target in targets:
        if target.startswith("https://"):
            continue
        assert (path.parent / target).is_file(), target
        if path.parent == DOCS and target.startswith("../"):  # for the site docs/hooks.py leads it to images/
            assert f'"{target.removeprefix("../")}"' in hooks, target


def test_the_site_has_every_page_and_no_other():
    listed = re.findall(r"[\w-]+\.md", (PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.name for path in DOCS.glob("*.md"))


def test_the_glossary_has_every_word_once():
    text = (DOCS / "concepts.md").read_text(encoding="utf-8").split("## Glossary")[1]
    words = [
        word
        for cell in re.findall(r"^\| ([^|]+) \|", text, flags=re.MULTILINE)
        if cell not in ("Word", "---")
        for word in cell.split(", ")
    ]
    assert len(words) == len(set(words)) >= 25


@pytest.mark.parametrize("path", [PROJECT / "README.md", DOCS / "evidence.md"], ids=ids)
def test_the_evidence_is_that_of_the_benchmark(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for title, bed in TESTBEDS.items():
        [line] = [line for line in lines if line.startswith(f"| {title}")]
        _, ours, forward, *rest = [cell.strip() for cell in line.strip("|").split("|")]
        told = json.loads((PROJECT / "benchmarks" / "accuracy" / "results" / bed / "summary.json").read_text())
        rows = [row for row in told["leaderboard"] if (row["metric"], row["side"]) == ("pearson", "resolvable")]
        found = {row["method"]: row for row in rows if row["prompt_set"] is None}
        assert ours == with_interval(found["untrac-inv (robust)"])
        assert forward == with_interval(found["untrac (robust)"])
        if len(rest) == 2:
            assert rest == [short(found["untrac-inv (paper)"]["value"]), short(found["bm25"]["value"])]


@pytest.mark.parametrize(
    ("title", "bed"), [("On OPT", "opt"), ("On GPT-2", "gpt2"), ("On Llama", "llama"), ("On OPT, unequal", "mix")]
)
def test_the_sizes_and_signs_are_those_of_the_benchmark(title, bed):
    lines = (DOCS / "evidence.md").read_text(encoding="utf-8").splitlines()
    [line] = [line for line in lines if line.startswith(f"| {title} |")]
    folder = PROJECT / "benchmarks" / "accuracy" / "results" / bed
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rows = [cells_of(line) for line in size_table(folder, summary, ()).splitlines()]
    [(_, _, least, rho, slope, signs, error, _)] = [row for row in rows if row[0] == "untrac-inv (robust)"]
    told = cells_of(line)
    assert told[1:4] == [short(float(least.split()[0])), short(float(rho)), signs.replace("%", " %")]
    assert float(told[4].split()[0].replace(",", "")) == pytest.approx(
        float(slope.split()[0].replace(",", "")), rel=0.03
    )
    assert told[5:] == [error.replace("%", " %"), short(float(rows[-1][1].split(",")[0]))]


def test_the_rungs_are_those_of_the_benchmark():
    told = (DOCS / "evidence.md").read_text(encoding="utf-8")
    for method in ("untrac", "continuation", "untrac-inv", "bm25"):
        assert rungs.table(method) in told
    for method in ("untrac", "continuation"):
        assert rungs.contrast_table(method) in told


def test_the_effect_of_half_precision_is_that_of_the_benchmark():
    assert precision.table() in (DOCS / "evidence.md").read_text(encoding="utf-8")
    for found in json.loads(precision.RESULTS.read_text(encoding="utf-8")).values():
        assert precision.failures(found) == []


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def with_interval(row) -> str:
    return f"{short(row['value'])} ({short(row['low'])} to {short(row['high'])})"


def test_a_key_without_a_meaning_is_named(monkeypatch):
    monkeypatch.setattr(fields, "meanings", dict)
    with pytest.raises(LookupError, match=r"ModelRef.path has no docstring"):
        fields.meaning(KINDS["trace"].model_fields["model"].annotation, "path")


def test_a_method_without_an_equation_is_named(monkeypatch):
    monkeypatch.setattr(methods, "facts", lambda name: {})
    with pytest.raises(LookupError, match="bm25"):
        methods.attribution()


def test_columns_that_are_not_the_code_s_are_named():
    told = facts("results")["files"]["curves.parquet"]
    with pytest.raises(LookupError, match="curves"):
        results.columns("curves.parquet", told | {"types": {"method": "text"}})


LATER: dict[str, set[str]] = {
    "trace": {"controls"},
    "validate": {
        "calibration",
        "retraining",
        "halves",
        "document_halves",
        "pairs",
        "controls",
        "choices",
        "writing",
    },
}
"""Entries that results have which are newer than these; ``tests/tasks`` read them."""


@pytest.mark.parametrize(
    ("kind", "folder"), [("trace", "assets/demo/run"), ("validate", "benchmarks/accuracy/results/opt")]
)
def test_the_entries_of_a_summary_are_described(kind, folder):
    told = facts("results")["summary"]
    summary = json.loads((PROJECT / folder / "summary.json").read_text(encoding="utf-8"))
    assert set(summary) | LATER[kind] == set(told["everywhere"]) | set(told[kind])


def test_the_citation_is_of_this_version():
    told = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    assert told["version"] == __version__
    assert f"## [{__version__}]" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/a.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="//fonts.example/a.css">'),
        ("a.html", '<p style="background: url(https://x.example/a.png)">'),
        ("a.css", "@import 'https://fonts.example/a.css';"),
        ("a.css", "a { background: url(//x.example/a.png) }"),
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_named(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    [found] = external(tmp_path)
    assert found.startswith(f"{name} loads ")


def test_a_page_may_link_elsewhere(tmp_path):
    text = '<a href="https://x.example">x</a><link rel="canonical" href="https://x.example"><img src="images/a.png">'
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    assert list(external(tmp_path)) == []
