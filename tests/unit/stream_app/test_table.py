"""`app.tables["device_totals"]`: what a Faust developer looks a total up in."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.changelog import MARKER_KEY, Marker, encode_marker
from contract.device_totals import DEVICE_TOTALS, encode_total
from contract.energy_series import ENERGY_SERIES
from contract.hour_rows import HourKey, encode_key
from stream_app.faust_adapter.app import ChunkApp
from stream_app.faust_adapter.table import ViewTable


@pytest.fixture
def app(tmp_path: Path) -> Any:
    """A worker that works on partitions 0 and 1; another one has partition 2."""
    app = ChunkApp("test", store="rocksdb://", datadir=str(tmp_path), Table=ViewTable)
    app.settings = SimpleNamespace(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    owned = SimpleNamespace(is_recovering=False, processors={0: None, 1: None})
    app.ownership = SimpleNamespace(of={DEVICE_TOTALS: owned})
    table = app.Table(DEVICE_TOTALS.name, partitions=3, key_type=bytes, value_type=bytes)
    table.view = DEVICE_TOTALS  # type: ignore[attr-defined]
    for partition, updates in (
        (0, [(b"device_7", encode_total(Decimal("1.5"), 2)), (b"device_8", encode_total(4, 1))]),
        (1, [(b"device_7", encode_total(Decimal("0.25"), 1))]),
        (2, [(b"device_9", encode_total(9, 1))]),
    ):
        marker = (MARKER_KEY, encode_marker(Marker(applied_offset=5)))
        table.data.open_partition(partition, False).write([*updates, marker], 7)  # type: ignore[attr-defined]
    return app


def test_a_device_answers_its_exact_total_over_the_partitions_of_this_worker(app: Any) -> None:
    totals = app.tables["device_totals"]
    assert totals[b"device_7"] == Decimal("1.75")
    assert totals.get(b"device_8") == 4
    assert b"device_9" not in totals, "another worker has its partition"
    assert dict(totals.items()) == {b"device_7": Decimal("1.75"), b"device_8": 4}
    assert (len(totals), sorted(totals)) == (2, [b"device_7", b"device_8"])


def test_each_view_has_a_table_of_its_own(app: Any) -> None:
    table = app.Table(ENERGY_SERIES.name, partitions=3, key_type=bytes, value_type=bytes)
    table.view = ENERGY_SERIES
    app.ownership.of[ENERGY_SERIES] = SimpleNamespace(is_recovering=False, processors={1: None})
    key = encode_key(HourKey("device_7", 484_978, "Kitchen"))
    marker = (MARKER_KEY, encode_marker(Marker(applied_offset=5)))
    table.data.open_partition(1, False).write([(key, b"1 5 9 1 2 0 1 0.5 0"), marker], 7)
    assert dict(table.items()) == {key: Decimal("2.5")}
    assert app.tables["device_totals"][b"device_7"] == Decimal("1.75")
    assert MARKER_KEY not in table


@pytest.mark.parametrize("key", [b"nobody", MARKER_KEY, b"__faust\0offset__"])
def test_what_is_no_device_is_no_key(app: Any, key: bytes) -> None:
    with pytest.raises(KeyError):
        app.tables["device_totals"][key]


WRITES: list[Callable[[Any], Any]] = [
    lambda table: table.__setitem__(b"device_7", b"1 1 1"),
    lambda table: table.__delitem__(b"device_7"),
    lambda table: table.update({b"device_7": b"1 1 1"}),
    lambda table: table.pop(b"device_7"),
    lambda table: table.clear(),
    lambda table: table.data.__setitem__(b"device_7", b"1 1 1"),
    lambda table: table.data.clear(),
]


@pytest.mark.parametrize("write", WRITES)
def test_nobody_writes_a_total_or_sends_one(
    app: Any, write: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    totals = app.tables["device_totals"]
    monkeypatch.setattr(ViewTable, "send_changelog", lambda *_, **__: pytest.fail("sent"))
    with pytest.raises(TypeError, match="read only"):
        write(totals)
    assert totals[b"device_7"] == Decimal("1.75")


def test_no_total_is_answered_while_the_stores_are_recovered(app: Any) -> None:
    app.ownership.of[DEVICE_TOTALS].is_recovering = True
    with pytest.raises(RuntimeError, match="being recovered"):
        app.tables["device_totals"].get(b"device_7")
