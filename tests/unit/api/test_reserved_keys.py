"""C12: every reader of a changelog passes over the reserved keys of a later build."""

import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.view.device_totals import total_of
from contract.changelog import MARKER_KEY, Marker, encode_marker
from contract.device_totals import DEVICE_TOTALS
from operations.changelog.part import ChangelogPart
from stream_app.changelog.store_records import store_records
from stream_app.store.database import open_database
from stream_app.store.rocksdb_store import PartitionStore
from tests.api_doubles import changelog_chunk, transaction
from tests.totals_double import running_view

VALUES = pytest.mark.parametrize("value", [b"1 1 5", b"2 1 5 x", b'{"v":1}', b"", b"\xff", None])
LATER = b"\x00later"


@VALUES
async def test_c12_the_api_passes_over_them(value: bytes | None) -> None:
    view = await running_view()
    for turn in (1, 2):
        odd = (LATER, value)
        records = [odd, *transaction({"a": (turn, turn), "b": (1, 1)}, turn), odd]
        await view.apply(changelog_chunk(records, start=turn * 10))
        assert view.total("a")[0] == total_of(b"a", [b"1 %d %d" % (turn, turn)])
        with view.snapshot() as totals:
            assert [device for device, _ in totals.by_device()] == [b"a", b"b"]
        assert view.applied_offsets() == [turn]


@VALUES
def test_c12_a_recovery_passes_over_them(tmp_path: Path, value: bytes | None) -> None:
    database = open_database(
        tmp_path / "0.db", block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20
    )
    store = PartitionStore(database, tmp_path / "0.db")
    pairs = [
        (LATER, value),
        (b"a", b"1 1 5"),
        (MARKER_KEY, encode_marker(Marker(7, counted=1))),
        (LATER, value),
    ]
    records: Any = [SimpleNamespace(offset=n, key=k, value=v) for n, (k, v) in enumerate(pairs)]
    store_records(DEVICE_TOTALS, store, 0, records)
    assert store.end_recovery(DEVICE_TOTALS)
    assert store.get([b"a"]) == [b"1 1 5"]
    database.close()


class OneFetch:
    """A confluent_kafka Consumer that gives some records once."""

    def __init__(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        self._messages: list[Any] = [
            SimpleNamespace(key=lambda k=k: k, value=lambda v=v: v, error=lambda: None)
            for k, v in pairs
        ]

    def assign(self, _partitions: object) -> None:
        pass

    def poll(self, _seconds: float) -> Any:
        return self._messages.pop(0) if self._messages else None

    def consume(self, _count: int, _seconds: float) -> list[Any]:
        some, self._messages = self._messages, []
        return some


@VALUES
def test_c12_a_replays_comparison_passes_over_them(value: bytes | None) -> None:
    pairs = [(LATER, value), (b"a", b"1 1 5"), (MARKER_KEY, encode_marker(Marker(7)))]
    consumer: Any = OneFetch(pairs)
    rows: dict[bytes, bytes] = {}
    part = ChangelogPart(consumer, ("changelog", 0), rows)
    assert part.step(time.monotonic() + 5)
    assert (rows, part.applied_offset) == ({b"a": b"1 1 5"}, 7)
