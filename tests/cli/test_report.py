"""``report`` as a shell sees it: the file, the exit status, one line for every fault."""

import json

import pytest

from tests.helpers.reports import Report
from tests.helpers.unlearn_results import make_unlearn_result, unlearn_spec
from untrac_core.cli.app import main
from untrac_core.engine import DEMO_RUN, Store
from untrac_core.engine.database import change
from untrac_core.paths import DEMO


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A data home with the demo's run in it."""
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    made = Store()
    made.install_demo()
    return made


def refused(capsys, *arguments):
    """What a command says that was given what it cannot use."""
    status = main(["report", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1), (status, out, err)
    return err


def test_a_run_and_a_folder_give_the_same_ranking(store, tmp_path, capsys):
    for given in (DEMO_RUN, DEMO / "run"):
        out = tmp_path / f"{len(str(given))}.html"
        assert main(["report", str(given), "--out", str(out)]) == 0
        assert capsys.readouterr().out.startswith(f"The report is in {out} (5.")
        rankings = Report(out.read_bytes()).rankings()
        assert rankings[0][0] == json.loads((DEMO / "run" / "summary.json").read_text())["ranking"][0]["subset"]
        assert len(rankings) == 9


def test_a_file_that_is_there_is_kept_unless_forced(store, tmp_path, capsys):
    out = tmp_path / "report.html"
    out.write_text("mine")
    assert "is there already" in refused(capsys, DEMO_RUN, "--out", out)
    assert out.read_text() == "mine"
    assert main(["report", DEMO_RUN, "--out", str(out), "--force", "--show-texts"]) == 0
    assert "shows training texts as they are" in Report(out.read_bytes()).said


def test_bad_input_is_one_line(store, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert "neither the id of a run nor a folder" in refused(capsys, "no-such", "--out", out)
    assert "neither the id" in refused(capsys, "x" * 5000, "--out", out)
    assert "there is no run" in refused(capsys, "d" * 12, "--out", out)
    assert "summary.json is missing" in refused(capsys, tmp_path, "--out", out)
    assert "its folder is not there" in refused(capsys, DEMO_RUN, "--out", tmp_path / "none" / "report.html")
    assert "this is a folder" in refused(capsys, DEMO_RUN, "--out", tmp_path)
    assert "--out" in refused(capsys, DEMO_RUN)
    with change(store.database) as connection:
        connection.execute("update runs set status = 'running' where id = ?", (DEMO_RUN,))
    assert "the run is running, so it has no result yet" in refused(capsys, DEMO_RUN, "--out", out)
    assert not out.exists()


def test_a_missing_file_of_a_run_is_one_line(store, tmp_path, capsys):
    (store.run(DEMO_RUN).folder / "influence.parquet").unlink()
    assert "influence.parquet is missing" in refused(capsys, DEMO_RUN, "--out", tmp_path / "report.html")


def test_several_results_make_one_page_below_the_notes(store, tmp_path, capsys):
    out, notes = tmp_path / "page.html", tmp_path / "notes.md"
    notes.write_text("# For you\n\n<script>alert(1)</script>")
    assert main(["report", DEMO_RUN, "--notes", str(notes), "--title", "T", "--out", str(out)]) == 0
    seen = Report(out.read_bytes())
    assert seen.said.index("For you") < seen.said.rindex("Which subsets push the model towards toxic text?")
    assert "<script>alert(1)</script>" in seen.said
    assert len(seen.rankings()) == 3
    capsys.readouterr()
    assert "cannot read the notes" in refused(
        capsys, DEMO_RUN, "--notes", tmp_path / "none.md", "--out", tmp_path / "a"
    )
    page = tmp_path / "page.yaml"
    page.write_text(f"title: Mine\nitems:\n- show: answer\n  run: {DEMO_RUN}\n")
    assert main(["report", str(page), "--out", str(out), "--force"]) == 0
    assert "Mine" in Report(out.read_bytes()).said
    capsys.readouterr()
    assert "a page has its own words" in refused(capsys, page, "--notes", notes, "--out", tmp_path / "a")
    page.write_text("items: [{show: metrics, run: de3000000001}]")
    assert "item 1, " in refused(capsys, page, "--out", tmp_path / "a")


def test_a_bundle_is_a_folder_of_pages_and_keeps_what_is_there(store, tmp_path, capsys):
    out = tmp_path / "folder"
    make_unlearn_result(tmp_path / "gone", unlearn_spec(tmp_path / "data"))
    assert main(["bundle", str(tmp_path / "gone"), "-o", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"1 result is in {out} (4.")
    assert (out / "results" / "gone.html").is_file()
    assert main(["bundle", str(tmp_path / "gone"), "-o", str(out)]) == 2
    assert "the folder is not empty" in capsys.readouterr().err
    assert main(["bundle", "no-such", "-o", str(tmp_path / "other")]) == 2
    assert "neither the id of a run nor a folder" in capsys.readouterr().err
