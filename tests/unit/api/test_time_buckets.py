"""Buckets, zones and periods: what others get wrong, one test for each kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.query.period import BadInstant, Instant, parse_instant
from api.query.time_buckets import QUARTER_SECONDS, edges
from api.query.time_zones import VERSION, UnknownZone, parse_zone

QUARTER = timedelta(seconds=QUARTER_SECONDS)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def starts(interval: str, name: str, start: str, end: str) -> list[str]:
    """Beginnings of the buckets of a period, as an answer shows them; the last is its end."""
    zone = parse_zone(name)
    first, last = parse_instant(start, zone).rounded_down(), parse_instant(end, zone).rounded_up()
    found = edges(interval, zone, first, last)
    return [(EPOCH + edge * QUARTER).astimezone(zone).isoformat() for edge in found]


def hours(name: str, day: str, next_day: str) -> float:
    """How long a local day is."""
    zone = parse_zone(name)
    first, last = edges(
        "day",
        zone,
        parse_instant(day, zone).rounded_down(),
        parse_instant(next_day, zone).rounded_down(),
    )
    return (last - first) / 4


@pytest.mark.parametrize(
    ("name", "day", "next_day", "length"),
    [
        ("Europe/Berlin", "2025-03-30", "2025-03-31", 23),
        ("Europe/Berlin", "2025-10-26", "2025-10-27", 25),
        ("Australia/Lord_Howe", "2025-04-06", "2025-04-07", 24.5),
        ("Australia/Lord_Howe", "2025-10-05", "2025-10-06", 23.5),
        ("Antarctica/Troll", "2025-03-30", "2025-03-31", 22),
        ("Antarctica/Troll", "2025-10-26", "2025-10-27", 26),
        ("Africa/Cairo", "2025-04-25", "2025-04-26", 23),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-05", 23),
        ("America/Havana", "2025-11-02", "2025-11-03", 25),
        # Goes back at 00:01 of the 30th: the day had begun, and has an hour of the 29th in it.
        ("America/St_Johns", "2005-10-30", "2005-10-31", 25),
        ("America/St_Johns", "2005-10-29", "2005-10-30", 24),
        ("Asia/Kolkata", "2025-01-01", "2025-01-02", 24),
    ],
)
def test_a_day_has_22_to_26_hours(name: str, day: str, next_day: str, length: float) -> None:
    assert hours(name, day, next_day) == length


def test_the_repeated_hour_is_two_buckets_with_different_offsets() -> None:
    assert starts("hour", "Europe/Berlin", "2025-10-26T01:00:00", "2025-10-26T03:00:00") == [
        "2025-10-26T01:00:00+02:00",
        "2025-10-26T02:00:00+02:00",
        "2025-10-26T02:00:00+01:00",
        "2025-10-26T03:00:00+01:00",
    ]


def test_the_hour_that_is_jumped_over_has_no_bucket() -> None:
    assert starts("hour", "Europe/Berlin", "2025-03-30T01:00:00", "2025-03-30T04:00:00") == [
        "2025-03-30T01:00:00+01:00",
        "2025-03-30T03:00:00+02:00",
        "2025-03-30T04:00:00+02:00",
    ]


def test_lord_howes_repeated_half_hour_is_a_bucket_of_its_own() -> None:
    assert starts("hour", "Australia/Lord_Howe", "2025-04-06T01:00:00", "2025-04-06T03:00:00") == [
        "2025-04-06T01:00:00+11:00",
        "2025-04-06T01:30:00+10:30",
        "2025-04-06T02:00:00+10:30",
        "2025-04-06T03:00:00+10:30",
    ]


def test_a_date_that_never_was_has_no_bucket() -> None:
    assert starts("day", "Pacific/Apia", "2011-12-29", "2012-01-01") == [
        "2011-12-29T00:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2012-01-01T00:00:00+14:00",
    ]


def test_a_day_without_midnight_begins_at_one() -> None:
    assert starts("day", "Asia/Beirut", "2025-03-30", "2025-03-31")[0] == (
        "2025-03-30T01:00:00+03:00"
    )


@pytest.mark.parametrize("name", ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Adelaide"])
def test_hours_are_those_of_the_wall(name: str) -> None:
    for shown in starts("hour", name, "2025-01-01", "2025-01-02"):
        assert shown[13:19] == ":00:00"


def test_weeks_begin_on_monday_and_both_edges_move_outwards() -> None:
    assert starts("week", "UTC", "2025-01-01", "2025-01-07") == [
        "2024-12-30T00:00:00+00:00",
        "2025-01-06T00:00:00+00:00",
        "2025-01-13T00:00:00+00:00",
    ]


def test_months_and_years() -> None:
    assert len(starts("month", "Europe/Berlin", "2024-01-01", "2025-01-01")) == 13
    assert starts("year", "+05:30", "2024-05-01", "2025-01-01") == [
        "2024-01-01T00:00:00+05:30",
        "2025-01-01T00:00:00+05:30",
    ]


def test_an_empty_period_has_no_bucket() -> None:
    assert starts("hour", "UTC", "2025-01-01", "2025-01-01") == []


@pytest.mark.parametrize(
    ("text", "name", "down", "up"),
    [
        ("2025-04-30", "UTC", "2025-04-30T00:00:00+00:00", "2025-04-30T00:00:00+00:00"),
        ("2025-04-30", "Europe/Berlin", "2025-04-29T22:00:00+00:00", "2025-04-29T22:00:00+00:00"),
        ("2025-04-30 10:11:21", "UTC", "2025-04-30T10:00:00+00:00", "2025-04-30T10:15:00+00:00"),
        ("2025-04-30T10:15:00", "UTC", "2025-04-30T10:15:00+00:00", "2025-04-30T10:15:00+00:00"),
        ("2025-04-30T10:15:00.0", "UTC", "2025-04-30T10:15:00+00:00", "2025-04-30T10:15:00+00:00"),
        ("2025-04-30T10:15:00.1", "UTC", "2025-04-30T10:15:00+00:00", "2025-04-30T10:30:00+00:00"),
        (
            "2025-04-30T10:15:00.000000001Z",
            "Europe/Berlin",
            "2025-04-30T10:15:00+00:00",
            "2025-04-30T10:30:00+00:00",
        ),
        (
            "2025-04-30T10:15:00+02:00",
            "Asia/Tokyo",
            "2025-04-30T08:15:00+00:00",
            "2025-04-30T08:15:00+00:00",
        ),
        # Twice: the first. Never: the jump.
        (
            "2025-10-26 02:30:00",
            "Europe/Berlin",
            "2025-10-26T00:30:00+00:00",
            "2025-10-26T00:30:00+00:00",
        ),
        (
            "2025-03-30 02:30:00",
            "Europe/Berlin",
            "2025-03-30T01:00:00+00:00",
            "2025-03-30T01:00:00+00:00",
        ),
    ],
)
def test_an_instant_is_read_in_the_zone(text: str, name: str, down: str, up: str) -> None:
    zone = parse_zone(name)
    found = parse_instant(text, zone)
    assert (EPOCH + found.rounded_down() * QUARTER).isoformat() == down
    assert (EPOCH + found.rounded_up() * QUARTER).isoformat() == up


def test_days_that_begin_within_a_quarter_have_no_quarter_in_common() -> None:
    # 44 min 30 s behind UTC until 1972.
    monrovia = parse_zone("Africa/Monrovia")
    noon = parse_instant("1971-05-02", monrovia)
    assert noon.second % QUARTER_SECONDS != 0
    assert noon.rounded_up() == noon.rounded_down()
    assert starts("day", "Africa/Monrovia", "1971-05-01", "1971-05-02") == [
        "1971-04-30T23:45:30-00:44:30",
        "1971-05-01T23:45:30-00:44:30",
    ]


def test_instants_differ_to_the_nanosecond() -> None:
    first, second = (parse_instant(f"2025-04-30T10:15:00.{each}", UTC) for each in ("05", "1"))
    assert first.is_before(second)
    assert not second.is_before(first)
    assert not first.is_before(first)
    assert not Instant(0, 0).is_before(Instant(0, 0, is_day=True))


@pytest.mark.parametrize(
    "text",
    ["", "now", "2025-02-30", "2025-04-30T", "2025-04-30T25:00:00", "1969-12-31", "9999-01-01"],
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(BadInstant):
        parse_instant(text, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CET",
        "EST",
        "EST5EDT",
        "utc",
        "Europe/berlin",
        "+5:30",
        "+05:60",
        "+19:00",
        "../UTC",
        "5",
    ],
)
def test_an_unknown_zone_is_refused(text: str) -> None:
    with pytest.raises(UnknownZone, match="IANA name"):
        parse_zone(text)


def test_the_zone_data_is_the_pinned_one() -> None:
    assert VERSION.startswith("20")
    assert parse_zone("-18:00").utcoffset(None) == timedelta(hours=-18)
    assert parse_zone("Pacific/Kiritimati").utcoffset(EPOCH.replace(tzinfo=None)) is not None
