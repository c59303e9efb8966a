"""Sums over time, by location and by device against a plain brute force over the readings.

Buckets are found by walking a clock (buckets_by_walking), sums by adding up the readings one by
one; nothing of the product's buckets, windows or sums is used.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from functools import cache
from itertools import chain
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from api.query.by_device import Listing
from api.query.by_location import ByLocation
from api.query.over_time import OverTime
from contract.decimals import EXACT
from tests.property.buckets_by_walking import QUARTER, beginnings
from tests.series_double import MemorySeries, Sample

#: A zone, and a moment near which its clocks do something.
PLACES = [
    ("UTC", datetime(2024, 2, 28, 12, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2025, 3, 30, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2025, 10, 26, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2025, 4, 5, 15, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2025, 4, 24, 22, tzinfo=UTC)),
    ("America/St_Johns", datetime(2005, 10, 30, 2, 31, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2025, 12, 31, 18, 15, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2025, 10, 26, 1, tzinfo=UTC)),
]
EXTENT = timedelta(days=3)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

Row = tuple[Any, ...]


@cache
def walked(name: str, around: datetime) -> dict[str, list[datetime]]:
    """Beginnings of buckets, from before the year that the readings are in to behind it."""
    first = datetime(around.year - 1, 12, 20, tzinfo=UTC)
    return beginnings(ZoneInfo(name), first, datetime(around.year + 1, 1, 20, tzinfo=UTC))


@cache
def years(name: str, around: datetime) -> list[datetime]:
    """Beginnings of years: of a year that is longer than what is walked."""
    zone = ZoneInfo(name)
    return [
        datetime(year, 1, 1, tzinfo=zone).astimezone(UTC)
        for year in range(around.year - 2, around.year + 4)
    ]


def begins(name: str, around: datetime, interval: str) -> list[datetime]:
    if interval == "year":
        return years(name, around)
    if interval == "month":
        zone = ZoneInfo(name)
        months = [
            (year, month)
            for year in range(around.year - 1, around.year + 3)
            for month in range(1, 13)
        ]
        return [datetime(*each, 1, tzinfo=zone).astimezone(UTC) for each in months]
    return walked(name, around)[interval]


numbers = st.one_of(
    st.integers(-5, 10**6),
    st.decimals(-1000, 1000, places=3),
    st.sampled_from([Decimal("1e300"), Decimal("-1e300"), 10**308]),
)
devices = st.sampled_from(["a", "b", "a,b", "é"])
locations = st.sampled_from(["", "Hall", "Hall,Attic", "Attic"])
offsets = st.integers(-int(EXTENT.total_seconds()), int(EXTENT.total_seconds()))
readings = st.lists(st.tuples(devices, locations, offsets, numbers), max_size=30)
names = {
    "device_id": st.none() | st.lists(devices, min_size=1, max_size=2),
    "location": st.none() | st.lists(locations, min_size=1, max_size=2),
}
asked = st.fixed_dictionaries(
    {
        "interval": st.sampled_from(["15m", "30m", "hour", "day", "week", "month", "year"]),
        "group_by": st.sampled_from(["none", "device_id", "location", "device_id,location"]),
        "fill": st.sampled_from(["none", "none", "null", "zero"]),
        "order_by": st.sampled_from(["start", "-start"]),
        "start": st.none() | offsets,
        "end": st.none() | offsets,
        "limit": st.none() | st.integers(0, 40),
        "offset": st.integers(0, 5),
        **names,
    }
)


def parts(values: list[str] | None) -> set[str] | None:
    return None if values is None else {*values, *chain(*(each.split(",") for each in values))}


def chosen(samples: list[Sample], query: dict[str, Any]) -> list[Sample]:
    some, where = parts(query["device_id"]), parts(query["location"])
    return [
        each
        for each in samples
        if (some is None or each.device_id in some) and (where is None or each.location in where)
    ]


def given_by(query: dict[str, Any], around: datetime) -> dict[str, list[str]]:
    """The query as it is sent; moments in UTC."""
    sent: dict[str, list[str]] = {}
    for name, value in query.items():
        if value is None:
            continue
        if name in ("start", "end"):
            value = (around + timedelta(seconds=value)).strftime("%Y-%m-%dT%H:%M:%SZ")
        sent[name] = value if isinstance(value, list) else [str(value)]
    return sent


def expected(
    samples: list[Sample], query: dict[str, Any], zone: str, around: datetime
) -> list[Row]:
    edges = begins(zone, around, query["interval"])
    moments = {
        name: None if query[name] is None else around + timedelta(seconds=query[name])
        for name in ("start", "end")
    }
    sums: dict[Row, list[Any]] = defaultdict(list)
    keys = query["group_by"].split(",") if query["group_by"] != "none" else []
    low, high = moments["start"], moments["end"]
    first = 0 if low is None else bisect_right(edges, low) - 1
    last = len(edges) if high is None else bisect_right(edges, high - SECOND) - 1
    for each in chosen(samples, query):
        quarter = EPOCH + each.quarter * QUARTER
        place = bisect_right(edges, quarter) - 1
        if first <= place <= last:
            sums[(place, *(getattr(each, key) for key in keys))].append(each.energy)
    if query["fill"] != "none":
        for group in {key[1:] for key in sums}:
            for place in range(first, last + 1):
                sums.setdefault((place, *group), [])
    rows = []
    direction = -1 if query["order_by"] == "-start" else 1
    for key in sorted(sums, key=lambda key: (direction * key[0], key[1:])):
        energies = sums[key]
        shown = edges[key[0]].astimezone(ZoneInfo(zone)).isoformat()
        exact = None if not energies and query["fill"] == "null" else sum(energies, Decimal(0))
        rows.append((shown, *key[1:], exact, len(energies)))
    stop = None if query["limit"] is None else query["offset"] + query["limit"]
    return rows[query["offset"] : stop]


def answered(slices: Iterator[list[Any]]) -> list[Row]:
    """Rows with the exact total as a Decimal, and without the nearest Float64."""
    rows = []
    for row in chain.from_iterable(slices):
        values = {name: getattr(row, name) for name in row.__struct_fields__}
        near = values.pop("total_energy_consumed")
        exact = values["total_energy_consumed_exact"]
        if exact is not None:
            values["total_energy_consumed_exact"] = Decimal(exact)
            assert near == (float(exact) if abs(float(exact)) < float("inf") else None)
        else:
            assert near is None
        assert msgspec.json.encode(row)
        rows.append(tuple(values.values()))
    return rows


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), readings, asked, st.sampled_from([100_000, 7]))
def test_sums_over_time_are_those_of_the_readings_one_by_one(
    place: tuple[str, datetime], some: list[Any], query: dict[str, Any], held: int
) -> None:
    zone, around = place
    at = int(around.timestamp())
    samples = [Sample(device, where, at + second, energy) for device, where, second, energy in some]
    start, end = query["start"], query["end"]
    if start is not None and end is not None and start >= end:
        query = {**query, "start": min(start, end), "end": max(start, end) + 1}
    if query["start"] is None or query["end"] is None:
        query = {**query, "fill": "none"}
    sent = given_by({**query, "timezone": zone}, around)
    with localcontext(EXACT), patch("api.query.bucket_sums.HELD", held):
        found = OverTime.read(sent).query(None)
        assert answered(found.slices(MemorySeries(samples))) == expected(
            samples, query, zone, around
        )


@settings(max_examples=200, deadline=None)
@given(
    readings,
    st.fixed_dictionaries({"start": st.none() | offsets, "end": st.none() | offsets, **names}),
    st.booleans(),
    st.booleans(),
)
def test_sums_by_location_and_device_are_those_of_the_readings_one_by_one(
    some: list[Any], query: dict[str, Any], by_total: bool, descending: bool
) -> None:
    _, around = PLACES[1]
    at = int(around.timestamp())
    samples = [Sample(device, where, at + second, energy) for device, where, second, energy in some]
    start, end = query["start"], query["end"]
    if start is not None and end is not None and start >= end:
        query = {**query, "start": min(start, end), "end": max(start, end) + 1}
    low = None if query["start"] is None else (at + query["start"]) // 900 * 900
    high = None if query["end"] is None else -(-(at + query["end"]) // 900) * 900
    there = [
        each
        for each in chosen(samples, query)
        if (low is None or each.second >= low) and (high is None or each.second < high)
    ]
    sent = given_by(query, around)
    with localcontext(EXACT):
        for key, model in (("location", ByLocation), ("device_id", Listing)):
            rows: list[Row] = []
            for name in {getattr(each, key) for each in there}:
                mine = [each for each in there if getattr(each, key) == name]
                exact = sum((each.energy for each in mine), Decimal(0))
                owners = len({each.device_id for each in mine})
                rows.append((name, exact, len(mine), *[owners] * (key == "location")))
            order = ("-" if descending else "") + ("total_energy_consumed" if by_total else key)
            rows.sort(key=lambda row: row[0], reverse=descending and not by_total)
            if by_total:
                sign = -1 if descending else 1
                rows.sort(key=lambda row: sign * float(row[1]))
            read: Any = model.read({**sent, "order_by": [order], **EXACT_TOO[key]})
            query_of = read.query if key == "location" else read.series_query
            assert answered(query_of(None).slices(MemorySeries(samples))) == rows


EXACT_TOO: dict[str, dict[str, list[str]]] = {"location": {}, "device_id": {"exact": ["true"]}}
