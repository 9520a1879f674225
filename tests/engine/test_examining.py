"""An examination as a run of the queue: its job in this process, and what is kept of it."""

import os

import pytest

from untrac_core.engine.job import run_job
from untrac_core.engine.ledger import Ledger
from untrac_core.engine.tasks import MOMENTS
from untrac_core.errors import InputError
from untrac_core.examination import examine
from untrac_core.results import CHECKS, load_examination
from untrac_core.spec_files import build
from untrac_core.specs import ExamineSpec

OF = "aaaaaaaaaaaa"


def examination(request_of, ids=("smiths-3 @0",), of=OF):
    texts = [{"subset": "smiths", "id": name} for name in ids]
    trace = request_of({"samples": 10}, block=16).model_dump()
    values = {"trace": trace, "of": of, "prompt_set": "talk", "texts": texts, "controls": 2, "device": "cpu"}
    return build(ExamineSpec, values, where="test")


@pytest.fixture
def known(request_of):
    """The id of a text that is there: the error about one that is not says nothing of the others, so it is read."""
    from untrac_core.check import encode, load_records
    from untrac_core.data.tokens import read_tokenizer
    from untrac_core.model_files import fetch_tokenizer

    spec = request_of()
    packed = encode(read_tokenizer(fetch_tokenizer(spec.model)), *load_records(spec), 32, 16)[1]
    return packed["smiths"].blocks[4].id


def finish(ledger, run_id):
    claimed, attempt = ledger.claim("cpu")
    assert claimed == run_id
    ledger.attach(run_id, attempt, os.getpid())
    code = run_job(ledger, run_id, attempt)
    ledger.left(run_id, attempt)
    return code, ledger.store.run(run_id)


def test_a_job_finds_what_a_run_in_this_process_finds(home, store, request_of, known, tmp_path):
    spec = examination(request_of, [known])
    with pytest.raises(InputError, match="there is no text 'nobody'"):
        store.submit(examination(request_of, ["nobody"]))
    ledger = Ledger(home)
    code, run = finish(ledger, store.submit(spec))
    assert (code, run.status, run.cells_done, run.cells_total) == (0, "done", 3, 3)
    found = load_examination(run.folder)
    assert (found.spec, found.summary["run"], found.summary["of"]) == (spec, run.id, OF)
    assert list((home / MOMENTS).glob("*.safetensors"))
    alone = examine(spec, tmp_path / "alone", threads=1)
    assert (run.folder / CHECKS).read_bytes() == (alone.folder / CHECKS).read_bytes()
    written = {path: path.stat().st_mtime_ns for path in (home / "cells").iterdir()}
    _, again = finish(ledger, store.submit(spec))
    assert {path: path.stat().st_mtime_ns for path in (home / "cells").iterdir()} == written
    assert (again.folder / CHECKS).read_bytes() == (run.folder / CHECKS).read_bytes()
    other = store.submit(examination(request_of, [known], of=""))
    assert [one.id for one in store.runs(of=OF)] == [again.id, run.id]
    assert [one.id for one in store.runs(kind="examine")] == [other, again.id, run.id]
