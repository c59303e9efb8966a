"""Sums over time, by location and by device in a period: what others get wrong, over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from api.auth.bounds import Bounds
from api.query.time_zones import VERSION
from api.view.series import Sum
from contract.decimals import Number
from tests.api_doubles import Answer, Caller, caller_for, filled_view
from tests.series_double import MemorySeries, MemorySource, Sample

PIPES = "/v0/pipes/energy_consumption"
OVER_TIME, BY_LOCATION, BY_DEVICE = (
    f"{PIPES}_{name}" for name in ("over_time", "by_location", "by_device")
)
HUGE = 10**308


def sample(moment: str, energy: Number = 1, device: str = "a", location: str = "Hall") -> Sample:
    """A reading at a moment as `2025-10-26T00:30:00+02:00` says it; without an offset: UTC."""
    at = datetime.fromisoformat(moment)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return Sample(device, location, int(at.timestamp()), energy)


async def served(tmp_path: Path, *samples: Sample, **more: Any) -> Caller:
    source = MemorySource(MemorySeries(samples, **more))
    return caller_for(tmp_path, await filled_view({"a": (1, 1)}), series=source)


async def ask(caller: Caller, path: str, **parameters: object) -> list[dict[str, Any]]:
    answer = await caller.get(f"{path}?{urlencode(parameters)}")
    assert answer.status == 200, answer.body
    content = answer.json()
    assert content["rows"] == len(content["data"])
    assert [each["name"] for each in content["meta"]] == list((content["data"] or [{}])[0]) or (
        not content["data"]
    )
    return list(content["data"])


async def starts(caller: Caller, **parameters: object) -> list[tuple[str, float]]:
    rows = await ask(caller, OVER_TIME, **parameters)
    return [(row["start"], row["total_energy_consumed"]) for row in rows]


async def refused(caller: Caller, path: str, **parameters: object) -> str:
    answer = await caller.get(f"{path}?{urlencode(parameters)}")
    assert answer.status == 400, answer.body
    return answer.error


# Buckets


async def test_the_repeated_hour_is_two_buckets_with_different_offsets(tmp_path: Path) -> None:
    caller = await served(
        tmp_path,
        sample("2025-10-26T02:30:00+02:00", 1),
        sample("2025-10-26T02:30:00+01:00", 2),
        sample("2025-10-26T03:00:00+01:00", 4),
    )
    asked = {"interval": "hour", "timezone": "Europe/Berlin"}
    assert await starts(caller, **asked) == [
        ("2025-10-26T02:00:00+02:00", 1),
        ("2025-10-26T02:00:00+01:00", 2),
        ("2025-10-26T03:00:00+01:00", 4),
    ]
    day = {"start": "2025-10-26", "end": "2025-10-27", "fill": "zero"}
    assert len(await starts(caller, **asked, **day)) == 25


async def test_the_edges_are_the_same_with_and_without_fill(tmp_path: Path) -> None:
    caller = await served(tmp_path, sample("2025-04-30T10:50:00", 1))
    asked = {"interval": "hour", "start": "2025-04-30T10:20:00", "end": "2025-04-30T12:00:01"}
    assert await starts(caller, **asked) == [("2025-04-30T10:00:00+00:00", 1)]
    assert await starts(caller, **asked, fill="zero", order_by="-start") == [
        ("2025-04-30T12:00:00+00:00", 0),
        ("2025-04-30T11:00:00+00:00", 0),
        ("2025-04-30T10:00:00+00:00", 1),
    ]


async def test_missing_is_not_zero(tmp_path: Path) -> None:
    caller = await served(tmp_path, sample("2025-04-30T10:00:00", Decimal("0.10")))
    asked = {"start": "2025-04-29", "end": "2025-05-01"}
    answer = await caller.get(f"{OVER_TIME}?{urlencode({**asked, 'fill': 'null'})}")
    assert answer.json()["meta"] == [
        {"name": "start", "type": "String"},
        {"name": "total_energy_consumed", "type": "Nullable(Float64)"},
        {"name": "total_energy_consumed_exact", "type": "Nullable(String)"},
        {"name": "readings", "type": "UInt64"},
    ]
    assert [tuple(row.values()) for row in answer.json()["data"]] == [
        ("2025-04-29T00:00:00+00:00", None, None, 0),
        ("2025-04-30T00:00:00+00:00", 0.1, "0.1", 1),
    ]
    rows = await ask(caller, OVER_TIME, **asked, fill="zero")
    assert tuple(rows[0].values()) == ("2025-04-29T00:00:00+00:00", 0, "0", 0)
    plain = await caller.get(f"{OVER_TIME}?{urlencode(asked)}")
    assert {each["type"] for each in plain.json()["meta"]} == {"String", "Float64", "UInt64"}


async def test_only_groups_with_a_reading_in_the_period_are_filled(tmp_path: Path) -> None:
    caller = await served(
        tmp_path,
        sample("2025-04-30T10:00:00", 1, "a", "Hall"),
        sample("2025-05-01T10:00:00", 2, "a", ""),
        sample("2025-04-30T10:00:00", 4, "b", ""),
        sample("2025-05-07T10:00:00", 8, "c", "Hall"),
    )
    asked = {"start": "2025-04-30", "end": "2025-05-02", "fill": "zero"}
    rows = await ask(caller, OVER_TIME, **asked, group_by="device_id,location")
    assert [(*list(row.values())[:3], row["readings"]) for row in rows] == [
        ("2025-04-30T00:00:00+00:00", "a", "", 0),
        ("2025-04-30T00:00:00+00:00", "a", "Hall", 1),
        ("2025-04-30T00:00:00+00:00", "b", "", 1),
        ("2025-05-01T00:00:00+00:00", "a", "", 1),
        ("2025-05-01T00:00:00+00:00", "a", "Hall", 0),
        ("2025-05-01T00:00:00+00:00", "b", "", 0),
    ]
    rows = await ask(caller, OVER_TIME, **asked, group_by="location", order_by="-start")
    assert [(row["start"][8:10], row["location"], row["readings"]) for row in rows] == [
        ("01", "", 1),
        ("01", "Hall", 0),
        ("30", "", 1),
        ("30", "Hall", 1),
    ]
    assert await ask(caller, OVER_TIME, **asked, device_id="x") == []


async def test_an_open_period_reaches_as_far_as_there_are_readings(tmp_path: Path) -> None:
    caller = await served(
        tmp_path,
        sample("2025-04-30T10:00:00", 1),
        sample("2025-05-01T10:00:00", 2),
        sample("2025-05-03T10:00:00", 4, "b"),
        before={("a", "Hall"): Sum(100, 7)},
    )
    assert [total for _, total in await starts(caller)] == [1, 2, 4]
    assert [total for _, total in await starts(caller, start="2025-05-01T12:00:00")] == [2, 4]
    assert [total for _, total in await starts(caller, end="2025-05-01T10:00:01")] == [1, 2]
    assert await starts(caller, start="2025-06-01") == []
    # The bucket that an end is in is whole.
    assert [total for _, total in await starts(caller, end="2025-04-30T09:00:00")] == [1]
    assert [total for _, total in await starts(caller, start="2025-05-03T11:00:00")] == [4]
    assert await starts(caller, end="2025-04-30") == []
    assert await starts(caller, device_id="x") == []


async def test_sums_are_exact_and_a_total_beyond_float64_is_null(tmp_path: Path) -> None:
    caller = await served(
        tmp_path,
        *(sample("2025-04-30T10:00:00", Decimal(each)) for each in ("0.1", "0.2")),
        *(sample("2025-05-01T10:00:00", HUGE) for _ in range(2)),
    )
    rows = await ask(caller, OVER_TIME)
    assert [row["total_energy_consumed"] for row in rows] == [0.3, None]
    assert [row["total_energy_consumed_exact"] for row in rows] == ["0.3", str(2 * HUGE)]


async def test_a_zone_may_be_an_offset(tmp_path: Path) -> None:
    caller = await served(tmp_path, sample("2025-04-30T18:29:59"), sample("2025-04-30T18:30:00", 2))
    assert await starts(caller, timezone="+05:30") == [
        ("2025-04-30T00:00:00+05:30", 1),
        ("2025-05-01T00:00:00+05:30", 2),
    ]


# Bounds


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"start": "2025-04-30", "end": "2025-04-30"}, "start"),
        ({"start": "2025-04-30T10:00:00.2", "end": "2025-04-30T10:00:00.15"}, "start"),
        ({"start": "2025-04-31"}, "start"),
        ({"end": "tomorrow"}, "end"),
        ({"timezone": "CET"}, "timezone"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"location": "x" * 257}, "location"),
        ({"device_id": ""}, "device_id"),
        ({"limit": "-1"}, "limit"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_every_pipe(
    tmp_path: Path, parameters: dict[str, str], named: str
) -> None:
    caller = await served(tmp_path)
    for path in (OVER_TIME, BY_LOCATION, BY_DEVICE):
        assert named in await refused(caller, path, **parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"interval": "minute"},
        {"group_by": "location,device_id"},
        {"fill": "null"},
        {"fill": "zero", "start": "2025-04-30"},
        {"order_by": "location"},
    ],
)
async def test_what_over_time_cannot_mean_is_refused(
    tmp_path: Path, parameters: dict[str, str]
) -> None:
    assert next(iter(parameters)) in await refused(await served(tmp_path), OVER_TIME, **parameters)


async def test_a_million_buckets_are_the_most(tmp_path: Path) -> None:
    readings = [sample("2025-04-30T10:00:00", 1, f"d{n:03}", "") for n in range(101)]
    caller = await served(tmp_path, *readings)
    years = {"start": "1990-01-01", "end": "2020-01-01"}
    assert "1051872 buckets, and the limit is 1000000" in await refused(
        caller, OVER_TIME, **years, interval="15m"
    )
    days = {"start": "2000-01-01", "end": "2027-05-19", "group_by": "device_id", "interval": "day"}
    assert "1010000 buckets" in await refused(caller, OVER_TIME, **days)
    first = {"device_id": ",".join(f"d{n:03}" for n in range(2))}
    assert len(await ask(caller, OVER_TIME, **days, **first)) == 2


async def test_what_is_more_than_is_held_at_a_time_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await served(
        tmp_path,
        *(
            sample(f"2025-04-{1 + n % 28:02}T{n % 24:02}:00:00", n, f"d{n % 7}", "xyz"[n % 3])
            for n in range(100)
        ),
    )
    queries = [
        {"group_by": group_by, "order_by": order_by, **more}
        for group_by in ("none", "device_id", "location", "device_id,location")
        for order_by in ("start", "-start")
        for more in (
            {},
            {"fill": "null", "start": "2025-04-03", "end": "2025-05-02"},
            {"interval": "hour", "limit": 20, "offset": 13},
        )
    ]
    whole = [await ask(caller, OVER_TIME, **query) for query in queries]
    for held in (1, 50):
        monkeypatch.setattr("api.query.bucket_sums.HELD", held)
        assert [await ask(caller, OVER_TIME, **query) for query in queries] == whole


# Locations and devices


@pytest.fixture
async def fleet(tmp_path: Path) -> Caller:
    return await served(
        tmp_path,
        sample("2025-04-30T10:00:00", Decimal("0.1"), "a", "Hall"),
        sample("2025-04-30T10:14:59", Decimal("0.2"), "b", "Hall"),
        sample("2025-04-30T10:15:00", 7, "a", ""),
        sample("2025-05-01T10:00:00", -5, "a,b", "Hall,Attic"),
        sample("2025-05-01T10:00:00", HUGE, "huge", "Attic"),
        sample("2025-05-01T10:00:00", HUGE, "huge", "Attic"),
        before={("a", "Hall"): Sum(Decimal("0.05"), 3), ("old", "Cellar"): Sum(1, 1)},
    )


async def names(caller: Caller, path: str, **parameters: object) -> list[str]:
    return [next(iter(row.values())) for row in await ask(caller, path, **parameters)]


async def test_locations_have_sums_readings_and_devices(fleet: Caller) -> None:
    rows = await ask(fleet, BY_LOCATION)
    assert [tuple(row.values()) for row in rows] == [
        ("", 7, "7", 1, 1),
        ("Attic", None, str(2 * HUGE), 2, 1),
        ("Cellar", 1, "1", 1, 1),
        ("Hall", 0.35, "0.35", 5, 2),
        ("Hall,Attic", -5, "-5", 1, 1),
    ]
    rows = await ask(fleet, BY_LOCATION, start="2025-04-30T10:14:00", end="2025-04-30T10:15:00")
    assert [tuple(row.values()) for row in rows] == [("Hall", 0.3, "0.3", 2, 2)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("location", ["", "Attic", "Cellar", "Hall", "Hall,Attic"]),
        ("-location", ["Hall,Attic", "Hall", "Cellar", "Attic", ""]),
        ("total_energy_consumed", ["Hall,Attic", "Hall", "Cellar", "", "Attic"]),
        ("-total_energy_consumed", ["Attic", "", "Cellar", "Hall", "Hall,Attic"]),
    ],
)
async def test_locations_come_in_the_order_asked_for(
    fleet: Caller, order: str, expected: list[str]
) -> None:
    assert await names(fleet, BY_LOCATION, order_by=order) == expected
    assert await names(fleet, BY_LOCATION, order_by=order, limit=2, offset=1) == expected[1:3]
    answer = await fleet.get(f"{BY_LOCATION}?order_by={order}&limit=2")
    assert answer.json()["rows_before_limit_at_least"] == 5


async def test_the_same_totals_come_in_order_of_their_names(tmp_path: Path) -> None:
    places = [sample("2025-04-30T10:00:00", 2**53 + n, f"d{n}", f"L{n}") for n in (1, 0)]
    caller = await served(tmp_path, *places, sample("2025-04-30T10:00:00", 1, "z", "z"))
    for sign, expected in (("", ["z", "L0", "L1"]), ("-", ["L0", "L1", "z"])):
        order = f"{sign}total_energy_consumed"
        assert await names(caller, BY_LOCATION, order_by=order) == expected
        found = await names(caller, BY_DEVICE, order_by=order, start="2025-01-01")
        assert found == [each.replace("L", "d") for each in expected]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Hall", ["Hall"]),
        ("", [""]),
        ("Hall,Attic", ["Attic", "Hall", "Hall,Attic"]),
        ("Hall,", ["", "Hall"]),
        ("hall", []),
    ],
)
async def test_a_location_with_a_comma_stands_for_itself_and_for_its_parts(
    fleet: Caller, value: str, expected: list[str]
) -> None:
    assert await names(fleet, BY_LOCATION, location=value) == expected
    twice = await fleet.get(f"{BY_LOCATION}?location={quote(value)}&location=Cellar")
    assert sorted(row["location"] for row in twice.json()["data"]) == sorted([*expected, "Cellar"])


async def test_devices_in_a_period_or_at_a_location(fleet: Caller) -> None:
    assert await names(fleet, BY_DEVICE, start="2025-04-30", end="2025-05-01") == ["a", "b"]
    rows = await ask(fleet, BY_DEVICE, location="Hall,Cellar", exact="true")
    assert [tuple(row.values()) for row in rows] == [
        ("a", 0.15, "0.15", 4),
        ("b", 0.2, "0.2", 1),
        ("old", 1, "1", 1),
    ]
    rows = await ask(fleet, BY_DEVICE, end="2025-05-01", device_id="a", exact="true")
    assert [tuple(row.values()) for row in rows] == [("a", 7.1, "7.1", 2)]
    assert await names(fleet, BY_DEVICE, start="2025-05-01", device_id="a,b") == ["a,b"]
    orders = {
        "device_id": ["a", "a,b", "b", "huge"],
        "-device_id": ["huge", "b", "a,b", "a"],
        "total_energy_consumed": ["a,b", "b", "a", "huge"],
        "-total_energy_consumed": ["huge", "a", "b", "a,b"],
    }
    for order, expected in orders.items():
        asked = {"start": "2025-01-01", "order_by": order}
        assert await names(fleet, BY_DEVICE, **asked) == expected
        assert await names(fleet, BY_DEVICE, **asked, limit=2, offset=1) == expected[1:3]


async def test_totals_without_a_period_are_not_asked_of_the_series(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    assert (await caller.get(f"{BY_DEVICE}?exact=true&timezone=Asia/Tokyo")).status == 200


async def test_a_device_shows_its_places_and_its_first_and_last_reading(tmp_path: Path) -> None:
    view = await filled_view({"a": (Decimal("7.15"), 5), "new": (1, 1), "huge": (HUGE, 1)})
    readings = [
        sample("2025-04-30T10:11:21", Decimal("0.1"), "a", "Hall"),
        sample("1970-01-01T00:00:00", 7, "a", ""),
        sample("2105-12-31T23:59:59", HUGE, "huge", ""),
    ]
    series = MemorySeries(readings, {("a", "Hall"): Sum(Decimal("0.05"), 3)})
    caller = caller_for(tmp_path, view, series=MemorySource(series))
    assert (await caller.get("/v0/devices/a")).json() == {
        "device_id": "a",
        "total_energy_consumed": 7.15,
        "total_energy_consumed_exact": "7.15",
        "readings": 5,
        "locations": [
            {
                "location": location,
                "total_energy_consumed": total,
                "total_energy_consumed_exact": str(total),
                "readings": readings,
            }
            for location, total, readings in (("", 7, 1), ("Hall", 0.15, 4))
        ],
        "first_reading_at": "1970-01-01T00:00:00Z",
        "last_reading_at": "2025-04-30T10:11:21Z",
    }
    assert (await caller.get("/v0/devices/huge")).json()["last_reading_at"] == (
        "2105-12-31T23:59:59Z"
    )
    new = (await caller.get("/v0/devices/new")).json()
    assert (new["locations"], new["first_reading_at"], new["last_reading_at"]) == ([], None, None)
    assert (await caller.get("/v0/devices/x")).status == 404


# What an answer says of itself


@pytest.mark.parametrize("path", [OVER_TIME, BY_LOCATION, f"{BY_DEVICE}?start=2025-01-01"])
async def test_an_answer_says_what_it_is_made_from(tmp_path: Path, path: str) -> None:
    caller = await served(tmp_path, sample("2025-04-30T10:00:00"), applied_offsets=[9, -1])
    caller.services.lag.saw({0: 12, 1: 5})
    answer = await caller.get(path)
    said = answer.headers
    assert said["x-view-version"] == "1"
    assert said["x-applied-offsets"] == "0:9,1:-1"
    assert said["x-lag-records"] == "7"
    assert said["x-timezone-version"] == VERSION
    unchanged = await caller.get(path, if_none_match=said["etag"])
    assert (unchanged.status, unchanged.body) == (304, b"")
    head = await caller.request("HEAD", path)
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", said["etag"])
    source = caller.services.live.series()
    assert isinstance(source, MemorySource)
    source.series.removed_rows = 4
    assert (await caller.get(path, if_none_match=said["etag"])).status == 200
    source.series.applied_offsets = [10, -1]
    assert (await caller.get(path, if_none_match=said["etag"])).status == 200
    assert source.open == 0
    statistics = answer.json()["statistics"]
    assert statistics["rows_read"] == 1
    assert statistics["bytes_read"] > 0


async def test_another_question_has_another_etag(tmp_path: Path) -> None:
    caller = await served(tmp_path, sample("2025-04-30T10:00:00"))
    queries = ["", "?timezone=Asia/Tokyo", "?device_id=a", "?location=a", "?start=2025-01-01"]
    tags = {(await caller.get(f"{OVER_TIME}{each}")).headers["etag"] for each in queries}
    assert len(tags) == len(queries)


async def test_a_zone_alone_changes_no_total(tmp_path: Path) -> None:
    caller = await served(tmp_path)
    plain, zoned = [await caller.get(f"{BY_DEVICE}.csv{q}") for q in ("", "?timezone=%2B01:00")]
    assert plain.body == zoned.body == b'"a",1\n'
    assert "x-timezone-version" not in plain.headers
    assert zoned.headers["x-timezone-version"] == VERSION


async def test_a_version_without_a_series_names_the_command(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    for path in (OVER_TIME, f"{BY_LOCATION}.csv", f"{BY_DEVICE}?location=Hall"):
        answer = await caller.get(path)
        assert answer.status == 404
        assert "`energy replay start --series on`" in answer.error
        assert (await caller.post(path, b"")).status == 404


async def test_while_the_view_loads_it_is_503(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, None, series=MemorySource(MemorySeries()))
    for path in (OVER_TIME, BY_LOCATION, f"{BY_DEVICE}?location=Hall"):
        assert (await caller.get(path)).status == 503


@pytest.mark.parametrize("path", [OVER_TIME, BY_LOCATION, BY_DEVICE])
async def test_a_form_is_answered_as_a_query_is(fleet: Caller, path: str) -> None:
    fields = {"start": "2025-05-01", "timezone": "+05:30", "location": ["Attic", "Hall,Attic"]}
    form = urlencode(fields, doseq=True)
    by_query = await fleet.get(f"{path}?{form}")
    by_form = await fleet.post(path, form.encode())
    both = await fleet.post(f"{path}?location=Attic", form.partition("&location=Attic")[0].encode())
    assert by_form.json()["data"] == by_query.json()["data"] != []
    assert both.status == 200
    assert (await fleet.post(f"{path}?timezone=UTC", form.encode())).status == 400


def of_bounds(tmp_path: Path, caller: Caller, bounds: Bounds) -> Caller:
    return Caller(caller.app, caller.services.tokens.create("b", ["ADMIN"], None, bounds))


async def test_a_bound_token_sees_sums_of_its_own_rows(tmp_path: Path, fleet: Caller) -> None:
    bound = of_bounds(tmp_path, fleet, Bounds(frozenset({"a"}), frozenset({"Hall"})))
    assert [tuple(row.values()) for row in await ask(bound, BY_LOCATION)] == [
        ("Hall", 0.15, "0.15", 4, 1)
    ]
    rows = await ask(bound, OVER_TIME, group_by="device_id")
    assert [(row["device_id"], row["total_energy_consumed_exact"]) for row in rows] == [
        ("a", "0.1")
    ]
    assert await ask(bound, OVER_TIME, device_id="b") == []
    free, own = [(await each.get(OVER_TIME)).headers["etag"] for each in (fleet, bound)]
    assert free != own


def shown(answer: Answer) -> list[str]:
    return answer.body.decode().splitlines()


async def test_line_formats_have_the_columns_in_order(tmp_path: Path) -> None:
    caller = await served(tmp_path, sample("2025-04-30T10:00:00", Decimal("1.50"), "a", 'H"\nx'))
    query = "?group_by=device_id,location&timezone=Europe/Berlin"
    start, exact = "2025-04-30T00:00:00+02:00", '"1.5",1'
    assert (await caller.get(f"{OVER_TIME}.csvwithnames{query}")).body.decode() == (
        '"start","device_id","location","total_energy_consumed",'
        '"total_energy_consumed_exact","readings"\n'
        f'"{start}","a","H""\nx",1.5,{exact}\n'
    )
    assert shown(await caller.get(f"{OVER_TIME}.prometheus{query}"))[2] == (
        f'total_energy_consumed{{start="{start}",device_id="a",location="H\\"\\nx"}} 1.5'
    )
    filled = "?fill=null&start=2025-04-29&end=2025-05-01"
    assert shown(await caller.get(f"{OVER_TIME}.csv{filled}")) == [
        r'"2025-04-29T00:00:00+00:00",\N,\N,0',
        '"2025-04-30T00:00:00+00:00",1.5,"1.5",1',
    ]
