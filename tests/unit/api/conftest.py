"""What most tests of the API begin with; a module may have its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api_doubles import Caller, ScriptedPublisher, caller_for


@pytest.fixture
def publisher() -> ScriptedPublisher:
    return ScriptedPublisher()


@pytest.fixture
def caller(tmp_path: Path, publisher: ScriptedPublisher) -> Caller:
    """A server that has no view yet."""
    return caller_for(tmp_path, None, publisher)
