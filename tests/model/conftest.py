"""Fixtures of the model tier."""

import pytest

from tests.model.schedule import quiet


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet()
