"""The real thing, killed at random moments: a small model is traced, and its result must not show it."""

import json
import os
import random
import signal
import time

import pytest

from tests.helpers.homes import serving, until
from untrac_core.engine import Store, ensure_worker, submit
from untrac_core.specs import TraceSpec, TrainSpec

pytestmark = pytest.mark.slow  # jobs that are killed and go on

KILLS = 10
WORDS = ["river", "stone", "bread", "lamp", "winter", "garden", "letter", "horse", "window", "music", "paper", "silver"]


def write_texts(path, seed, favourite, count):
    draw = random.Random(seed)
    texts = [" ".join(draw.choices([*WORDS, *[favourite] * 6], k=24)) for _ in range(count)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """Two prompt sets with ten seeds: twenty cells of some tenths of a second, and as many token by token."""
    from untrac_core.training.recipe import train

    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("forum", "news", "books", "tales")):
        write_texts(folder / f"{name}.jsonl", number, WORDS[number], 60)
    for number, name in enumerate(("first", "second")):
        write_texts(folder / f"{name}.jsonl", 10 + number, WORDS[number], 20)
    subsets = [{"name": n, "source": {"file": str(folder / f"{n}.jsonl")}} for n in ("forum", "news", "books", "tales")]
    recipe = {
        "hidden_size": 32,
        "num_heads": 2,
        "num_layers": 1,
        "vocab_size": 300,
        "block_size": 32,
        "steps": 80,
        "subsets": subsets,
    }
    train(
        TrainSpec.model_validate(recipe | {"batch_size": 8, "warmup_steps": 10, "learning_rate": 0.005}),
        folder / "model",
    )
    return TraceSpec.model_validate(
        {
            "name": "to be killed",
            "model": {"path": str(folder / "model")},
            "prompts": [
                {"name": n, "source": {"file": str(folder / f"{n}.jsonl")}, "columns": {"completion": "text"}}
                for n in ("first", "second")
            ],
            "subsets": subsets,
            "method": {"name": "untrac-inv", "preset": "paper", "optimizer": "kronecker", "samples": 20},
            "seeds": list(range(10)),
            "baselines": [],
            "device": "cpu",
        }
    )


def finished_cells(home):
    """Every finished cell's file and the moment that it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (home / "cells").glob("*.parquet")}


def moments(store, run_id):
    """Seconds that an undisturbed run took to its first cell, and for a cell after it."""
    done = [event.time for event in store.events(run_id, limit=10_000) if event.kind == "cell"]
    return done[0] - store.run(run_id).started, (done[-1] - done[0]) / (len(done) - 1)


def kill_somewhere(store, run_id, draw, loading, cell):
    """Kill the job while it loads, or some cells later and in the middle of whatever it is doing then.

    On a machine that has become faster since the moments were taken, at the latest a cell or two later than meant, so
    that there are cells left for the kills to come.
    """
    until(lambda: ensure_worker("cpu", store.home) or serving(store.home, "engine.job"), every=0.1)
    goal = store.run(run_id).cells_done + (wanted := draw.choice([0, 1, 2]))
    until(lambda: store.run(run_id).cells_done >= goal, every=0.01)
    most = goal + (2 if wanted else 1)
    end = time.monotonic() + draw.uniform(0.0, 1.5 * cell if wanted else loading)
    until(lambda: time.monotonic() >= end or store.run(run_id).cells_done >= most, every=0.01)
    (job,) = serving(store.home, "engine.job")
    os.kill(job, signal.SIGKILL)


def test_ten_kills_at_random_moments_leave_no_trace_in_the_result(spec, home, tmp_path, monkeypatch):
    calm = Store(tmp_path / "calm")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("UNTRAC_HOME", str(calm.home))
        undisturbed = submit(spec, calm)
        until(lambda: calm.run(undisturbed).settled)
    assert calm.run(undisturbed).error is None
    loading, cell = moments(calm, undisturbed)

    store = Store(home)
    run_id = submit(spec, store)
    draw, seen, done = random.Random(20), {}, []
    for kill in range(KILLS):
        kill_somewhere(store, run_id, draw, loading, cell)
        until(lambda: store.run(run_id).settled)
        run, now = store.run(run_id), finished_cells(home)
        assert run.error.startswith("the job ended with signal 9"), run.error
        assert seen.items() <= now.items(), f"a finished cell was computed again after kill {kill}"
        seen = now
        done.append(run.cells_done)
        store.resume(run_id)
    until(lambda: ensure_worker("cpu", home) or store.run(run_id).settled, every=0.2)
    run = store.run(run_id)
    assert (run.status, run.attempt) == ("done", KILLS + 1)
    assert seen.items() <= finished_cells(home).items()

    expected = calm.run(undisturbed).folder
    for name in ("influence.parquet", "examples.parquet", "tokens.parquet", "text_features.parquet", "spec.yaml"):
        assert (run.folder / name).read_bytes() == (expected / name).read_bytes(), name
    cells = [event.data for event in store.events(run_id, limit=10_000) if event.kind == "cell"]
    assert len({event["key"] for event in cells}) == len(cells) == run.cells_total
    assert len(set(done)) > 3, "the kills fell into different cells"
    print(f"finished cells at each kill: {done} of {run.cells_total}; {loading:.1f} s to load, {cell:.2f} s a cell")
