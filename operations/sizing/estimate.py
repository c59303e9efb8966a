"""Devices, rate and retention -> disk, memory and cores. Pure; all constants are in figures.py."""

from __future__ import annotations

import math

import msgspec

from operations.sizing.figures import FIGURES

DAY_SECONDS = 86_400
HOURS_OF_A_DAY, QUARTERS_OF_A_DAY = 24, 96


class Workload(msgspec.Struct, frozen=True):
    """What is asked: `rate` is readings/s of all devices together, kept for so many days.

    `series_days` is of how many days there are quarters; 0: no series at all.
    """

    devices: int
    rate: float
    retention_days: float
    series_days: float

    def per_device(self, parts_of_a_day: int) -> float:
        """Return how many hours (24 a day) or quarters (96) of a device have a reading.

        Those in which the series is kept, for readings that come evenly.
        """
        readings_a_day = self.rate * DAY_SECONDS / self.devices
        return self.series_days * min(parts_of_a_day, readings_a_day)


class Estimate(msgspec.Struct, frozen=True):
    """Bytes of one copy and of one process; cores that are busy all the time."""

    readings_log: int
    #: As they are when Kafka has compacted them.
    totals_changelog: int
    series_changelog: int
    #: What Kafka must not compact yet, of both.
    changelog_heads: int
    worker_store: int
    reader_copy: int
    worker_memory: int
    api_memory: int
    worker_cores: float
    api_cores: float
    broker_cores: float

    def kafka_disk(self) -> int:
        """Return what one copy of all topics takes."""
        changelogs = self.totals_changelog + self.series_changelog + self.changelog_heads
        return self.readings_log + changelogs


def estimate(workload: Workload) -> Estimate:
    """Return what one copy and one process of each take."""
    f = {name: figure.value for name, figure in FIGURES.items()}
    devices, rate = workload.devices, workload.rate
    hours, quarters = (
        devices * workload.per_device(parts) for parts in (HOURS_OF_A_DAY, QUARTERS_OF_A_DAY)
    )
    # A day that has just begun is a row as well.
    days = min(quarters, devices * math.ceil(workload.series_days))
    # With a series, what goes with it; without one, none of it.
    series = 1 if workload.series_days > 0 else 0
    head = rate * f["new changelog bytes a total"]
    head += min(rate, f["commits a second at most"]) * f["changelog bytes a commit"]
    # A row of the series is written once a second at most.
    head += series * min(rate, devices) * f["new changelog bytes an hour"]
    return Estimate(
        readings_log=round(rate * workload.retention_days * DAY_SECONDS * f["log bytes a reading"]),
        totals_changelog=round(
            f["changelog bytes at least"] + devices * f["changelog bytes a total"]
        ),
        series_changelog=round(hours * f["changelog bytes an hour"]),
        changelog_heads=round(head * f["seconds until compaction"]),
        worker_store=round(
            f["store bytes at least"]
            + devices * f["store bytes a total"]
            + hours * f["store bytes an hour"]
        ),
        reader_copy=round(
            f["copy bytes at least"]
            + devices * f["copy bytes a total"]
            + days * f["copy bytes a device-day"]
            + quarters * f["copy bytes a quarter"]
        ),
        worker_memory=round(
            f["worker bytes at least"]
            + devices * f["worker bytes a device"]
            + series * f["worker bytes with a series"]
            + series * devices * f["worker bytes a device with a series"]
        ),
        api_memory=round(
            f["API bytes at least"]
            + devices * f["API bytes a device"]
            + series * devices * f["API bytes a device with a series"]
        ),
        worker_cores=_cores(
            f["worker cores at least"], f["worker core seconds a million readings"], rate
        ),
        api_cores=_cores(f["API cores at least"], f["API core seconds a million readings"], rate),
        broker_cores=_cores(
            f["broker cores at least"], f["broker core seconds a million readings"], rate
        ),
    )


def _cores(least: float, of_a_million: float, rate: float) -> float:
    return round(least + of_a_million * rate / 1_000_000, 2)
