"""Generate runs through real workers: they end, lose no batch to a kill, and what they wrote can be asked about."""

import json
import os
import signal

import pytest

from tests.helpers.homes import serving, until
from tests.helpers.worlds import WORDS, write_jsonl
from untrac_core.data.prompts import load_prompts
from untrac_core.engine import Library, Store, ensure_worker, submit
from untrac_core.engine.ledger import RunWriter
from untrac_core.errors import InputError
from untrac_core.models.scoring import LEXICON
from untrac_core.results.folders import read_frame
from untrac_core.specs import GenerateSpec, ModelRef, Sampling, Scorer, Source

pytestmark = pytest.mark.slow  # jobs that are killed and go on


def openings(path):
    """Beginnings of sentences, for the model to go on from."""
    words = [word for subset in WORDS.values() for word in subset]
    return write_jsonl(path, [{"prompt": f"The {word} and", "group": f"g{i % 2}"} for i, word in enumerate(words)])


def spec_of(world, samples=8, **more):
    values = {
        "name": "tales of nets",
        "model": ModelRef(path=str(world / "model")),
        "source": Source(file=str(openings(world / "openings.jsonl"))),
        "limit": 20,
        "sampling": Sampling(samples=samples, tokens=8),
        "scorer": Scorer(lexicon=LEXICON),
        "device": "cpu",
    }
    return GenerateSpec(**(values | more))


def ended(run_id):
    store = Store()
    until(lambda: store.run(run_id).settled)
    return store.run(run_id)


def test_a_run_that_was_killed_twice_writes_what_it_would_have_written(home, world, tmp_path):
    store = Store()
    run_id = submit(spec_of(world, 24))
    until(lambda: store.run(run_id).cells_done >= 2)
    os.kill(serving(home, "engine.job")[0], signal.SIGKILL)
    run = ended(run_id)
    assert run.status == "failed"
    assert "signal 9" in run.error
    done = run.cells_done
    assert 2 <= done < run.cells_total == 30
    store.resume(run_id)
    ensure_worker("cpu")
    until(lambda: store.run(run_id).cells_done >= done + 2)
    worker = serving(home, "engine.worker")[0]
    os.kill(worker, signal.SIGKILL)
    until(lambda: not serving(home, "engine.job"))
    ensure_worker("cpu")
    run = ended(run_id)
    assert run.status == "done", run.error
    cells = [event for event in store.events(run_id) if event.kind == "cell"]
    assert len(cells) == 30
    # Each batch was written once; a kill may fall between a batch's file and the note of it.
    assert sum(event.data["source"] == "reused" for event in cells) <= 2

    from untrac_core.tasks.generate import GenerateTask

    alone = GenerateTask(run.spec)
    alone.write(tmp_path / "alone", [alone.run_cell(cell) for cell in alone.cells], 0.0, 0.0)
    assert (tmp_path / "alone" / "completions.parquet").read_bytes() == (
        run.folder / "completions.parquet"
    ).read_bytes()
    assert not list(run.folder.glob(".*.part"))


@pytest.fixture
def generations(home, world):
    """A finished run, in this process."""
    from untrac_core.engine.job import run_job

    ledger = RunWriter()

    def write(**more):
        run_id = ledger.store.submit(spec_of(world, **more))
        claimed, attempt = ledger.claim("cpu")
        assert claimed == run_id
        ledger.attach(run_id, attempt, os.getpid())
        assert run_job(ledger, run_id, attempt) == 0
        ledger.left(run_id, attempt)
        return ledger.store.run(run_id)

    return write


@pytest.fixture
def hostile(tmp_path):
    """A list that calls some of the small model's words hostile."""
    (tmp_path / "list.txt").write_text("anvil\nhammer\nnet\nloom\nwool\nboat\n")
    return Scorer(lexicon=Source(file=str(tmp_path / "list.txt")))


def test_what_was_scored_toxic_becomes_a_prompt_set_that_outlives_the_run(generations, hostile):
    run = generations(scorer=hostile)
    table = read_frame(run.folder / "completions.parquet")
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["labels"] == table["label"].value_counts().to_dict()
    assert set(table["group"]) == {"g0", "g1"}
    library = Library()
    entry = library.add_completions(run)
    used = table[table["completion"].str.strip() != ""]
    counted = used["label"].value_counts()
    assert entry.facts["items"] == {"harmful": counted["toxic"], "harmless": counted["benign"]}
    assert (entry.value.harmful, entry.value.harmless, entry.name) == ("toxic", "benign", "tales of nets")
    assert entry.origin == f"written by the model in run {run.id}"
    assert library.add_completions(run, "again").id == entry.id
    Store().delete(run.id)
    items = load_prompts(entry.value).sides["harmful"]
    assert {(item.prompt, item.completion) for item in items} == {
        (row.prompt, row.completion) for row in used.itertuples() if row.label == "toxic"
    }


def test_without_a_scorer_all_that_was_written_is_one_side(generations):
    entry = Library().add_completions(generations(scorer=None))
    assert list(entry.facts["items"]) == ["harmful"]
    assert entry.value.harmful is None


def test_what_cannot_become_a_prompt_set_says_why(generations, home, world, tmp_path):
    library = Library()
    (tmp_path / "nothing.txt").write_text("zeppelin\n")
    run = generations(scorer=Scorer(lexicon=Source(file=str(tmp_path / "nothing.txt"))))
    with pytest.raises(InputError, match="no completion was scored harmful"):
        library.add_completions(run)
    waiting = Store().run(Store().submit(spec_of(world)))
    with pytest.raises(InputError, match="no finished run of kind generate"):
        library.add_completions(waiting)
    (run.folder / "completions.parquet").write_bytes(b"not a table")
    with pytest.raises(InputError, match="completions cannot be read"):
        library.add_completions(run)
    assert [entry for entry in library.entries("prompts") if not entry.builtin] == []


def test_a_request_that_cannot_run_makes_no_run(home, world):
    with pytest.raises(InputError, match="leaves no room"):
        Store().submit(spec_of(world, sampling=Sampling(tokens=400)))
    with pytest.raises(InputError, match="has no column"):
        Store().submit(spec_of(world, column="nothing"))
    assert Store().runs() == []
