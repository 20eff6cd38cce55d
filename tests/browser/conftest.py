"""Fixtures: a headless Chromium, and the installed command with a status page to look at."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from proxy.demo.threaded import ThreadedDemoAPI
from tests.browser.watched import Watched

# Debian's Chromium will not sandbox for root, and a container has no other user.
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of the distribution."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=_ARGUMENTS
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A laptop's window; whatever the page complains of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on(
        "console",
        lambda said: complaints.append(said.text) if "Content Security" in said.text else None,
    )
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab."""
    return context.new_page()


@pytest.fixture
def api() -> Iterator[ThreadedDemoAPI]:
    """The embedded API."""
    with ThreadedDemoAPI() as api:
        yield api


@pytest.fixture
def watched(api: ThreadedDemoAPI, tmp_path: Path) -> Iterator[Watched]:
    """A proxy in front of it, ready."""
    with Watched(api.environment(), tmp_path) as watched:
        watched.process.wait_for("proxy.ready")
        yield watched
