"""Fixtures of the fuzz tier: one server for all cases, so that what one breaks the next feels."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.running import RunningServer, ServerFactory


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    # Idle connections are closed within the time that slow clients have.
    home = tmp_path_factory.mktemp("fuzz") / "home"
    running = RunningServer(home, API_KEEP_ALIVE_SECONDS="10")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def server_factory(tmp_path: Path) -> Iterator[ServerFactory]:
    """`server_factory(API_MAX_CONNECTIONS="50")`: a server with settings of its own."""
    started: list[RunningServer] = []

    def start(**environ: str) -> RunningServer:
        started.append(RunningServer(tmp_path / f"home{len(started)}", **environ))
        return started[-1]

    yield start
    for server in started:
        server.stop()
