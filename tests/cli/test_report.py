"""``report`` as a shell sees it: the file, the exit status, one line for every fault."""

import json

import pytest

from tests.helpers.reports import Report
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
