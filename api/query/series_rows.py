"""Rows of places and time: their tables, and how a sum is written in them."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from api.query.table import Table
from api.view.device_totals import Served, served
from api.view.series import DeviceSum, PlaceSum
from contract.decimals import Number, canonical

Sums = TypeVar("Sums", DeviceSum, PlaceSum)


class LocationRow(msgspec.Struct, gc=False, frozen=True):
    """A row of the sums by location: the columns of LOCATIONS."""

    location: str
    total_energy_consumed: Served
    total_energy_consumed_exact: str
    readings: int
    devices: int


LOCATIONS = Table(
    {
        "location": "String",
        "total_energy_consumed": "Float64",
        "total_energy_consumed_exact": "String",
        "readings": "UInt64",
        "devices": "UInt64",
    },
    explained="Energy consumed at a location, all readings there added.",
)


def _buckets(*groups: str, is_null: bool) -> tuple[Table, type[msgspec.Struct]]:
    """Return the table of buckets by these groups, and the kind of its rows."""
    kind = "Nullable({})".format if is_null else str
    types = dict.fromkeys(("start", *groups), "String") | {
        "total_energy_consumed": kind("Float64"),
        "total_energy_consumed_exact": kind("String"),
        "readings": "UInt64",
    }
    table = Table(types, explained="Energy consumed from the beginning of a bucket to its end.")
    # The columns are texts and numbers: nothing that the collector has to look through.
    return table, msgspec.defstruct("BucketRow", [(name, Any) for name in types], gc=False)


#: By (by device, by location, with nulls): the table, and the kind of its rows.
BUCKETS = {
    (by_device, by_location, is_null): _buckets(
        *["device_id"] * by_device, *["location"] * by_location, is_null=is_null
    )
    for by_device in (False, True)
    for by_location in (False, True)
    for is_null in (False, True)
}


def written(total: Number) -> tuple[Served, str]:
    """Return a sum as it is served: the nearest Float64, and its exact text."""
    text = canonical(total)
    return served(text.encode()), text


def ordered(sums: list[Sums], order_by: str) -> list[Sums]:
    """Put sums that are in ascending order of their names in the order asked for."""
    if order_by.endswith("total_energy_consumed"):
        sign = -1 if order_by.startswith("-") else 1
        # Stable, so equal totals stay in order of their names.
        return sorted(sums, key=lambda each: sign * _rank(each.total))
    return sums[::-1] if order_by.startswith("-") else sums


def _rank(total: Number) -> float:
    """Return what a total is ordered by: its Float64, an infinity where it is beyond the range."""
    try:
        return float(total)
    except OverflowError:
        return float("inf") if total > 0 else float("-inf")
