"""The user's command for the end of a run: without a shell, with the run in its environment, for a limited time."""

import json
import sys
import time

import pytest

from tests.helpers.homes import trace_spec
from untrac_core.engine import processes
from untrac_core.engine.ledger import RunWriter
from untrac_core.engine.processes import NOTIFY, NOTIFY_FILE, notify, notify_command
from untrac_core.engine.worker import Worker

FACTS = {"UNTRAC_RUN_ID": "a" * 12, "UNTRAC_RUN_STATE": "done"}


@pytest.fixture
def python(home, monkeypatch):
    """Set the command to a piece of Python, by the file in the home."""
    monkeypatch.delenv(NOTIFY, raising=False)

    def put(code, *arguments):
        (home / NOTIFY_FILE).write_text(json.dumps([sys.executable, "-c", code, *arguments]))

    return put


def test_a_command_is_split_but_no_shell_reads_it(home, monkeypatch):
    monkeypatch.setenv(NOTIFY, "notify-send 'a run' $(touch gone) ; rm")
    assert notify_command(home) == ["notify-send", "a run", "$(touch", "gone)", ";", "rm"]


def test_without_a_command_nothing_is_started(home, monkeypatch):
    monkeypatch.delenv(NOTIFY, raising=False)
    assert notify(home, FACTS) is None


def test_the_end_of_a_run_is_told_once_it_is_there(unchecked, store, home, python, tmp_path):
    told = tmp_path / "told"
    python("import os, sys; open(sys.argv[1], 'w').write(os.environ['UNTRAC_RUN_ID'] + os.environ['UNTRAC_RUN_STATE'])",
           str(told))  # fmt: skip
    run_id = store.submit(trace_spec())
    worker = Worker("cpu", home)
    worker.ledger = RunWriter(home)
    worker.tell(run_id)
    _, attempt = worker.ledger.claim("cpu")
    worker.tell(run_id)
    assert not told.exists(), "it has not ended"
    worker.conclude(run_id, attempt, -9, None)  # the job is gone without a word
    deadline = time.monotonic() + 60
    while not (told.exists() and told.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert told.read_text() == f"{run_id}failed"


@pytest.mark.parametrize(
    ("code", "limit", "said"),
    [
        ("raise SystemExit(3)", 60.0, "ended with exit code 3"),
        ("import time; time.sleep(600)", 0.5, "took more than 0 seconds and was killed"),
    ],
)
def test_its_failure_is_only_logged(home, python, caplog, monkeypatch, code, limit, said):
    monkeypatch.setattr(processes, "NOTIFY_SECONDS", limit)
    python(code)
    thread = notify(home, FACTS)
    thread.join(60)
    assert not thread.is_alive()
    assert said in caplog.text


@pytest.mark.parametrize(
    ("text", "said"), [('"rm -r"', "is no list"), ("[", "cannot be read"), ('["/gone/x"]', "started")]
)
def test_a_command_that_is_none_is_only_logged(home, python, caplog, text, said):
    (home / NOTIFY_FILE).write_text(text)
    thread = notify(home, FACTS)
    if thread is not None:
        thread.join(60)
    assert said in caplog.text
