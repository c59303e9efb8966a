"""Every zone, every change of its offset since 1980: buckets as by walking a clock.

`FUZZ_ZONES=all` compares every zone of the zone data, a quarter of an hour; else some, and those
that are known for what they do.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from importlib import resources

import pytest

from api.query.time_buckets import edges
from api.query.time_zones import names, parse_zone
from tests.property.buckets_by_walking import INTERVALS, beginnings, moment, quarter, transitions

FIRST, END = datetime(1980, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
#: Around a change: a week has its Monday within it, whatever the day.
MARGIN = timedelta(days=8)
KNOWN = (
    "Africa/Cairo", "Africa/Casablanca", "America/Havana", "America/Sao_Paulo", "America/St_Johns",
    "America/Toronto", "Antarctica/Troll", "Asia/Beirut", "Asia/Kathmandu", "Asia/Kolkata",
    "Australia/Adelaide", "Australia/Lord_Howe", "Europe/Berlin", "Pacific/Apia",
    "Pacific/Chatham", "Pacific/Kwajalein", "UTC",
)  # fmt: skip
SHARE = sorted(names())[7::120]
ALL = os.environ.get("FUZZ_ZONES") == "all"
#: In `make test` each zone's changes are thinned out: rules repeat from year to year.
EACH = 1 if ALL else 59


def different_zones() -> list[str]:
    """Every zone of the zone data once: half of the names stand for another one."""
    data = resources.files("tzdata.zoneinfo")
    by_rules = {data.joinpath(*name.split("/")).read_bytes(): name for name in sorted(names())}
    return sorted(by_rules.values())


ZONES = different_zones() if ALL else sorted({*KNOWN, *SHARE})


@pytest.mark.timeout(7200 if ALL else 60)
def test_buckets_are_those_of_a_walked_clock(capsys: pytest.CaptureFixture[str]) -> None:
    compared = changes = 0
    for name in ZONES:
        zone = parse_zone(name)
        found = list(transitions(zone, FIRST, END))
        for change in found[::EACH] or [FIRST]:
            changes += 1
            first = moment(quarter(change - MARGIN))
            end = moment(quarter(change + MARGIN))
            by_walking = beginnings(zone, first, end)
            for interval in INTERVALS:
                walked = [quarter(at) for at in by_walking[interval]]
                ours = edges(interval, zone, quarter(first), quarter(end))
                inside = [edge for edge in ours if quarter(first) <= edge < quarter(end)]
                assert inside == walked, f"{interval} of {name} around {change.isoformat()}"
                assert ours[0] <= quarter(first), (interval, name)
                assert ours[-1] >= quarter(end), (interval, name)
                compared += len(walked)
    with capsys.disabled():
        print(
            f" {compared:,} edges, {changes:,} changes of {len(ZONES)} zones: 0 differences", end=""
        )
    assert compared > 10_000
