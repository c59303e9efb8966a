"""What a backfill writes of some records: each partition's own count, origin and refused rows."""

from __future__ import annotations

import json
from typing import NamedTuple, cast

from confluent_kafka import Message

from operations.backfill.copy import judged
from producer.imports.importer import Advance


class Record(NamedTuple):
    place: int
    number: int
    content: bytes | None

    def partition(self) -> int:
        return self.place

    def offset(self) -> int:
        return self.number

    def value(self) -> bytes | None:
        return self.content


def reading(device: str) -> bytes:
    return (
        '{"timestamp": "2025-04-30 10:11:21", "energy_consumed": 1, "location": "Attic",'
        f' "device_id": "{device}"}}'
    ).encode()


def test_each_partition_has_its_counts_and_each_refused_record_its_origin():
    records = [
        Record(0, 7, reading("a")),
        Record(3, 0, None),
        Record(0, 8, b"{}"),
        Record(3, 4, reading("b")),
        Record(0, 9, reading("c")),
    ]
    note = {"topic": "archive"}
    ends = {0: 10, 3: 5, 5: 2}
    batch, advances = judged(cast("list[Message]", records), ends, "mine", note)
    assert advances == {
        "0": Advance(10, 2, 1, note),
        "3": Advance(5, 1, 1, note),
        "5": Advance(2, 0, 0, note),
    }
    assert dict(zip(batch.keys, batch.values, strict=True)) == {
        key.encode(): reading(key) for key in "abc"
    }
    origins = [
        (each["__file"], each["__line"], each["c__import_id"], each["__value"])
        for each in map(json.loads, batch.quarantined)
    ]
    assert origins == [
        ("archive/0", 8, "backfill/mine", "{}"),
        ("archive/3", 0, "backfill/mine", None),
    ]
