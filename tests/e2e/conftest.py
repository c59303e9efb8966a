"""Fixtures of the e2e tier."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.broker.java import check_broker_parts
from tests.e2e.client_pages import LEFT_OUT
from tests.e2e.running_up import RunningUp, UpFactory


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out: it is neither passed nor skipped."""
    for name, why in LEFT_OUT.items():
        terminalreporter.write_line(f"left out: docs/clients/{name}.md, because {why}")


@pytest.fixture
def up_factory(tmp_path: Path) -> Iterator[UpFactory]:
    """`up_factory("--workers", "2")` starts `energy up` on this test's home."""
    check_broker_parts(print)
    started: list[RunningUp] = []

    def start(*arguments: str, **environ: str) -> RunningUp:
        started.append(RunningUp(tmp_path / "home", *arguments, **environ))
        return started[-1]

    yield start
    for up in started:
        up.kill()
