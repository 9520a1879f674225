"""A finished run as MLflow and W&B get it: flat parameters, numbers by name, files without texts."""

import json
from importlib.util import find_spec

import pytest

from untrac_core.errors import InputError
from untrac_core.paths import DEMO
from untrac_core.results.folders import load_trace
from untrac_core.results.tracking import LOGGED, TRACKERS, log_run, numbers, parameters

RUN = DEMO / "run"


@pytest.fixture(scope="module")
def spec():
    return load_trace(RUN).spec.model_dump(mode="json")


def test_a_request_becomes_flat_parameters_without_paths_of_its_data(spec):
    found = dict(parameters(spec))
    assert found["method.name"] == "untrac-inv"
    assert json.loads(found["seeds"]) == [0, 1, 2, 3, 4]
    assert json.loads(found["prompts"]) == ["toxicity", "bias", "truthfulness"]
    assert "jsonl" not in json.dumps(found)
    assert all(isinstance(value, str) and len(value) <= 500 for value in found.values())


def test_every_influence_is_a_number_with_its_interval():
    summary = json.loads((RUN / "summary.json").read_text())
    found = numbers(summary)
    first = next(row for row in summary["ranking"] if row["group"] is None)
    place = f"{first['prompt_set']}/{first['side']}/{first['subset']}"
    assert found[f"influence/{place}"] == first["influence"]
    assert found[f"low/{place}"] < found[f"influence/{place}"] < found[f"high/{place}"]
    assert found["seconds"] == summary["seconds"]


def test_names_that_no_tracker_takes_become_others_and_none_is_lost():
    rows = [
        {"prompt_set": "p", "side": "harmful", "subset": name, "group": None, "influence": value}
        for name, value in (("a<b>", 1.0), ("a?b?", 2.0), ("c/d", 3.0), ("none", float("nan")))
    ]
    assert numbers({"ranking": rows}) == {
        "influence/p/harmful/a_b_": 1.0,
        "influence/p/harmful/a_b_ 2": 2.0,
        "influence/p/harmful/c_d": 3.0,
    }


def test_of_a_validation_the_agreement_of_every_method_is_a_number():
    row = {"method": "bm25", "side": "all", "metric": "pearson", "value": 0.5}
    rows = [
        row | {"prompt_set": None},
        row | {"prompt_set": "p", "value": 0.1},
        row | {"prompt_set": None, "value": None},
    ]
    assert numbers({"leaderboard": rows}) == {"pearson/all/bm25": 0.5}


def test_no_file_that_is_logged_holds_texts():
    assert not {"examples.parquet", "tokens.parquet", "prompt_examples.parquet", "log.txt"} & set(LOGGED)


@pytest.mark.parametrize("to", TRACKERS)
def test_a_library_that_is_not_there_is_said_with_how_to_get_it(spec, to, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    if find_spec(to) is None:
        with pytest.raises(InputError, match=rf"is not installed\. Run 'pip install {TRACKERS[to]}'"):
            log_run(RUN, spec, to=to, name="mine", run_id="a" * 12)
        assert not list(tmp_path.iterdir())
        return
    assert "untrac" in log_run(RUN, spec, to=to, name="mine", run_id="a" * 12)
    assert any(tmp_path.iterdir())


def test_another_tracker_is_refused(spec):
    with pytest.raises(InputError, match="Choose mlflow, wandb"):
        log_run(RUN, spec, to="excel", name="mine", run_id="a" * 12)
