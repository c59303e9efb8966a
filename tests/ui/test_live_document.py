"""The programs of docs/LIVE.md as they are printed there, against a server that is cut off once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.kafka import wait_until
from tests.printing_process import PrintingProcess
from tests.ui.fleet import reading
from tests.ui.running import RunningServer

DOCUMENT = Path(__file__).parents[2] / "docs" / "LIVE.md"
AT = "2025-10-26 10:00:00"
#: What the fleet has of device_1, and with one reading more.
BEFORE, AFTER = "16.8", "17.3"


def block(language: str, server: RunningServer) -> str:
    """The last block of this language, for this server."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found: str = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[-1]
    return found.replace("http://127.0.0.1:8000", server.url)


class Program(PrintingProcess):
    """A process, judged by what it prints."""

    def __init__(self, command: list[str], directory: Path, token: str) -> None:
        super().__init__(command, cwd=directory, env=os.environ | {"TOKEN": token})

    def wait_line(self, *parts: str) -> None:
        def is_there() -> bool:
            return any(all(part in line for part in parts) for line in list(self.lines))

        try:
            wait_until(is_there, f"a line with {parts}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.lines[-5:]}") from None


@pytest.fixture
def run(tmp_path: Path, own_server: RunningServer) -> Iterator[Callable[[list[str]], Program]]:
    """`run(command)`: a program in a directory where `energy up` would have its home."""
    home = tmp_path / ".energy"
    home.mkdir()
    (home / "admin_token").write_text(own_server.token)
    running: list[Program] = []

    def run(command: list[str]) -> Program:
        running.append(Program(command, tmp_path, own_server.token))
        return running[-1]

    yield run
    for each in running:
        each.release()


def test_the_python_program_shows_changes_and_comes_back(
    own_server: RunningServer, run: Callable[[list[str]], Program]
) -> None:
    given = 'import os\ntoken = os.environ["TOKEN"]\n'
    program = run([sys.executable, "-u", "-c", given + block("python", own_server)])
    program.wait_line("snapshot", "'device_1'", BEFORE)
    own_server.post(reading("device_1", "0.5", AT))
    program.wait_line("change", "'device_1'", AFTER)
    own_server.kill()
    program.wait_line("connecting again:")
    seen = len(program.lines)
    own_server.start()
    wait_until(
        lambda: any("snapshot" in line and BEFORE in line for line in program.lines[seen:]),
        "it has a snapshot again",
    )


def test_the_line_for_curl_shows_events(
    own_server: RunningServer, run: Callable[[list[str]], Program]
) -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("## curl")[2]
    (line,) = re.findall(r"^curl -N .*?(?=^```)", text, re.MULTILINE | re.DOTALL)
    line = line.replace("http://127.0.0.1:8000", own_server.url)
    program = run(["/bin/sh", "-c", f"exec {line}"])
    program.wait_line("retry: ")
    program.wait_line("event: snapshot")
    program.wait_line("data: ", '"device_1"', f'"{BEFORE}"')
    own_server.post(reading("device_1", "0.5", AT))
    program.wait_line("data: ", '"device_1"', f'"{AFTER}"')


def test_the_javascript_shows_changes_in_a_browser_and_comes_back(
    browser: Browser, own_server: RunningServer
) -> None:
    page = browser.new_page()
    try:
        page.goto(f"{own_server.url}/ui/")
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        given = f"const token = {own_server.token!r};\n"
        page.evaluate(f"() => {{ {given}{block('javascript', own_server)} }}")

        def wait_said(text: str, since: int = 0) -> None:
            def is_said() -> bool:
                page.wait_for_timeout(20)
                return any(text in line for line in said[since:])

            wait_until(is_said, f"{text!r} is said, not {said[-5:]}")

        wait_said("fresh to")
        own_server.post(reading("winner", "1000000.5", AT))
        wait_said("[winner 1000000.5")
        seen = len(said)
        # As a server that has just started, after which EventSource gives up.
        page.route("**/stream?*", lambda route: route.fulfill(status=503))
        own_server.kill()
        wait_said("refused: the view loads", since=seen)
        own_server.start()
        page.unroute("**/stream?*")
        # What was written is gone with the server: the snapshot has replaced it.
        wait_said("[meter 1000", since=seen)
    finally:
        page.close()
