"""
Takes the pictures in ``docs/``: ``python -m tests.browser.screenshots``.

A proxy in front of the embedded API serves for some minutes, so that there is something to see; the
embedded API is then broken in each of the ways that a picture shows.
"""

import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from proxy.demo.threaded import ThreadedDemoAPI
from tests.browser.watched import Watched

_DOCS = Path(__file__).parent.parent.parent / "docs"
_SERVE_SECONDS = 200.0
_PATHS = (
    *("/transactions",) * 6,
    "/transactions?page=2",
    "/transactions?cursor=abc",
    "/slow?seconds=0.08",
    "/download?bytes=200000",
    "/status/404",
)


def main() -> int:
    """Take them all; return the exit code."""
    _DOCS.mkdir(exist_ok=True)
    with (
        ThreadedDemoAPI(client_id="acme-billing") as api,
        tempfile.TemporaryDirectory() as directory,
        Watched(api.environment(), Path(directory)) as watched,
        sync_playwright() as playwright,
    ):
        watched.process.wait_for("proxy.ready")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        with _traffic(watched):
            time.sleep(_SERVE_SECONDS)
            _take(browser, watched, "ready", "light")
            _take(browser, watched, "ready-dark", "dark")
            api.fault("down", what="api", seconds=12)
            time.sleep(6)
            _take(browser, watched, "upstream-fails", "light")
            time.sleep(8)
            api.fault("rate-limit", retry_after=40)
            api.fault("revoke")
            time.sleep(6)
            _take(browser, watched, "issuer-rate-limited", "dark")
        browser.close()
    return 0


def _take(browser: Browser, watched: Watched, name: str, scheme: Literal["light", "dark"]) -> None:
    with browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme=scheme
    ) as context:
        page = context.new_page()
        page.goto(watched.page_with_token)
        page.wait_for_timeout(1500)
        page.screenshot(path=_DOCS / f"status-{name}.png")
    sys.stdout.write(f"docs/status-{name}.png\n")


@contextmanager
def _traffic(watched: Watched) -> Iterator[None]:
    """Send requests all the while, now more and now fewer."""
    ended = threading.Event()

    def send() -> None:
        pause = 0.1
        while not ended.wait(random.uniform(0, pause)):
            pause = min(0.4, max(0.02, pause * random.uniform(0.8, 1.25)))
            try:
                watched.get(random.choice(_PATHS))
            except OSError:
                continue

    senders = [threading.Thread(target=send) for _ in range(3)]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        ended.set()
        for sender in senders:
            sender.join()


if __name__ == "__main__":
    sys.exit(main())
