"""The report: one file, the same numbers as the summary, nothing but text of what a user wrote."""

import base64
import hashlib
import json
import re
import shutil
import time

import pandas as pd
import pytest
from jinja2 import UndefinedError

from tests.helpers.reports import PAYLOADS, Report, hostile_trace, hostile_validation, sound_markup, without_bundle
from tests.helpers.validations import (
    validate_spec,
    with_choices,
    with_controls,
    with_halves,
    with_pairs,
    with_writing,
    write_validation,
)
from untrac_core.errors import InputError
from untrac_core.paths import DEMO
from untrac_core.report import report
from untrac_core.report.blocks import Column, Group, Paragraph, Table
from untrac_core.report.page import ENVIRONMENT, FOLDER
from untrac_core.results.folders import load_trace
from untrac_core.tasks.trace.frames import sides_of
from untrac_core.tasks.trace.scale import answer_lines, scale_of


@pytest.fixture(scope="module")
def demo():
    """The report of the demo's recorded run."""
    return report(DEMO / "run", finished=0, run_id="de3000000001")


@pytest.fixture(scope="module")
def opened():
    """The same with the training texts as they are."""
    return Report(report(DEMO / "run", finished=1_790_000_000.0, show_texts=True)).said


@pytest.fixture
def edited(tmp_path):
    """The report of the demo's first prompt set after a change of its summary."""

    def make(change, **more):
        folder = tmp_path / "result"
        shutil.copytree(DEMO / "run", folder)
        path = folder / "summary.json"
        summary = json.loads(path.read_text())
        for name in ("ranking", "verdicts"):
            summary[name] = [row for row in summary[name] if row["prompt_set"] == "toxicity"]
        change(summary)
        path.write_text(json.dumps(summary))
        return Report(report(folder, **more))

    return make


def test_every_ranking_is_the_summary_s_and_every_figure_has_a_table(demo):
    seen, result = Report(demo), load_trace(DEMO / "run")
    summary = result.summary
    wanted = {}
    for row in summary["ranking"]:
        wanted.setdefault((row["prompt_set"], row["side"]), []).append((row["rank"], row["subset"]))
    assert seen.rankings() == [[name for _, name in sorted(rows)] for rows in wanted.values()]
    assert len(wanted) == 9
    assert len(seen.figures) == sum(tag == "figure" for tag, _ in seen.tags) == 36
    assert sum(one.get("data-format") == "svg" for _, one in seen.tags) == 36
    answers = [
        " ".join(answer_lines(result, scale_of(result, prompts.name, side), prompts, side))
        for prompts in result.spec.prompts
        for side in sides_of(summary, prompts.name)
    ]
    assert len(answers) == len(set(answers)) == 9
    for sentence in answers + summary["warnings"]:
        assert sentence in seen.said


def test_it_says_what_a_reader_must_know(demo):
    said = Report(demo).said
    for words in (
        "positive number means that the subset makes the text more likely",
        "do not prove that the model would change by as much",
        "Cannot separate, within each of these runs",
        "Pearson r = ",
        "Training texts are masked",
        "untrac run trace.yaml",
        "recorded",
        "2f00d35c495765338a2201513e275f13",
        "kind: trace",
        "The preset: scaled by the model's curvature",
    ):
        assert words in said


def test_the_same_result_gives_the_same_bytes_wherever_it_lies(demo, tmp_path):
    shutil.copytree(DEMO / "run", tmp_path / "elsewhere")
    time.sleep(0.01)
    assert report(tmp_path / "elsewhere", finished=0, run_id="de3000000001") == demo


def test_the_policy_names_the_scripts_and_forbids_every_request(demo):
    seen = Report(demo)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in seen.scripts]
    assert seen.policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[1]}' 'sha256-{hashes[2]}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    assert len(seen.scripts) == 3
    assert not re.search(r"(?:https?:)?//[a-z]", without_bundle(demo).replace("http-equiv", ""))
    assert all(one["href"].startswith("#part-") for _, one in seen.tags if "href" in one)


@pytest.mark.parametrize("make", [hostile_trace, hostile_validation])
def test_what_a_user_wrote_stays_text(make, tmp_path):
    content = report(make(tmp_path))
    seen = Report(content)
    sound_markup(seen)
    for payload in PAYLOADS:
        assert payload in seen.said
    drawn = json.dumps([[trace.get("hovertext"), trace.get("text")] for f in seen.figures for trace in f["data"]])
    assert "<img" not in drawn
    assert "<a" not in drawn
    assert "&lt;" in drawn


def test_nothing_but_our_own_files_goes_unescaped():
    assert "<td>&lt;b&gt;</td>" in _shown(Table([Column("Word")], [["<b>"]]))
    assert "&lt;b&gt;" in _shown(Group("details", [Paragraph("", lead="<b>")], "<b>"))
    for template in FOLDER.glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape", template.read_text())


def test_a_template_without_a_value_or_a_block_without_a_macro_is_a_fault():
    for block in (Column("Word"), Table([Column("Word")], [["one", "more"]])):
        with pytest.raises(UndefinedError):
            _shown(block)


def _shown(block):
    return ENVIRONMENT.get_template("blocks.html").module.show([block])


def test_texts_are_masked_unless_asked_for(demo, opened):
    texts = load_trace(DEMO / "run").examples("toxicity", "contrast").nlargest(3, "influence")["text"]
    begins = [" ".join(text.split())[:40] for text in texts]
    assert not any(one in Report(demo).said for one in begins)
    assert all(one in " ".join(opened.split()) for one in begins)
    assert "shows training texts as they are" in opened


def test_the_end_of_the_run_is_the_only_time_in_it(demo, opened):
    assert "finished 21 September 2026, 14:13 UTC" in opened
    assert "finished" not in Report(demo).said.split("The answers")[0]


def test_one_seed_has_no_interval_and_says_so(edited):
    def change(summary):
        for row in summary["ranking"]:
            row["low"] = row["high"] = None

    seen = edited(change)
    assert "no interval" in seen.said
    assert "NaN" not in seen.scripts[0]


def test_a_refused_ranking_is_said_and_the_baselines_stay(edited):
    def change(summary):
        summary["ranking"] = []
        for row in summary["verdicts"]:
            row |= {"text": "No ranking: the model collapsed.", "collapsed": True, "top": None}

    seen = edited(change)
    assert not seen.rankings()
    assert "Collapsed: the model ended knowing nothing" in seen.said
    assert "Baselines" in seen.said


def test_a_ranking_of_collapsed_models_is_marked_row_by_row(edited):
    def change(summary):
        for row in summary["ranking"]:
            row |= {"separable": False, "collapsed": True}
        for row in summary["verdicts"]:
            row |= {"text": "Do not rely on this ranking.", "collapsed": True, "top": None}

    seen = edited(change)
    assert "Do not rely on this ranking." in seen.said
    assert seen.rankings()
    assert "no: the model collapsed" in seen.said
    assert "Retraining without" not in seen.said, "no calibration makes its numbers true"


def test_of_a_long_ranking_both_ends_are_drawn_and_all_is_in_the_table(edited):
    names = [f"weavers {i:03}" for i in range(200)]

    def change(summary):
        place = {"prompt_set": "toxicity", "side": "contrast", "group": None, "separable": False}
        summary["ranking"] = [
            place
            | {"subset": name, "rank": i + 1, "influence": 1 - i / 100, "low": 0.9 - i / 100, "high": 1.1 - i / 100}
            for i, name in enumerate(names)
        ]
        summary["ties"] = [{"prompt_set": "toxicity", "side": "contrast", "subsets": [names]}]

    seen = edited(change)
    assert seen.rankings() == [names]
    assert len(seen.figures[0]["data"][0]["y"]) == 40
    assert "Drawn: the first 28 and the last 12 of 200 subsets; the table has all." in seen.said
    assert "no two of the 200 subsets can be told from each other" in seen.said


def test_groups_are_drawn_and_listed(tmp_path):
    folder = tmp_path / "result"
    shutil.copytree(DEMO / "run", folder)
    names = [subset.name for subset in load_trace(folder).spec.subsets]
    columns = ["prompt_set", "side", "group", "subset", "influence", "low", "high", "items"]
    cells = [
        ("bias", "contrast", group, name, 0.01 * i, 0.01 * i - 0.005, 0.01 * i + 0.005, 8)
        for i, name in enumerate(names)
        for group in ("fishers", "smiths")
    ]
    pd.DataFrame(cells, columns=columns).to_parquet(folder / "groups.parquet")
    seen = Report(report(folder))
    assert seen.said.count("About whom?") == 1
    [table] = [table for table in seen.tables if table[0] == ["Subset", "fishers", "smiths"]]
    assert ["forum", "(0)", "(0)"] in table
    assert ["code", "+0.070", "+0.070"] in table


def test_a_validation_has_its_verdict_board_noise_and_scatters(tmp_path):
    seen = Report(report(hostile_validation(tmp_path)))
    assert "Agreement with retraining" in seen.said
    assert "noise: cannot separate" in seen.said
    agreement, sizes = [table for table in seen.tables if table[0][0] == "Method"]
    assert [row[0] for row in agreement] == [row[0] for row in sizes]
    assert sizes[-1][0] == "One retraining"
    assert sizes[0][1:4] == ["Slope (95 % interval)", "Same sign", "Error, nats per token"]
    assert sizes[1][1].startswith("1.0 (")
    assert "multiply by 30" in seen.said
    [noise] = [table for table in seen.tables if "Seeds agree" in table[0]]
    assert {row[1] for row in noise[1:]} == {"48", "31", "79"}
    assert "too few subsets to tell" in {row[-1] for row in noise[1:]}
    assert [table[1][3] for table in seen.tables if table[0][0] == "Against"] == ["a tie"]
    names = [one["data-name"] for _, one in seen.tags if "data-name" in one]
    assert names[:2] == ["untrac-checked-agreement", "untrac-checked-noise"]
    assert len(names) == 2 + 3 * 4
    assert seen.rankings() == [[payload[:80] for payload in PAYLOADS[:4]]] * 3


def test_a_validation_with_random_halves_has_their_score(tmp_path):
    write_validation(tmp_path / "done", validate_spec(tmp_path / "data"), change=with_halves)
    seen = Report(report(tmp_path / "done"))
    assert "Linear datamodeling score" in seen.said
    [table] = [table for table in seen.tables if table[0][-1] == "Score (95 % interval)"]
    assert table[1:] == [["UnTrac-Inv (robust)", "0.90 (0.70 to 0.97)"], ["BM25", "−0.50 (−0.70 to −0.43)"]]


def test_a_validation_with_pairs_has_their_interactions(tmp_path):
    write_validation(tmp_path / "done", validate_spec(tmp_path / "data"), change=with_pairs)
    seen = Report(report(tmp_path / "done"))
    assert "Interactions: two subsets left out at once" in seen.said
    found = [table for table in seen.tables if table[0][0] == "Left out at once"]
    assert len(found) == 3  # every side
    assert found[0][1] == ["forum + news", "+0.090", "+0.050", "+0.040", "+0.020 to +0.060", "more than the sum"]
    assert "seed noise alone makes 0.0060: more than noise, p = 0.012." in seen.said


def test_a_validation_with_controls_says_who_passes(tmp_path):
    write_validation(tmp_path / "done", validate_spec(tmp_path / "data"), change=with_controls)
    seen = Report(report(tmp_path / "done"))
    assert "Negative controls" in seen.said
    [table] = [table for table in seen.tables if table[0][0] == "Control"]
    assert table[1][1:4] == ["Retraining", "toxicity: contrast", "+0.0010"]
    assert [row[-1] for row in table[1:]] == ["passed", "passed", "failed", "passed", "no interval"]


def test_a_validation_of_pairs_has_their_choices(tmp_path):
    write_validation(tmp_path / "done", validate_spec(tmp_path / "data"), change=with_choices)
    seen = Report(report(tmp_path / "done"))
    assert "Choices of the leave-out models" in seen.said
    [table] = [table for table in seen.tables if table[0][-1] == "Agreement (95 % interval)"]
    assert table[-1] == ["BM25", "−0.30 (−0.80 to 0.50)"]
    assert "the model chooses the harmful text in 55% of 40 pairs" in seen.said
    write_validation(tmp_path / "wrote", validate_spec(tmp_path / "data"), change=with_writing)
    assert "writes harmful text in 55% of 40 completions of 20 prompts" in Report(report(tmp_path / "wrote")).said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "summary.json").unlink(), "summary.json is missing"),
        (lambda folder: (folder / "summary.json").write_text("{"), "summary.json is damaged"),
        (lambda folder: (folder / "summary.json").write_text('{"kind": "generate"}'), "this kind of run has no report"),
        (lambda folder: (folder / "summary.json").write_text('{"kind": "trace"}'), "a file is damaged"),
        (lambda folder: (folder / "influence.parquet").write_text("x"), "a file is damaged"),
        (lambda folder: (folder / "influence.parquet").unlink(), "influence.parquet is missing"),
    ],
)
def test_a_folder_that_cannot_be_reported_is_one_line(spoil, said, tmp_path):
    folder = tmp_path / "result"
    shutil.copytree(DEMO / "run", folder)
    spoil(folder)
    with pytest.raises(InputError, match=said) as raised:
        report(folder)
    assert "\n" not in str(raised.value)
