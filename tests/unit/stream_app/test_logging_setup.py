"""The filters of both logs keep little, whatever libraries say, and let little through."""

from __future__ import annotations

import logging

import pytest

import api.logging_setup
import stream_app.process.logging_setup


def line(number: int) -> logging.LogRecord:
    """As asyncio words it: an address in each, from one statement."""
    return logging.LogRecord(
        "asyncio", logging.ERROR, "base_events.py", 1, f"at 0x{number}", (), None
    )


@pytest.mark.parametrize(
    "moderation",
    [
        api.logging_setup.Moderation(with_tracebacks=False),
        stream_app.process.logging_setup.RateLimit(),
    ],
)
def test_b17_differently_worded_lines_are_not_all_remembered(
    moderation: api.logging_setup.Moderation | stream_app.process.logging_setup.RateLimit,
) -> None:
    for number in range(5_000):
        moderation.filter(line(number))
    assert len(moderation._seen) <= 1_000


def test_b17_a_flood_of_differently_worded_lines_is_moderated() -> None:
    moderation = api.logging_setup.Moderation(with_tracebacks=False)
    written = sum(moderation.filter(line(number)) for number in range(1_000))
    assert written == api.logging_setup.LINES
