"""Unlearn runs through real workers: killed in the middle and resumed, watched, cancelled, and asked for by a shell."""

import json
import os
import signal

import pytest
import yaml

from tests.helpers.homes import serving, until
from tests.helpers.recipes import subset_specs
from tests.helpers.unlearning_requests import request_values, steady, unlearn_spec
from untrac_core.cli.app import main
from untrac_core.engine import Store, ensure_worker, submit
from untrac_core.results.folders import (
    COLLATERAL,
    CURVES,
    FORGET_EXAMPLES,
    GENERATIONS,
    METRICS,
    SUMMARY,
    UNLEARNED,
    read_frame,
)
from untrac_core.tasks.run import unlearn

pytestmark = pytest.mark.slow  # jobs that train, are killed, and go on

TABLES = (METRICS, CURVES, COLLATERAL, FORGET_EXAMPLES, GENERATIONS)
HISTORY = ".work/history.parquet"


def spec_of(world, **more):
    values = {
        "method": {"name": "npo", "learning_rate": 0.002},
        "compare": [],
        "stop": {"rule": "fixed", "steps": 30, "eval_every": 3},
        "generation": {"texts": ["The anvil"], "sampling": {"samples": 1, "tokens": 4}},
        "relearn_steps": 4,
    }
    return unlearn_spec(world, **(values | more))


def finished_cells(home):
    """Every finished cell's file and the moment that it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (home / "cells").glob("*.parquet")}


def history(folder):
    """The unlearning that is under way, as its file has it: method, seed and the last step; nothing before there is."""
    if not (folder / HISTORY).is_file():
        return None
    frame = read_frame(folder / HISTORY)
    return frame.method.iloc[0], int(frame.seed.iloc[0]), int(frame.step.max())


def kill_the_job(store, run_id, when):
    """Kill the job of a run as soon as something is so; returns the cells that were finished then."""
    until(lambda: ensure_worker("cpu", store.home) or serving(store.home, "engine.job"), every=0.1)
    (job,) = serving(store.home, "engine.job")
    until(when, every=0.01)
    os.kill(job, signal.SIGKILL)
    until(lambda: store.run(run_id).settled)
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
    later = kill_the_job(store, run_id, lambda: history(folder) and history(folder)[:2] == ("npo", 0))
    assert seen.items() <= later.items()
    method, seed, step = history(folder)
    assert (method, seed) == ("npo", 0)
    assert step < 30, "the method was to be killed before its last step"
    assert not (folder / SUMMARY).exists()
    retrained_models = {path.name: path.stat().st_ino for path in (home / "retrained_models").glob("model-*")}
    assert len(retrained_models) == 2
    store.resume(run_id)
    until(lambda: ensure_worker("cpu", home) or store.run(run_id).settled)
    run = store.run(run_id)
    assert (run.status, run.error, run.attempt) == ("done", None, 3)
    assert later.items() <= finished_cells(home).items()
    assert run.cells_done == run.cells_total == 2 + 1 + 2 + 1
    assert {path.name: path.stat().st_ino for path in (home / "retrained_models").glob("model-*")} == retrained_models
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
    run_id = submit(spec_of(world, stop={"rule": "fixed", "steps": 400, "eval_every": 2}, seeds=[0]))
    folder = store.run(run_id).folder
    until(lambda: ensure_worker("cpu", home) or history(folder), every=0.05)
    first = history(folder)
    until(lambda: (history(folder) or first)[2] > first[2])  # it grows while the method runs
    eval_sets = read_frame(folder / HISTORY)
    assert {"forget", "subset", "prompts"} <= set(eval_sets.kind)
    assert eval_sets[eval_sets.quantity == "loss"].value.notna().all()
    assert (eval_sets.tokens > 0).all()
    assert eval_sets.level.isna().all()  # it ends after its steps, at no level
    store.cancel(run_id)
    until(lambda: store.run(run_id).settled)
    run = store.run(run_id)
    assert run.status == "cancelled"
    assert run.cells_done == 2 < run.cells_total
    assert not (folder / SUMMARY).exists()


def test_two_requests_about_one_forget_set_share_their_retrained_models(home, world):
    store, stop = Store(home), {"rule": "fixed", "steps": 2, "eval_every": 2}
    first = submit(spec_of(world, stop=stop, seeds=[0], generation=None, relearn_steps=0))
    until(lambda: ensure_worker("cpu", home) or store.run(first).settled)
    retrained_models = {path.name: path.stat().st_ino for path in (home / "retrained_models").iterdir()}
    second = submit(
        spec_of(
            world, method={"name": "grad-diff"}, stop=stop, seeds=[0], generation=None, relearn_steps=3, eval_samples=8
        )
    )
    until(lambda: ensure_worker("cpu", home) or store.run(second).settled)
    assert [store.run(run_id).status for run_id in (first, second)] == ["done", "done"]
    assert {path.name: path.stat().st_ino for path in (home / "retrained_models").iterdir()} == retrained_models
    assert len(retrained_models) == 1
    said = [event.text for event in store.events(second, limit=1000) if event.kind == "phase"]
    assert not [text for text in said if text and text.startswith("training")]


# --- as a shell sees it -----------------------------------------------------------------------------------------------


@pytest.fixture
def spec_file(world, tmp_path):
    """Write a request as a user would; keyword arguments replace its parts."""

    def write(**more):
        short = {"stop": {"steps": 4, "eval_every": 2}, "seeds": [0], "eval_samples": 8, "relearn_steps": 2}
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
    assert (found["trainings"], found["unlearnings"]) == (1, 2)
    assert found["seconds"] > 0
    assert main(["run", path, "--out", str(out)]) == 0
    capsys.readouterr()
    summary = json.loads((out / SUMMARY).read_text())
    assert {"spec.yaml", "audit.json", *TABLES} <= {file.name for file in out.iterdir()}
    assert found["retain"] == summary["data"]["retain"]
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
        ({"forget": {"subset": "smiths", "prompts": "talk"}}, "name exactly one of"),
        ({"forget": {"subset": "cobblers"}}, "'subsets' has no 'cobblers'"),
        ({"method": {"name": "npo", "max_forget_loss": 3.0}}, "'max_forget_loss' has no effect with method 'npo'"),
        ({"training": None}, "the stop rule 'match_retrained' needs 'training'"),
        ({"subsets": "gone"}, "there is no file"),
    ],
    ids=["two-targets", "subset", "setting", "gold-without-recipe", "file"],
)
def test_bad_requests_are_one_line_and_make_no_run(world, spec_file, refused, more, said):
    if more.get("subsets") == "gone":
        more = {"subsets": [*subset_specs(world), {"name": "x", "source": {"file": "nowhere.jsonl"}}]}
    path = spec_file(**more)
    refused(path, said)
