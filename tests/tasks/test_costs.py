"""What is said of a run's memory and time beforehand, against what runs take."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.families import make_model, request
from untrac_core.attribution.settings import ascent_settings
from untrac_core.hub.locate import inspect_model
from untrac_core.models.devices import DeviceInfo
from untrac_core.specs import method_spec
from untrac_core.specs.files import to_yaml
from untrac_core.tasks.costs import choose_dtype, cost_of, needs
from untrac_core.tasks.trace.check import check
from untrac_core.tasks.trace.task import TraceTask
from untrac_core.tasks.workload import reference_workload

CPU = DeviceInfo("cpu", "CPU", 16_000)
MEASURE = """
import sys
from pathlib import Path
from untrac_core.models.devices import peak_memory_mb
from untrac_core.specs.files import load_spec
from untrac_core.tasks.trace.task import TraceTask
tracer = TraceTask(load_spec(Path(sys.argv[1])), threads=1)
tracer.run_cell(tracer.cells[0])
print(peak_memory_mb())
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A model of 8 million parameters, so that its own memory can be told from the libraries'."""
    sizes = {
        "hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 1024, "vocab_size": 8000,
        "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 512,
    }  # fmt: skip
    return make_model(tmp_path_factory.mktemp("costs") / "llama", "llama", **sizes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        {"samples": 3},
        {"name": "untrac", "samples": 3, "steps": 1},
        {"preset": "paper", "steps": 1},
        {"samples": 3, "trainable": "last_layers"},
    ],
    ids=["products", "kronecker", "adam", "last_layers"],
)
def test_memory_is_what_a_run_takes(home, tmp_path, method):
    spec = request(home, tmp_path, {"name": "untrac-inv"} | method)
    (tmp_path / "spec.yaml").write_text(to_yaml(spec), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "spec.yaml")], capture_output=True, text=True, check=True
    )
    peak = float(done.stdout.split()[-1])
    assert 0.75 < check(spec).memory_mb / peak < 1.6


def facts_of(home, **more):
    return replace(inspect_model(home, "m"), **more)


def test_matrices_are_counted_from_the_headers(home):
    facts = facts_of(home)
    assert sum(rows * columns * count for rows, columns, count in facts.matrices) == pytest.approx(
        facts.parameters, rel=0.01
    )
    assert (1024, 256, 8) in facts.matrices


@pytest.mark.parametrize("name", ["untrac", "untrac-inv"])
def test_what_moves_less_needs_less(home, name):
    facts = facts_of(home)
    found = {
        trainable: needs(facts, method_spec(name, preset="paper", trainable=trainable), "float32", CPU)
        for trainable in ("all", "matrices", "last_layers", "lora")
    }
    assert found["all"].memory_mb >= found["matrices"].memory_mb > found["last_layers"].memory_mb
    assert found["all"].memory_mb > found["lora"].memory_mb
    assert found["all"].seconds >= found["matrices"].seconds > found["last_layers"].seconds
    assert found["all"].seconds > found["lora"].seconds


def test_it_says_whether_it_fits_and_auto_steps_down(home):
    large = facts_of(home, parameters=2 * 10**9, hidden_size=2048, num_layers=24, matrices=((2048, 2048, 480),))
    method = method_spec(preset="paper", trainable="lora")
    small = needs(facts_of(home), method_spec(), "auto", CPU)
    assert (small.fits, small.dtype, small.device) == (True, "float32", "cpu")
    assert not needs(large, method_spec(), "float32", CPU).fits
    floats, halves = (needs(large, method, dtype, CPU) for dtype in ("float32", "bfloat16"))
    assert halves.memory_mb < 0.7 * floats.memory_mb
    between = DeviceInfo("cuda:0", "x", (floats.memory_mb + halves.memory_mb) / 2)
    found = needs(large, method, "auto", between)
    assert (found.dtype, found.fits) == ("bfloat16", True)
    settings = ascent_settings(method)
    assert choose_dtype("auto", large, settings, 512, between) == "bfloat16"
    assert choose_dtype("float16", large, settings, 512, CPU) == "float16"


def test_the_reference_request_and_a_measured_rate(home):
    work = reference_workload("untrac", 128)
    assert (len(work.unlearned_sets), work.unlearned_sets[0].rows, work.eval_sets.rows) == (8, 192, 3 * 2 * 256)
    facts = facts_of(home)
    slow, fast = (needs(facts, method_spec(), "float32", CPU, rates={"cpu": rate}) for rate in (1e9, 1e11))
    assert slow.flop == fast.flop
    assert slow.seconds > 50 * fast.seconds


def test_a_check_warns_where_the_device_is_too_small(home, tmp_path, monkeypatch):
    spec = request(home, tmp_path, {"samples": 3})
    assert not [warning for warning in check(spec).warnings if "GB of memory" in warning]
    monkeypatch.setattr("untrac_core.tasks.trace.check.device_info", lambda name: DeviceInfo("cpu", "CPU", 600))
    (warning,) = [warning for warning in check(spec).warnings if "GB of memory" in warning]
    assert "let fewer parameters move" in warning


def test_a_finished_run_asks_no_device_for_its_operations(tmp_path, monkeypatch):
    folder = make_model(tmp_path / "llama", "llama")
    tracer = TraceTask(request(folder, tmp_path, {"preset": "paper", "steps": 1}, dtype="float32"), threads=1)
    frames, study = [tracer.run_cell(cell) for cell in tracer.cells], tracer.study
    told = cost_of(tracer.spec, ascent_settings(tracer.spec.method), study.model.facts, study.prompts, study.subsets)

    def refuse(name):
        raise TimeoutError(name)

    for module in ("costs", "trace.context"):
        monkeypatch.setattr(f"untrac_core.tasks.{module}.device_info", refuse)
    assert tracer.write(tmp_path / "out", frames, 1.0, 1.0)["flop"] == told.flop > 0


def test_facts_of_a_model_go_through_json(home):
    facts = facts_of(home)
    again = replace(facts, matrices=json.loads(json.dumps(facts.matrices)))
    assert needs(again, method_spec(), "auto", CPU) == needs(facts, method_spec(), "auto", CPU)
