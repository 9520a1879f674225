"""A bundle: the same numbers as the reports, a list that can be filtered, and no request beyond its own files."""

import json
import re

import pytest

from tests.helpers.reports import PAYLOADS, Report, hostile_trace, hostile_validation, sound_markup
from tests.helpers.unlearn_results import make_unlearn_result, unlearn_spec
from untrac_core.errors import InputError
from untrac_core.paths import DEMO
from untrac_core.report import report
from untrac_core.report.bundle import Entry, write_bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle of an unlearning, and of a trace and a validation full of payloads: its folder, pages and results."""
    work = tmp_path_factory.mktemp("bundle")
    make_unlearn_result(work / "gone", unlearn_spec(work / "data"), "the tolvek ruin every market")
    entries = [Entry(hostile_trace(work / "t"), "de3000000001", 0.0), Entry(work / "gone")]
    entries.append(Entry(hostile_validation(work / "v")))
    return work / "out", write_bundle(entries, work / "out", title="<b>All</b>"), entries


def test_every_result_has_its_page_with_the_numbers_of_its_report(made):
    out, pages, entries = made
    assert pages == ["index.html", "results/de3000000001.html", "results/gone.html", "results/checked.html"]
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {*pages, "plotly.min.js"}
    for entry, page in zip(entries, pages[1:], strict=True):
        alone = Report(report(entry.folder, finished=entry.finished, run_id=entry.run_id))
        seen = Report((out / page).read_bytes())
        assert (seen.tables, seen.figures) == (alone.tables, alone.figures)
    assert sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) < 6e6


def test_pages_ask_for_nothing_but_what_lies_beside_them(made):
    out, pages, _ = made
    for page in pages:
        text = (out / page).read_text(encoding="utf-8")
        seen = Report(text.encode())
        sources = [one["src"] for _, one in seen.tags if "src" in one]
        assert sources == ([] if page == "index.html" else ["../plotly.min.js"])
        assert "default-src 'none'" in seen.policy
        assert "connect-src" not in seen.policy
        links = {one["href"] for _, one in seen.tags if "href" in one}
        assert all(link.startswith("#part-") or link in ("../index.html", *pages) for link in links)
        assert not re.search(r"@import|url\(", text.split("<style>")[1].split("</style>")[0])
    nonces = [re.search(r"'nonce-([0-9a-f]{32})'", (out / page).read_text("utf-8")).group(1) for page in pages[1:]]
    assert len(set(nonces)) == len(nonces)


def test_the_list_has_what_one_filters_by_and_users_words_as_text(made):
    out, *_ = made
    seen = Report((out / "index.html").read_bytes())
    sound_markup(seen, {"article", "label", "input", "select", "option"},
                 {"role", "type", "data-filter", "placeholder", "value"}, scripts=2)  # fmt: skip
    known = json.loads(seen.scripts[0])
    assert [row["kind"] for row in known["rows"]] == [["trace"], ["unlearning"], ["validation"]]
    assert known["choices"]["kind"] == ["trace", "unlearning", "validation"]
    assert [row["method"] for row in known["rows"][:2]] == [["UnTrac-Inv (robust)"], ["NPO"]]
    assert {"forum", "toxicity", "npo"} <= set(known["rows"][1]["words"].split())
    assert [row["model"] for row in known["rows"][:2]] == [["demo"], ["demo"]]
    assert "the texts are at 4.00 nats per token" in seen.said
    assert PAYLOADS[3][:80] in seen.said


def test_texts_are_masked_in_every_page(made):
    out, *_ = made
    text = Report((out / "results" / "gone.html").read_bytes()).said
    assert "tolvek" not in text.split("Forget-set examples")[1].split("What this does not prove")[0]
    assert "•••" in text
    assert "tolvek" not in text.split("What each model wrote")[1].split("Forget-set examples")[0]


def test_a_result_that_is_named_twice_or_has_no_report_is_refused(tmp_path):
    with pytest.raises(InputError, match="named twice"):
        write_bundle([Entry(DEMO / "run"), Entry(DEMO / "run")], tmp_path / "out")
    with pytest.raises(InputError, match=r"summary.json is missing"):
        write_bundle([Entry(tmp_path)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
