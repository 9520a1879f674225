"""The real server and a real browser, in a home of their own; nothing may leave this machine."""

import os
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.helpers.homes import PATIENCE
from tests.helpers.servers import Server
from tests.helpers.windows import still

expect.set_options(timeout=1000 * PATIENCE)
CHROMIUM = os.environ.get("UNTRAC_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running dashboard; its log must hold no traceback at the end."""
    running = Server(tmp_path_factory.mktemp("browser").resolve() / "home")
    running.home.mkdir()
    try:
        running.start()
        yield running
        assert "Traceback" not in running.log(), running.log()
    finally:
        running.end_all()


@pytest.fixture(scope="module")
def browser():
    """Chromium; a machine without it fails these tests."""
    assert Path(CHROMIUM).exists(), f"no Chromium at {CHROMIUM}: install it, or name it in UNTRAC_CHROMIUM"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def window(browser, server):
    """Open a page of the given look; at the end no request may have left 127.0.0.1, and no page may show a fault."""
    contexts, strays = [], []

    def note(request):
        parts = urlparse(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            strays.append(request.url)

    def open_window(look: str = "light", width: int = 1280, height: int = 1400) -> Page:
        context = browser.new_context(
            color_scheme=look, viewport={"width": width, "height": height}, accept_downloads=True
        )
        context.on("request", note)
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        return context.new_page()

    yield open_window
    faults = [page.url for context in contexts for page in context.pages if page.get_by_test_id("stException").count()]
    for context in contexts:
        context.close()
    assert not strays, strays
    assert not faults, faults


@pytest.fixture
def shot():
    """Wait until a page stands still, and keep a picture of it where ``UNTRAC_SCREENSHOTS`` names a folder for them."""
    folder = os.environ.get("UNTRAC_SCREENSHOTS")

    def take(page: Page, name: str) -> None:
        still(page)
        if folder:
            page.wait_for_timeout(400)  # animations end
            page.screenshot(path=Path(folder) / f"{name}.png")

    return take
