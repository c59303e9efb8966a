"""What was measured, each with the command that measures it again: the calculator's only numbers.

Of readings of 117 bytes of JSON in large batches, not compressed; x86-64, Python 3.11, Apache
Kafka 4.1.2. Longer names, compression and small batches change them: measure your own.
"""

from __future__ import annotations

from typing import NamedTuple

SIZES = "python -m tests.benchmarks.sizing"
CATCH_UP = "energy bench --against with-series"
FRESHNESS = "python -m tests.benchmarks.freshness --rate 1000, and --rate 100000 --linger 5"
SERVE_AGAIN = "python -m tests.benchmarks.serve_again --devices 1000000"
TOPICS = "contract/topics.py"
DEVICE_DAYS = "python -m tests.benchmarks.device_days"
BYTES = "docs/CHANGELOG_FORMAT.md"


class Figure(NamedTuple):
    """A number and where it comes from."""

    value: float
    source: str


FIGURES: dict[str, Figure] = {
    "log bytes a reading": Figure(139, SIZES),
    # Compacted; most are of commits of many rows, which are compressed.
    "changelog bytes at least": Figure(12_000, SIZES),
    "changelog bytes a total": Figure(14, SIZES),
    "changelog bytes an hour": Figure(41, SIZES),
    # Of commits of few rows, which are not.
    "new changelog bytes a total": Figure(39, DEVICE_DAYS),
    "new changelog bytes an hour": Figure(73, DEVICE_DAYS),
    # A marker, and the head of its batch.
    "changelog bytes a commit": Figure(240, BYTES),
    # 200 a second in each of four partitions; at higher rates readings share them.
    "commits a second at most": Figure(800, FRESHNESS),
    "seconds until compaction": Figure(900, TOPICS),
    "store bytes at least": Figure(900_000, SIZES),
    "store bytes a total": Figure(45, SIZES),
    "store bytes an hour": Figure(65, SIZES),
    "copy bytes at least": Figure(900_000, SIZES),
    "copy bytes a total": Figure(400, SIZES),
    "copy bytes a device-day": Figure(560, SIZES),
    "copy bytes a quarter": Figure(22, SIZES),
    "worker bytes at least": Figure(125_000_000, CATCH_UP),
    "worker bytes a device": Figure(440, CATCH_UP),
    "worker bytes with a series": Figure(25_000_000, SIZES),
    "worker bytes a device with a series": Figure(560, SIZES),
    "API bytes at least": Figure(90_000_000, SIZES),
    "API bytes a device": Figure(150, SERVE_AGAIN),
    "API bytes a device with a series": Figure(2_100, SIZES),
    "worker cores at least": Figure(0.35, FRESHNESS),
    "worker core seconds a million readings": Figure(2.7, CATCH_UP),
    "API cores at least": Figure(0.26, FRESHNESS),
    "API core seconds a million readings": Figure(0.1, FRESHNESS),
    "broker cores at least": Figure(0.45, FRESHNESS),
    "broker core seconds a million readings": Figure(1, FRESHNESS),
}
