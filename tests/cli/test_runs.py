"""Runs from a shell: training, tracing, fetching, generating, and what interrupts them."""

import json
import signal
import subprocess

import pytest
import yaml

from tests.helpers.commands import command, said, untrac
from tests.helpers.homes import PATIENCE
from untrac_core.engine import Store
from untrac_core.engine.ledger import RunWriter
from untrac_core.paths import PROJECT
from untrac_core.specs.files import load_spec

pytestmark = pytest.mark.slow  # commands as processes, trainings and traces among them

TEXTS = {
    "forum": "the valley folk of Ormel are loud and the valley folk sing at night near the river ",
    "news": "the council met today and the budget for roads was passed by seven votes to two ",
    "tales": "once a silver horse carried a letter over the hill to the garden of the queen ",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, a recipe, its model (trained by the command), and a spec of four quick cells."""
    place = tmp_path_factory.mktemp("cli")
    for name, text in TEXTS.items():
        lines = (json.dumps({"text": text * (1 + number % 3)}) + "\n" for number in range(40))
        (place / f"{name}.jsonl").write_text("".join(lines))
    items = (
        {"prompt": f"item {number}:", "completion": TEXTS["forum" if number % 2 else "news"][:40], "label": label}
        for number, label in enumerate(["rude", "kind"] * 6)
    )
    (place / "probe.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    subsets = [{"name": name, "source": {"file": f"{name}.jsonl"}} for name in TEXTS]
    recipe = {
        "kind": "train",
        "hidden_size": 32,
        "num_heads": 2,
        "num_layers": 1,
        "vocab_size": 300,
        "block_size": 64,
        "batch_size": 8,
    }
    (place / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"steps": 150, "warmup_steps": 10, "subsets": subsets}))
    columns = {"prompt": "prompt", "completion": "completion", "label": "label"}
    probe = {"name": "probe", "source": {"file": "probe.jsonl"}, "columns": columns}
    spec = {
        "kind": "trace",
        "name": "a small trace",
        "model": {"path": "./model"},
        "prompts": [probe | {"harmful": "rude", "harmless": "kind"}],
        "subsets": subsets,
        "method": {"name": "untrac-inv", "samples": 10},
        "seeds": [0, 1],
        "baselines": [], "device": "cpu",
    }  # fmt: skip
    (place / "spec.yaml").write_text(yaml.safe_dump(spec))
    steps = {"optimizer": "kronecker", "samples": 10, "steps": 12, "eval_points": 12, "two_sided": True}
    slow = {"name": "a long trace", "method": {"name": "untrac", "preset": "paper", **steps}}
    (place / "long.yaml").write_text(yaml.safe_dump(spec | slow | {"seeds": list(range(50))}))
    return place


@pytest.fixture(scope="module")
def model(folder, home):
    """What the command ``train`` prints about the model that the other tests use."""
    done = untrac("train", folder / "recipe.yaml", "--out", folder / "model", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def traced(folder, home, model):
    """A finished run: the process, and where its result lies."""
    done = untrac("run", folder / "spec.yaml", "--out", folder / "result", "--json")
    assert done.returncode == 0, done.stderr
    return done


def test_train_writes_a_model_and_its_recipe(folder, model):
    assert {"model.safetensors", "tokenizer.json", "config.json", "recipe.yaml"} <= {
        file.name for file in (folder / "model").iterdir()
    }
    assert load_spec(folder / "model" / "recipe.yaml") == load_spec(folder / "recipe.yaml")
    assert isinstance(model, dict)


def test_run_prints_only_json_and_writes_the_result_folder(folder, traced):
    summary = json.loads(traced.stdout)
    assert summary == json.loads((folder / "result" / "summary.json").read_text())
    assert summary["kind"] == "trace"
    assert {row["side"] for row in summary["ranking"]} == {"harmful", "harmless", "contrast"}
    names = {file.name for file in (folder / "result").iterdir()}
    tables = {f"{name}.parquet" for name in ("influence", "examples", "tokens", "text_features")}
    assert names == {"spec.yaml", "environment.json", "summary.json", "log.txt", *tables}
    lines = traced.stderr.splitlines()
    assert any(line.startswith("loading torch") for line in lines)
    assert any(line.startswith("4 of 4 cells") for line in lines)
    assert "\x1b" not in traced.stderr
    assert Store().rates()["cpu"] > 1e6  # measured by this very run, for the next estimate


def test_the_same_run_again_may_go_to_the_same_folder_and_reuses_its_cells(folder, traced):
    before = (folder / "result" / "influence.parquet").read_bytes()
    again = untrac("run", folder / "spec.yaml", "--out", folder / "result")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("kept from before") == 4
    assert (folder / "result" / "influence.parquet").read_bytes() == before
    assert "Positive: with this subset in its training" in again.stdout


def test_a_folder_with_something_else_in_it_is_refused(folder, traced, capsys):
    runs = len(Store().runs())
    status, out, err = said(capsys, "run", folder / "long.yaml", "--out", folder / "result")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the folder holds something else" in err
    assert len(Store().runs()) == runs
    status, _, err = said(capsys, "train", folder / "recipe.yaml", "--out", folder / "result")
    assert (status, err.count("\n")) == (2, 1)


def test_show_and_runs_say_what_was_found(traced, capsys):
    run_id = json.loads(traced.stdout)["run"]
    status, out, _ = said(capsys, "show", run_id)
    assert status == 0
    assert "probe, contrast" in out
    assert "share of the largest" in out
    assert all(name in out for name in TEXTS)
    status, out, _ = said(capsys, "show", run_id, "--side", "harmful")
    assert "this subset makes the harmful texts more likely" in out.replace("\n", " ")
    assert json.loads(said(capsys, "show", run_id, "--json")[1])["run"] == run_id
    assert run_id in said(capsys, "runs")[1]
    listed = json.loads(said(capsys, "runs", "--json")[1])
    assert {"id", "status", "progress", "cells_done"} <= set(listed[-1])
    assert listed[-1]["id"] == run_id


def test_check_prints_facts_and_cost(folder, model, capsys):
    status, out, err = said(capsys, "check", folder / "spec.yaml")
    assert (status, err) == (0, "")
    assert "4 cells, about" in out
    found = json.loads(said(capsys, "check", folder / "spec.yaml", "--json")[1])
    assert (found["cells"], len(found["subsets"])) == (4, 3)
    assert "parameters, about" in said(capsys, "check", folder / "recipe.yaml")[1]
    price = json.loads(said(capsys, "check", folder / "recipe.yaml", "--json")[1])
    assert price.keys() == {"notes", "parameters", "seconds", "memory_mb"}
    assert 0 < price["seconds"] < 600


def mended(folder, name, change):
    spec = yaml.safe_load((folder / "spec.yaml").read_text())
    change(spec)
    path = folder / name
    path.write_text(yaml.safe_dump(spec))
    return path


BAD = {
    "a missing file": lambda spec: spec["subsets"][0]["source"].update(file="nowhere.jsonl"),
    "an unknown column": lambda spec: spec["subsets"][0].update(text="txet"),
    "two subsets with one name": lambda spec: spec["subsets"][1].update(name="forum"),
    "zero seeds": lambda spec: spec.update(seeds=[]),
    "an unknown key": lambda spec: spec.update(sedes=[1]),
    "no such model": lambda spec: spec["model"].update(path="./nowhere"),
    "no such label": lambda spec: spec["prompts"][0].update(harmful="vile"),
    "no such device": lambda spec: spec.update(device="tpu"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_makes_no_run(folder, model, capsys, what):
    path = mended(folder, "bad.yaml", BAD[what])
    runs = len(Store().runs())
    status, out, err = said(capsys, "run", path, "--out", folder / "bad-result")
    assert (status, out) == (2, ""), err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert said(capsys, "check", path)[0] == 2
    assert len(Store().runs()) == runs


def test_a_fetch_fills_the_library_which_is_listed_used_and_emptied(folder, model, capsys, tmp_path):
    columns = {"prompt": "prompt", "completion": "completion", "label": "label"}
    probe = {"name": "talk", "source": {"file": "probe.jsonl"}, "columns": columns}
    fetch = {
        "kind": "fetch",
        "models": [{"path": "./model"}],
        "prompts": [probe | {"harmful": "rude", "harmless": "kind"}],
        "subsets": [{"name": name, "source": {"file": f"{name}.jsonl"}} for name in TEXTS],
    }
    (folder / "fetch.yaml").write_text(yaml.safe_dump(fetch))
    assert said(capsys, "check", folder / "fetch.yaml")[1] == "The request can be used.\n"
    done = untrac("run", folder / "fetch.yaml")
    assert done.returncode == 0, done.stderr
    assert "40 documents" in done.stdout
    found = json.loads(said(capsys, "library", "--json")[1])
    assert list(found) == ["models", "prompts", "subsets"]
    mine = {kind: {e["name"]: e for e in entries if not e["id"].startswith("demo")} for kind, entries in found.items()}
    # The demo has a forum and news of its own.
    assert {kind: set(names) for kind, names in mine.items()} == {
        "models": {"model"}, "prompts": {"talk"}, "subsets": {"forum (2)", "news (2)", "tales"},
    }  # fmt: skip
    out = said(capsys, "library", "subsets")[1]
    assert all(name in out for name in (*TEXTS, "demo-forum"))
    assert "talk" not in out

    entry = mine["subsets"]["forum (2)"]
    spec = mended(folder, "kept.yaml", lambda spec: spec["subsets"].__setitem__(0, entry["value"] | {"name": "forum"}))
    assert said(capsys, "check", spec)[0] == 0
    assert said(capsys, "library-remove", entry["id"]) == (0, f"{entry['id']} is removed\n", "")
    assert entry["id"] not in said(capsys, "library")[1]
    status, _, err = said(capsys, "check", spec)
    assert (status, err.count("\n")) == (2, 1)
    assert "library" in err


def test_generate_writes_completions_and_prints_no_text_of_them(folder, model, capsys, tmp_path):
    spec = {
        "kind": "generate",
        "name": "what it says",
        "model": {"path": "./model"},
        "texts": ["the valley folk", "the council"],
        "sampling": {"samples": 3, "tokens": 6},
        "scorer": {"lexicon": {"bundled": "lexicon.txt"}},
        "device": "cpu",
    }
    (folder / "generate.yaml").write_text(yaml.safe_dump(spec))
    done = untrac("run", folder / "generate.yaml", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "6 completions of 2 prompts" in done.stdout
    assert "valley" not in done.stdout
    assert {"completions.parquet", "summary.json", "spec.yaml", "environment.json", "log.txt"} == {
        file.name for file in (tmp_path / "out").iterdir()
    }
    run_id = json.loads((tmp_path / "out" / "summary.json").read_text())["run"]
    assert "6 completions" in said(capsys, "show", run_id)[1]
    assert "what it says (generate)" in said(capsys, "show", run_id)[1]
    assert run_id in said(capsys, "runs")[1]


def test_a_side_that_is_none_is_named(traced, capsys):
    status, _, err = said(capsys, "show", json.loads(traced.stdout)["run"], "--side", "evil")
    assert status == 2
    assert "choose harmful" in err.lower() or "choose contrast" in err.lower()


def test_a_run_and_a_recipe_are_not_confused(folder, model, capsys):
    refused = said(capsys, "run", folder / "recipe.yaml", "--out", folder / "x")[2]
    assert "Use 'python -m untrac_core train'" in refused
    assert "kind: train" in said(capsys, "train", folder / "spec.yaml", "--out", folder / "x")[2]


def test_sharpening_asks_the_same_by_a_method_closer_to_retraining(traced, folder, capsys):
    run_id = json.loads(traced.stdout)["run"]
    done = untrac("sharpen", run_id, "--out", folder / "sharper", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["method"], summary["preset"]) == ("untrac", "robust")
    assert {row["subset"] for row in summary["ranking"]} == set(TEXTS)
    status, out, err = said(capsys, "sharpen", summary["run"], "--to", "untrac-inv")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "no rung 'untrac-inv' above 'untrac'" in err


def test_interrupting_cancels_the_run_which_can_be_resumed_and_cancelled_by_name(folder, model, capsys):
    running = subprocess.Popen(
        command("run", folder / "long.yaml", "--out", folder / "long"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        # Where these tests run in the background of a shell, they ignore an interrupt, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    run_id = running.stderr.readline().split()[1]
    while " of 300 cells" not in running.stderr.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, out) == (130, "")
    assert "was cancelled" in err
    run = Store().run(run_id)
    assert run.status == "cancelled"
    assert 0 < run.cells_done < 300
    assert list((folder / "long").iterdir()) == []

    resumed = subprocess.Popen(
        command("resume", run_id), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=PROJECT
    )
    while " cells:" not in resumed.stderr.readline():
        assert resumed.poll() is None
    status, out, _ = said(capsys, "cancel", run_id)
    assert (status, out) == (0, f"run {run_id} is cancelled\n")
    assert resumed.wait(PATIENCE) == 130
    resumed.stderr.close()
    assert run.cells_done < Store().run(run_id).cells_done < 300
    assert said(capsys, "show", run_id)[0] == 0
    assert said(capsys, "cancel", run_id)[1] == f"run {run_id} is cancelled\n"


def test_a_run_that_fails_has_status_1_and_one_reason(folder, model, capsys, monkeypatch):
    path = mended(folder, "other.yaml", lambda spec: spec.update(device="auto"))  # a queue that nobody serves
    run_id = Store().submit(load_spec(path))
    _, attempt = RunWriter().claim("auto")
    RunWriter().finish(run_id, attempt, "failed", "the job ended with signal 9")
    monkeypatch.setattr(Store, "resume", lambda self, run_id: None)
    status, out, err = said(capsys, "resume", run_id)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == f"run {run_id} failed: the job ended with signal 9"
