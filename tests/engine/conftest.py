"""Homes of their own for engine tests, and an end to every process that was started in one."""

import os

import psutil
import pytest
from homes import FAKE, members

from untrac_core.engine import Store, processes


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
            member.wait(5)
        except psutil.Error:
            continue
    processes._started.clear()


@pytest.fixture
def store(home):
    return Store(home)


@pytest.fixture
def unchecked(monkeypatch):
    """Runs are queued without looking at their data; jobs trace without a model."""
    import untrac_core.check
    from untrac_core.engine.processes import PROJECT

    class Free:
        disk_mb = 0.0

    monkeypatch.setattr(untrac_core.check, "check", lambda spec, **_: Free())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROJECT), str(FAKE)]))
