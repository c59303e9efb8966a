"""What a long command says on the way, when it is not on a terminal."""

import logging

import pytest

from cli.sparse_log import SparseHandler
from operations.progress import Lines
from tests.clock import Clock


def test_a_line_has_done_total_rate_and_time_left() -> None:
    clock = Clock()
    lines = Lines("readings", clock)
    assert lines.line(10, 10_000) is None
    clock.now += 5
    assert lines.line(2_000, 10_000) == "2,000 of 10,000 readings, 400/s, 20 s left"
    assert lines.line(2_001, 10_000) is None
    clock.now += 5
    assert lines.line(2_000, 10_000) == "2,000 of 10,000 readings, 0/s, 40 s left"


def test_work_without_an_end_says_little() -> None:
    clock = Clock()
    lines = Lines("readings", clock)
    clock.now += 59
    assert lines.line(5_900, None) is None
    clock.now += 1
    assert lines.line(6_000, None) == "6,000 readings, 100/s"


def test_nothing_done_yet_is_no_division_by_zero() -> None:
    clock = Clock()
    lines = Lines("readings", clock)
    clock.now += 5
    assert lines.line(0, 10) == "0 of 10 readings, 0/s, not moving"


def test_a_flood_of_warnings_becomes_one_line_in_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    handler = SparseHandler(clock)

    def warn() -> None:
        handler.handle(logging.makeLogRecord({"msg": "no\nbroker", "levelno": logging.WARNING}))

    warn()
    clock.now += 15
    for _ in range(100):
        warn()
    clock.now += 10
    warn()
    assert capsys.readouterr().err.splitlines() == [
        "no broker (and 1 lines like it before)",
        "no broker (and 99 lines like it before)",
    ]
