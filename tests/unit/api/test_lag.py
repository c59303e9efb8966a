"""The lag that answers tell: never one of an old answer, and no alarm for a short silence."""

from __future__ import annotations

import pytest

from api.view.end_offsets import LagWatch
from tests.clock import Clock


@pytest.mark.parametrize(
    ("age_seconds", "lag_records", "is_silent"),
    [(0.0, 6, False), (1.0, 6, False), (1.1, None, False), (3.0, None, False), (3.1, None, True)],
)
def test_x36_a_lag_is_told_for_a_second_and_kafka_missed_after_three(
    age_seconds: float, lag_records: int | None, is_silent: bool
) -> None:
    clock = Clock()
    lag = LagWatch({}, clock=clock)
    lag.saw({0: 10, 1: 3})
    clock.now += age_seconds
    assert lag.lag_records([6, -1]) == lag_records
    assert lag.is_silent is is_silent


def test_x36_kafka_that_has_never_answered_is_silent() -> None:
    lag = LagWatch({})
    assert lag.is_silent
    assert lag.lag_records([0]) is None
