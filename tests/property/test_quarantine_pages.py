"""Pages of the quarantine against a slow reference that holds the whole topic."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from api.query.quarantine_log import Page, QuarantineLog
from tests.quarantine_double import MemoryLog, quarantine_record
from tests.records import HandmadeRecord

LIVE = 3
RECORDS = st.tuples(
    st.integers(1, 4),  # offsets ahead of the one before
    st.integers(-1, 5),  # milliseconds after it; clocks may step back
    st.sampled_from([None, 2, LIVE, LIVE]),
    st.sampled_from([None, None, None, b"no record of ours", b"[]"]),
)
PARTITIONS = st.lists(st.lists(RECORDS, max_size=60), min_size=1, max_size=4)


def laid_out(partitions: list[list[tuple[int, int, int | None, bytes | None]]]) -> MemoryLog:
    logs: dict[int, list[HandmadeRecord]] = {}
    for number, steps in enumerate(partitions):
        offset, timestamp = -1, 1_000
        logs[number] = []
        for ahead, later, version, value in steps:
            offset, timestamp = offset + ahead, timestamp + later
            logs[number].append(quarantine_record(offset, timestamp, version, value))
    ends = {n: records[-1].offset + 3 if records else 2 for n, records in logs.items()}
    return MemoryLog(logs, ends)


def expected(log: MemoryLog) -> list[bytes | None]:
    """Of the newest not taken yet, one of each partition, the one with the highest timestamp."""
    shown = {
        number: [
            record
            for record in reversed(records)
            if record.headers in ([], [("view_version", b"3")])
            and record.value is not None
            and record.value.startswith(b"{")
        ]
        for number, records in log._partitions.items()
    }
    rows = []
    while any(shown.values()):
        best = max((n for n in shown if shown[n]), key=lambda n: (shown[n][0].timestamp, -n))
        rows.append(shown[best].pop(0).value)
    return rows


@settings(max_examples=150, deadline=None)
@given(PARTITIONS, st.integers(0, 30), st.integers(0, 80))
def test_a_page_is_that_part_of_the_whole(
    partitions: list[list[tuple[int, int, int | None, bytes | None]]], offset: int, limit: int
) -> None:
    log = laid_out(partitions)
    quarantine = QuarantineLog({}, open_reader=log.open, window_offsets=1)

    async def page() -> Page:
        return await quarantine.newest(LIVE, offset, limit, 10**9)

    found = asyncio.run(page())
    whole = expected(log)
    assert found.records == whole[offset : offset + limit]
    assert found.matching <= len(whole)
    assert found.matching >= min(len(whole), offset + limit)
