"""Validate runs through real workers: killed and resumed, asked about, and refused, as a shell sees them."""

import json
import os
import signal

import pytest
import yaml

from tests.helpers.homes import serving, until
from tests.helpers.recipes import prompt_spec, subset_specs, validate_spec
from untrac_core.cli.app import main
from untrac_core.engine import Store, ensure_worker, submit
from untrac_core.errors import InputError
from untrac_core.results.folders import ESTIMATES, GROUND_TRUTH, SUMMARY
from untrac_core.tasks.run import validate

pytestmark = pytest.mark.slow  # jobs that train, are killed, and go on

METHODS = [
    {"name": "untrac-inv", "preset": "paper", "optimizer": "kronecker", "samples": 5, "steps": 20, "eval_points": 2},
    {"name": "tracin"},
    {"name": "bm25"},
]
"""The first of them takes some tenths of a second per cell, so that there is a moment to kill it in."""


def spec_of(world, steps=40, **more):
    return validate_spec(world, {"steps": steps}, methods=METHODS, **more)


def finished_cells(home):
    """Every finished cell's file and the moment that it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (home / "cells").glob("*.parquet")}


def steady(folder):
    """A summary without what differs from run to run."""
    summary = json.loads((folder / SUMMARY).read_text())
    methods = [row | {"seconds": 0, "peak_memory_mb": 0} for row in summary["methods"]]
    return summary | {"methods": methods, "seconds": 0, "peak_memory_mb": 0, "run": ""}


def kill_the_job(store, run_id, after):
    """Kill the job of a run in the middle of what it does when so many cells are done; returns the cells then."""
    until(lambda: ensure_worker("cpu", store.home) or serving(store.home, "engine.job"), every=0.1)
    (job,) = serving(store.home, "engine.job")
    until(lambda: store.run(run_id).cells_done >= after, every=0.01)
    os.kill(job, signal.SIGKILL)
    until(lambda: store.run(run_id).settled)
    run = store.run(run_id)
    assert run.error.startswith("the job ended with signal 9")
    assert after <= run.cells_done < run.cells_total
    return finished_cells(store.home)


def test_a_validation_that_is_killed_and_resumed_ends_with_the_same_bytes(home, world, tmp_path):
    """Killed among the trainings, and among the methods, which look at a model that lies in the run's own folder."""
    spec = spec_of(world)
    store = Store(home)
    run_id = submit(spec)
    seen = kill_the_job(store, run_id, 2)
    folder = store.run(run_id).folder
    (model,) = (folder / ".work").glob("model-*/model.safetensors")
    generations = model.stat().st_mtime_ns
    assert not (folder / SUMMARY).exists()
    store.resume(run_id)
    later = kill_the_job(store, run_id, 9)  # eight are trainings
    assert seen.items() <= later.items()
    assert model.stat().st_mtime_ns == generations  # the full model is taken as it is
    store.resume(run_id)
    until(lambda: ensure_worker("cpu", home) or store.run(run_id).settled)
    run = store.run(run_id)
    assert (run.status, run.error, run.attempt) == ("done", None, 3)
    assert later.items() <= finished_cells(home).items()
    assert run.cells_done == run.cells_total == 8 + 6 + 3 + 3 == len(finished_cells(home))
    assert not (folder / ".work").exists()
    assert not list(folder.glob(".*"))

    calm = validate(spec, tmp_path / "calm", threads=1)
    for file in (GROUND_TRUTH, ESTIMATES):
        assert (folder / file).read_bytes() == (calm.folder / file).read_bytes(), file
    assert steady(folder) == steady(calm.folder)
    assert json.loads((folder / SUMMARY).read_text())["run"] == run_id
    assert json.loads((folder / SUMMARY).read_text())["methods"][0]["seconds"] > 0


@pytest.fixture
def spec_file(world, tmp_path):
    """Write a spec as a user would; keyword arguments replace its parts."""

    def write(**more):
        values = {
            "kind": "validate",
            "name": "a small validation",
            "training": {
                "hidden_size": 16,
                "num_layers": 1,
                "num_heads": 2,
                "vocab_size": 300,
                "block_size": 32,
                "steps": 10,
                "batch_size": 8,
            },
            "prompts": [prompt_spec(world)],
            "subsets": subset_specs(world),
            "samples_per_subset": 16,
            "methods": [{"name": "grad-dot"}, {"name": "random"}],
            "estimate_seeds": [0, 1],
            "device": "cpu",
        }
        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump(values | more))
        return str(path)

    return write


def test_check_says_what_a_validation_costs(home, spec_file, capsys):
    path = spec_file(seeds=[0, 1, 2])
    assert main(["check", path]) == 0
    out = capsys.readouterr().out
    assert "12 trainings of a model of " in out
    assert "grad-dot: about" in out
    assert "together about" in out
    assert "MB of memory" in out
    assert main(["check", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trainings"] == 12
    assert set(found["method_seconds"]) == {"grad-dot", "random"}
    assert found["seconds"] > 0


def test_run_prints_the_board_and_the_sentence_and_hands_the_result_over(home, spec_file, tmp_path, capsys):
    out = tmp_path / "result"
    path = spec_file()
    assert main(["run", path, "--out", str(out)]) == 0
    said = capsys.readouterr()
    summary = json.loads((out / SUMMARY).read_text())
    assert "Agreement with retraining" in said.out
    for row in summary["leaderboard"]:
        if row["prompt_set"] is None and row["side"] == "all" and row["metric"] == "pearson":
            assert f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})" in said.out
    assert " ".join(summary["verdict"].split()[:8]) in said.out
    assert f"The result is in {out}." in said.out
    assert "training without smiths, seed 1" in said.err
    assert sorted(file.name for file in out.iterdir() if file.name != "log.txt") == sorted(
        ["spec.yaml", "environment.json", SUMMARY, GROUND_TRUTH, ESTIMATES]
    )
    (run,) = Store(home).runs()
    assert main(["show", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert main(["runs"]) == 0
    assert "validate" in capsys.readouterr().out
    assert main(["run", path, "--out", str(out)]) == 0  # the same result may be written again


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"methods": [{"name": "untrac-inv", "preset": "paper", "target_loss_increase": 0.1}]},
            "'target_loss_increase' has no effect with optimizer",
        ),
        (
            {"methods": [{"name": "grad-dot", "target_loss_increase": 0.1}]},
            "'target_loss_increase' has no effect with method 'grad-dot'",
        ),
        ({"subsets": 2}, "'subsets' needs at least 3"),
        ({"model": {"path": "demo"}}, "'model' is needed with training.init 'base' or 'continued', and only then"),
        ({"subsets": "missing"}, "there is no file"),
        ({"steps": 5}, "steps"),
    ],
    ids=["setting", "baseline", "two-subsets", "model-with-scratch", "file", "place"],
)
def test_bad_input_is_one_line_and_makes_no_run(world, spec_file, refused, more, said):
    subsets = subset_specs(world)
    if more.get("subsets") == 2:
        more = {"subsets": subsets[:2]}
    elif more.get("subsets") == "missing":
        more = {"subsets": [*subsets[:2], {"name": "x", "source": {"file": "nowhere.jsonl"}}]}
    path = spec_file(**more)
    refused(path, said)


def test_a_validation_is_refused_when_it_is_queued_not_later(store, world):
    from untrac_core.specs import ModelRef

    spec = spec_of(world).model_copy(
        update={"methods": [spec_of(world).methods[0].model_copy(update={"learning_rate": 1.0})]}
    )
    with pytest.raises(InputError, match="'learning_rate' has no effect"):
        store.submit(spec)
    further = validate_spec(world, {"init": "continued"}, model={"path": str(world / "model")})
    gone = further.model_copy(update={"model": ModelRef(path=str(world / "nowhere"))})
    with pytest.raises(InputError, match="nowhere"):
        store.submit(gone)
    assert store.runs() == []
