"""What the tests of the command line share."""

import os

import psutil
import pytest

from tests.helpers.homes import PATIENCE


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One data home for all of these tests; whatever works in it is ended, one pid at a time."""
    place = (tmp_path_factory.mktemp("cli-home") / "home").resolve()
    patch = pytest.MonkeyPatch()
    for name, value in {
        "UNTRAC_HOME": str(place),
        "UNTRAC_IDLE_SECONDS": "3",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }.items():
        patch.setenv(name, value)
    yield place
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("UNTRAC_HOME") == str(place):
                process.kill()
                process.wait(PATIENCE)
        except psutil.Error:
            continue
    patch.undo()
