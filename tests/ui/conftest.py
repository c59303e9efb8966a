"""Fixtures of the ui tier: a server, a real Chromium, and a page that is watched all the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.chromium import chromium
from tests.ui.fleet import fleet
from tests.ui.running import RunningServer

SCREENSHOTS = Path(__file__).with_name("screenshots")
ANSWER_MS = 8_000
# How long is waited for what a test expects of a page: it runs beside others, on two cores.
expect.set_options(timeout=20_000)

Opener = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Shared: what a test writes to it must not disturb others."""
    running = RunningServer(tmp_path_factory.mktemp("ui") / "home", fleet())
    yield running
    running.stop()


@pytest.fixture(scope="session")
def written_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Shared by tests that write to it."""
    running = RunningServer(tmp_path_factory.mktemp("written") / "home", fleet())
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RunningServer]:
    """For a test that ends it."""
    running = RunningServer(tmp_path / "home", fleet())
    yield running
    running.stop()


class Watch:
    """What a page must not do: fail, break its policy, ask another host, tell the token."""

    def __init__(self, context: BrowserContext, token: str) -> None:
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.refusals_are_expected = False
        self._token = token
        self._hosts: set[str] = set()
        context.on("console", self._said)
        context.on("weberror", lambda error: self.faults.append(f"error: {error.error}"))
        context.on("request", lambda request: self._asks(request.url))

    def _said(self, message: ConsoleMessage) -> None:
        # The browser itself tells of each answer that is no 200, and of connections lost.
        if "Failed to load resource" in message.text or "net::ERR" in message.text:
            return
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _asks(self, url: str) -> None:
        self.asked.append(url)
        if not url.startswith(("http://127.0.0.1:", "data:")):
            self.faults.append(f"asked {url}")
        if self._token in url.partition("#")[0]:
            self.faults.append(f"the token is in {url}")


@pytest.fixture
def open_page(browser: Browser, server: RunningServer) -> Iterator[Opener]:
    """`open_page("#device=a", viewport={...})`: a page with the token, `of` a server."""
    opened: list[tuple[BrowserContext, Watch]] = []

    def open_page(
        fragment: str = "",
        *,
        of: RunningServer = server,
        token: str | None = None,
        path: str = "/ui/",
        **options: Any,
    ) -> Page:
        token = of.token if token is None else token
        options = {"timezone_id": "Europe/Berlin", "locale": "en-GB", **options}
        context = browser.new_context(**options)
        context.set_default_timeout(ANSWER_MS)
        watch = Watch(context, token or "no token")
        opened.append((context, watch))
        page = context.new_page()
        page.watch = watch  # type: ignore[attr-defined]
        shown = f"#token={token}" if token else fragment
        page.goto(of.url + path + shown)
        if token and fragment:
            page.goto(of.url + path + fragment)
        return page

    yield open_page
    for context, watch in opened:
        context.close()
        assert watch.faults == []


def keep_picture(page: Page, name: str) -> None:
    """Keep what the page looks like, for people."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
