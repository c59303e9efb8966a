"""X44: anything, one thing after the other; a short one of `make faults`."""

from __future__ import annotations

import pytest

from tests.fault.__main__ import main

KILLS, RATE = 4, 300


@pytest.mark.timeout(300)
def test_x44_whatever_happens_no_total_is_wrong_and_no_reader_is_misled(seed: int) -> None:
    few = ["--kills", str(KILLS), "--pipelines", "1", "--rate", str(RATE)]
    assert main([*few, "--seed", str(seed)]) == 0
