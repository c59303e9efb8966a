"""Fixtures of the e2e tier."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running_up import RunningUp, UpFactory
from tests.shared_broker import fetch_jars_once


@pytest.fixture
def up_factory(tmp_path: Path) -> Iterator[UpFactory]:
    """`up_factory("--workers", "2")` starts `energy up` on this test's home."""
    fetch_jars_once()
    started: list[RunningUp] = []

    def start(*arguments: str, **environ: str) -> RunningUp:
        started.append(RunningUp(tmp_path / "home", *arguments, **environ))
        return started[-1]

    yield start
    for up in started:
        up.kill()
