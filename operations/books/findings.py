"""What a check of the books finds; the shape of `energy check --json`."""

from __future__ import annotations

import msgspec


class Account(msgspec.Struct, frozen=True):
    """What one view says about a device: exact sum, number of readings."""

    sum: str
    readings: int


class Imbalance(msgspec.Struct, frozen=True):
    """A device whose views do not agree in a partition; None: the view does not know it."""

    partition: int
    device_id: str
    totals: Account | None
    series: Account | None


class Miscount(msgspec.Struct, frozen=True):
    """A view whose rows do not hold as many readings as its marker has counted."""

    partition: int
    view: str
    counted: int
    readings: int


class Apart(msgspec.Struct, frozen=True):
    """A partition in which the views did not stand at one offset in time: not compared."""

    partition: int
    totals_offset: int
    series_offset: int


class Books(msgspec.Struct):
    """What was found; the first differences stand for all of them, `differing` counts them."""

    view_version: int
    is_balanced: bool = True
    devices: int = 0
    locations: int = 0
    readings: int = 0
    sum: str = "0"
    #: By partition: up to which offset the readings are in these figures.
    applied_offsets: list[int] = msgspec.field(default_factory=list)
    differing: int = 0
    differences: list[Imbalance] = msgspec.field(default_factory=list)
    miscounts: list[Miscount] = msgspec.field(default_factory=list)
    not_compared: list[Apart] = msgspec.field(default_factory=list)
