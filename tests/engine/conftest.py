"""Homes of their own for engine tests, and an end to every process that was started in one."""

import os

import psutil
import pytest

from tests.helpers.homes import FAKE, PATIENCE, members
from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.engine import Store, processes
from untrac_core.engine.library.library import Library
from untrac_core.specs import Columns, PromptSet, Source, Subset


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data home; whatever works in it is ended afterwards, one pid at a time."""
    place = (tmp_path / "home").resolve()
    place.mkdir(mode=0o700)
    for name, value in {
        "UNTRAC_HOME": str(place),
        "UNTRAC_IDLE_SECONDS": "2",
        "UNTRAC_NICE": "0",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    yield place
    for member in members(place):
        try:
            member.kill()
            member.wait(PATIENCE)
        except psutil.Error:
            continue
    processes._started.clear()


@pytest.fixture
def store(home):
    return Store(home)


@pytest.fixture
def unchecked(monkeypatch):
    """Runs are queued without looking at their data; jobs trace without a model."""
    import untrac_core.tasks.trace.check
    from untrac_core.engine.processes import PROJECT
    from untrac_core.tasks.base import Check

    monkeypatch.setattr(untrac_core.tasks.trace.check, "check", lambda spec, **_: Check(disk_mb=0.0))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROJECT), str(FAKE)]))


@pytest.fixture
def library(home):
    return Library(home)


@pytest.fixture
def prompts(tmp_path):
    rows = [
        {"said": text, "asked": "They say:", "craft": f"g{number % 2}", "tone": tone}
        for tone, subset in (("bad", "smiths"), ("good", "weavers"))
        for number, text in enumerate(sentences(subset, 12, 1))
    ]
    write_jsonl(tmp_path / "talk.jsonl", rows)
    return PromptSet(
        name="talk",
        source=Source(file=str(tmp_path / "talk.jsonl")),
        columns=Columns(completion="said", prompt="asked", group="craft", label="tone"),
        harmful="bad",
        harmless="good",
        limit=5,
    )


@pytest.fixture
def subset(tmp_path):
    rows = [{"id": f"n{number}", "body": text} for number, text in enumerate(sentences("fishers", 30, 0))]
    write_jsonl(tmp_path / "fishers.jsonl", rows)
    return Subset(name="fishers", source=Source(file=str(tmp_path / "fishers.jsonl")), text="body", limit=7)


@pytest.fixture
def refused(home, capsys):
    """Assert that a request is refused in one line, by ``check`` and by ``run``, and that no run is made."""
    from untrac_core.cli.app import main

    def ask(path: str, said: str) -> None:
        for command in ("check", "run"):
            assert main([command, path]) == 2, command
            out, err = capsys.readouterr()
            assert out == ""
            lines = [line for line in err.splitlines() if line]
            assert said in lines[-1]
            assert "Traceback" not in err
        assert Store(home).runs() == []

    return ask
