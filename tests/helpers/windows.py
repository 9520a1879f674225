"""Waiting for a page in Chromium."""

from contextlib import suppress

from playwright.sync_api import Page, TimeoutError

MOVING = "[data-testid=stSkeleton], .stApp:not([data-test-script-state=notRunning])"
"""What a page has whose script runs, or whose parts are still drawn."""


def still(page: Page) -> None:
    """Wait until a page stands still; one that shows a run never does for long, so at most five seconds."""
    with suppress(TimeoutError):
        page.wait_for_function(f"!document.querySelector('{MOVING}')", timeout=5_000)
    page.evaluate("new Promise(done => requestIdleCallback(done, { timeout: 2000 }))")
