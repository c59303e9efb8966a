"""X44: anything, one thing after the other; a short one of `make faults`."""

from __future__ import annotations

import pytest

from tests.fault.__main__ import main

KILLS = 6


@pytest.mark.timeout(300)
def test_x44_whatever_happens_no_total_is_wrong_and_no_reader_is_misled(seed: int) -> None:
    assert main(["--kills", str(KILLS), "--pipelines", "1", "--seed", str(seed)]) == 0
