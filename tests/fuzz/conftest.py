"""Fixtures of the fuzz tier: one server for all cases, so that what one breaks the next feels."""

from collections.abc import Iterator

import pytest

from tests.fuzz.running import RunningServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path_factory.mktemp("fuzz") / "home")
    try:
        yield running
    finally:
        running.stop()
