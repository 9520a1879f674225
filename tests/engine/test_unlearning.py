"""Unlearn runs through real workers: killed in the middle and resumed, watched, cancelled, and asked for by a shell."""

import json
import os
import signal
import time

import pytest
import yaml
from homes import serving, until
from recipes import subset_specs
from unlearning_requests import request_values, steady, unlearn_spec

from untrac_core.cli import main
from untrac_core.engine import Store, ensure_worker, submit
from untrac_core.errors import InputError
from untrac_core.removal import unlearn
from untrac_core.results import COLLATERAL, CURVES, FORGOTTEN, MEASURES, SUMMARY, UNLEARNED, WRITTEN, read_frame

TABLES = (MEASURES, CURVES, COLLATERAL, FORGOTTEN, WRITTEN)
COURSE = ".work/course.parquet"


def spec_of(world, **more):
    values = {
        "method": {"name": "npo", "learning_rate": 0.002},
        "beside": [],
        "stop": {"rule": "steps", "steps": 45, "every": 3},
        "writing": {"texts": ["The anvil"], "sampling": {"samples": 1, "tokens": 4}},
        "relearn": 4,
    }
    return unlearn_spec(world, **(values | more))


def finished_cells(home):
    """Every finished cell's file and the moment that it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (home / "cells").glob("*.parquet")}


def course(folder):
    """The unlearning that is under way, as its file has it: method, seed and the last step; nothing before there is."""
    if not (folder / COURSE).is_file():
        return None
    frame = read_frame(folder / COURSE)
    return frame.method.iloc[0], int(frame.seed.iloc[0]), int(frame.step.max())


def kill_the_job(store, run_id, when):
    """Kill the job of a run as soon as something is so; returns the cells that were finished then."""
    until(lambda: ensure_worker("cpu", store.home) or serving(store.home, "engine.job"), 60, every=0.1)
    until(when, 90, every=0.01)
    (job,) = serving(store.home, "engine.job")
    os.kill(job, signal.SIGKILL)
    until(lambda: store.run(run_id).settled, 20)
    assert store.run(run_id).error.startswith("the job ended with signal 9")
    return finished_cells(store.home)


def test_an_unlearning_that_is_killed_and_resumed_ends_with_the_same_tables_and_weights(home, world, tmp_path):
    """Killed while a model is retrained, and while the method is in the middle of its steps."""
    spec = spec_of(world)
    store = Store(home)
    run_id = submit(spec)
    folder = store.run(run_id).folder
    seen = kill_the_job(store, run_id, lambda: store.run(run_id).cells_done >= 1)
    store.resume(run_id)
    later = kill_the_job(store, run_id, lambda: course(folder) and course(folder)[:2] == ("npo", 0))
    assert seen.items() <= later.items()
    method, seed, step = course(folder)
    assert (method, seed) == ("npo", 0)
    assert step < 45, "the method was to be killed before its last step"
    assert not (folder / SUMMARY).exists()
    golds = {path.name: path.stat().st_ino for path in (home / "golds").glob("gold-*")}
    assert len(golds) == 2
    store.resume(run_id)
    until(lambda: ensure_worker("cpu", home) or store.run(run_id).settled, 90)
    run = store.run(run_id)
    assert (run.status, run.error, run.attempt) == ("done", None, 3)
    assert later.items() <= finished_cells(home).items()
    assert run.cells_done == run.cells_total == 2 + 1 + 2 + 1
    assert {path.name: path.stat().st_ino for path in (home / "golds").glob("gold-*")} == golds
    assert not (folder / ".work").exists()
    assert not list(folder.glob(".*"))

    calm = unlearn(spec, tmp_path / "calm", threads=1)
    for file in TABLES:
        assert (folder / file).read_bytes() == (calm.folder / file).read_bytes(), file
    assert steady(folder) == steady(calm.folder)
    weights = "model/model.safetensors"
    assert (folder / weights).read_bytes() == (calm.folder / weights).read_bytes()
    assert json.loads((folder / SUMMARY).read_text())["run"] == run_id


def test_a_run_is_watched_and_cancelled_in_the_middle_of_its_method(home, world):
    store = Store(home)
    run_id = submit(spec_of(world, stop={"rule": "steps", "steps": 400, "every": 2}, seeds=[0]))
    folder = store.run(run_id).folder
    until(lambda: ensure_worker("cpu", home) or course(folder), 90, every=0.05)
    first = course(folder)
    until(lambda: (course(folder) or first)[2] > first[2], 30)  # it grows while the method runs
    watched = read_frame(folder / COURSE)
    assert {"forget", "subset", "prompts"} <= set(watched.kind)
    assert watched[watched.quantity == "loss"].value.notna().all()
    assert (watched.tokens > 0).all()
    assert watched.level.isna().all()  # it ends after its steps, at no level
    asked = time.monotonic()
    store.cancel(run_id)
    until(lambda: store.run(run_id).settled, 20)
    assert time.monotonic() - asked < 10
    run = store.run(run_id)
    assert run.status == "cancelled"
    assert run.cells_done == 2 < run.cells_total
    assert not (folder / SUMMARY).exists()


def test_two_requests_about_one_target_share_their_retrained_models(home, world):
    store, stop = Store(home), {"rule": "steps", "steps": 2, "every": 2}
    first = submit(spec_of(world, stop=stop, seeds=[0], writing=None, relearn=0))
    until(lambda: ensure_worker("cpu", home) or store.run(first).settled, 90)
    golds = {path.name: path.stat().st_ino for path in (home / "golds").iterdir()}
    second = submit(spec_of(world, method={"name": "grad-diff"}, stop=stop, seeds=[0], writing=None, relearn=3, look=8))
    until(lambda: ensure_worker("cpu", home) or store.run(second).settled, 90)
    assert [store.run(run_id).status for run_id in (first, second)] == ["done", "done"]
    assert {path.name: path.stat().st_ino for path in (home / "golds").iterdir()} == golds
    assert len(golds) == 1
    said = [event.text for event in store.events(second, limit=1000) if event.kind == "phase"]
    assert not [text for text in said if text and text.startswith("training")]


# --- as a shell sees it -----------------------------------------------------------------------------------------------


@pytest.fixture
def spec_file(world, tmp_path):
    """Write a request as a user would; keyword arguments replace its parts."""

    def write(**more):
        short = {"stop": {"steps": 4, "every": 2}, "seeds": [0], "look": 8, "relearn": 2}
        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump(request_values(world) | short | more))
        return str(path)

    return write


def test_check_and_run_of_an_unlearning_from_a_shell(home, world, spec_file, tmp_path, capsys):
    path, out = spec_file(), tmp_path / "result"
    assert main(["check", path]) == 0
    said = capsys.readouterr().out
    assert "subset smiths: " in said
    assert "1 trainings without them, 2 unlearnings" in said
    assert "One seed shows no floor" in " ".join(said.split())
    assert main(["check", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["trainings"], found["removals"]) == (1, 2)
    assert found["seconds"] > 0
    assert main(["run", path, "--out", str(out)]) == 0
    capsys.readouterr()
    summary = json.loads((out / SUMMARY).read_text())
    assert {"spec.yaml", "audit.json", *TABLES} <= {file.name for file in out.iterdir()}
    assert found["stays"] == summary["data"]["stays"]
    assert found["forget"] == summary["data"]["forget"]
    (run,) = Store(home).runs()
    assert (out / UNLEARNED / "model.safetensors").read_bytes() == (
        run.folder / UNLEARNED / "model.safetensors"
    ).read_bytes()
    assert main(["show", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"target": {"subset": "smiths", "prompts": "talk"}}, "name exactly one of"),
        ({"target": {"subset": "cobblers"}}, "'subsets' has no 'cobblers'"),
        ({"method": {"name": "npo", "cap": 3.0}}, "'cap' has no effect with method 'npo'"),
        ({"training": None}, "the stop rule 'gold' needs 'training'"),
        ({"subsets": "gone"}, "there is no file"),
    ],
    ids=["two-targets", "subset", "setting", "gold-without-recipe", "file"],
)
def test_bad_requests_are_one_line_and_make_no_run(world, spec_file, refused, more, said):
    if more.get("subsets") == "gone":
        more = {"subsets": [*subset_specs(world), {"name": "x", "source": {"file": "nowhere.jsonl"}}]}
    path = spec_file(**more)
    refused(path, said)


def test_a_setting_without_effect_is_refused_when_it_is_queued_not_later(store, world):
    with pytest.raises(InputError, match="'shards' has no effect"):
        store.submit(spec_of(world, method={"name": "npo", "shards": 3}))
    assert store.runs() == []
