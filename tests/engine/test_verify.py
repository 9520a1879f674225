"""An verification as a run of the queue: its job in this process, and what is kept of it."""

import os

import pytest

from untrac_core.engine.job import run_job
from untrac_core.engine.ledger import RunWriter
from untrac_core.errors import InputError
from untrac_core.results.folders import VERIFIED_EXAMPLES, load_verify
from untrac_core.specs import VerifySpec
from untrac_core.specs.build import build
from untrac_core.tasks.run import verify

pytestmark = pytest.mark.slow  # a run by a worker, and the same in this process

OF = "aaaaaaaaaaaa"


def verification(request_of, ids=("smiths-3 @0",), of=OF):
    texts = [{"subset": "smiths", "id": name} for name in ids]
    trace = request_of({"samples": 10}, block_size=16).model_dump()
    values = {"trace": trace, "of": of, "prompt_set": "talk", "texts": texts, "controls": 2, "device": "cpu"}
    return build(VerifySpec, values, where="test")


@pytest.fixture
def known(request_of):
    """The id of a text that is there: the error about one that is not says nothing of the others, so it is read."""
    from untrac_core.data.tokens import read_tokenizer
    from untrac_core.hub.locate import fetch_tokenizer
    from untrac_core.tasks.prepare import encode, load_records

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
    spec = verification(request_of, [known])
    with pytest.raises(InputError, match="there is no text 'nobody'"):
        store.submit(verification(request_of, ["nobody"]))
    ledger = RunWriter(home)
    code, run = finish(ledger, store.submit(spec))
    assert (code, run.status, run.cells_done, run.cells_total) == (0, "done", 3, 3)
    found = load_verify(run.folder)
    assert (found.spec, found.summary["run"], found.summary["of"]) == (spec, run.id, OF)
    assert list((home / "moments").glob("*.safetensors"))
    alone = verify(spec, tmp_path / "alone", threads=1)
    assert (run.folder / VERIFIED_EXAMPLES).read_bytes() == (alone.folder / VERIFIED_EXAMPLES).read_bytes()
    generations = {path: path.stat().st_mtime_ns for path in (home / "cells").iterdir()}
    _, again = finish(ledger, store.submit(spec))
    assert {path: path.stat().st_mtime_ns for path in (home / "cells").iterdir()} == generations
    assert (again.folder / VERIFIED_EXAMPLES).read_bytes() == (run.folder / VERIFIED_EXAMPLES).read_bytes()
    other = store.submit(verification(request_of, [known], of=""))
    assert [one.id for one in store.runs(of=OF)] == [again.id, run.id]
    assert [one.id for one in store.runs(kind="verify")] == [other, again.id, run.id]
