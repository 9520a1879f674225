"""Pages in a home of their own, without workers."""

import functools

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

import untrac_core.engine as engine
from tests.helpers.homes import PATIENCE
from tests.helpers.making import ROOT, make_hostile_run, sound
from untrac_core.engine import Store


@pytest.fixture(scope="session", autouse=True)
def _packages_looked_through_once():
    """What Streamlit does once a server, a test's page does each time: it takes several times as long as the page."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", once)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A data home for each test; nothing is started in it."""
    place = (tmp_path / "home").resolve()
    monkeypatch.setenv("UNTRAC_HOME", str(place))
    monkeypatch.setenv("UNTRAC_ROOTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("UNTRAC_NICE", "0")  # a job that a test does in this process must not slow down those after it
    monkeypatch.setattr(engine, "ensure_worker", lambda device, home=None: None)
    return place


@pytest.fixture
def store(home):
    """The store that the pages of a test see."""
    return Store(home)


@pytest.fixture
def page():
    """Open a page by its file with query parameters; fails if it shows a traceback."""

    def open_page(file: str = "app.py", **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE)
        if file != "app.py":
            at.switch_page(file)
        for key, value in query.items():
            at.query_params[key] = value
        return sound(at.run())

    return open_page


@pytest.fixture
def hostile_run(store, tmp_path):
    """The id of a finished run whose every name and text is an attempt to become markup."""
    return make_hostile_run(store, tmp_path / "data")
