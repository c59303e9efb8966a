"""The simulated home: valid, in order of time, the same for a seed; its oracle of quarters."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contract.decoding import decode_readings
from contract.errors import SettingError
from producer.fleet.beginning import beginning
from producer.fleet.home import Home
from producer.fleet.oracle import Oracle
from producer.fleet.simulate import SimulateOptions
from producer.fleet.simulated import Simulated
from producer.settings import ProducerSettings

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=7)


def home(**overrides: Any) -> Home:
    return Home(
        **{"devices": 24, "seed": 7, "start": START, "every": 900, "now": lambda: NOW, **overrides}
    )


def all_of(fleet: Home, most: int = 777) -> Simulated:
    whole = Simulated([], [], [])
    while (some := fleet.take(most)).values:
        whole.extend(some)
    return whole


def test_a_week_ends_at_the_present_in_order_of_time_with_every_reading_valid():
    made = all_of(home())
    readings, rejected = decode_readings(made.values)
    assert not rejected
    assert [r.energy_consumed for r in readings] == made.energies
    assert [r.device_id.encode() for r in readings] == made.keys
    stamps = [r.timestamp for r in readings]
    assert stamps == sorted(stamps)
    assert (stamps[0], stamps[-1]) == ("2025-01-01 00:00:00", "2025-01-07 23:45:00")
    counts = defaultdict(int)
    for key in made.keys:
        counts[key] += 1
    assert len(counts) == 24
    assert counts[b"desk"] == 3 * 96 + 1, "it falls silent"
    assert all(number == 7 * 96 for key, number in counts.items() if key != b"desk")
    solar = [r.energy_consumed for r in readings if r.device_id == "solar-roof"]
    assert min(solar) < 0


def test_the_same_seed_gives_the_same_bytes_however_they_are_taken():
    assert all_of(home(), 1) == all_of(home(), 9999)
    assert all_of(home()) != all_of(home(seed=8))


def test_so_many_readings_are_made_whatever_the_present_is():
    made = all_of(home(readings=30_000, devices=3, every=60))
    assert len(made.values) == 30_000


def test_after_the_past_come_readings_of_now():
    fleet = home(live_every=2.0)
    past = 0
    while fleet.is_of_the_past:
        past += len(fleet.take(5000).values)
    assert past == len(all_of(home()).values), "the present does not come with the past"
    made = fleet.take(48)
    readings, _ = decode_readings(made.values)
    assert len(readings) == 48
    assert {r.timestamp for r in readings} == {"2025-01-08 00:00:00"}
    router = next(r for r in readings if r.device_id == "router")
    assert router.energy_consumed < 1, "two seconds of 12 W, not a quarter of an hour"


def test_bad_values_come_in_addition():
    made = all_of(home(bad=0.01))
    good, rejected = decode_readings(made.values)
    assert len(good) == len(all_of(home()).values)
    assert abs(len(rejected) / len(made.values) - 0.01) < 0.001
    assert made.energies.count(None) == len(rejected)


def test_the_oracle_has_the_sum_of_every_quarter(tmp_path: Path):
    made = all_of(home(every=420))
    oracle = Oracle(with_quarters=True)
    failed = made.values[::5]
    oracle.add(made, failed)
    oracle.write_quarters(tmp_path / "quarters.json")
    expected: dict[tuple[str, str, str], list[Any]] = {}
    for place, value in enumerate(made.values):
        if place % 5 == 0:
            continue
        reading = json.loads(value or b"", parse_float=Decimal)
        at = datetime.fromisoformat(reading["timestamp"])
        at -= timedelta(minutes=at.minute % 15, seconds=at.second)
        key = reading["device_id"], reading["location"], f"{at:%Y-%m-%dT%H:%MZ}"
        cell = expected.setdefault(key, [Decimal(0), 0])
        cell[0] += reading["energy_consumed"]
        cell[1] += 1
    found = json.loads((tmp_path / "quarters.json").read_text())
    flat = {
        (device, location, quarter): [Decimal(total), count]
        for device, places in found.items()
        for location, quarters in places.items()
        for quarter, (total, count) in quarters.items()
    }
    assert flat == expected


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-01", START),
        ("2025-01-01T02:00:00+02:00", START),
        ("-7d", START),
        ("-168h", START),
        ("-0h", NOW),
    ],
)
def test_a_beginning_is_a_time_or_how_long_ago(text: str, moment: datetime):
    assert beginning(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "-7", "-7w", "1969-12-31", "2106-01-01", ""])
def test_s20_a_beginning_that_is_none_is_refused(text: str):
    with pytest.raises(SettingError, match=r"^--from: must be "):
        beginning(text, NOW)


@pytest.mark.parametrize("every", [0.0, -1.0, float("nan"), 1e9])
def test_s20_a_cadence_out_of_range_is_refused(every: float):
    with pytest.raises(SettingError, match=r"^--every: must be "):
        SimulateOptions(ProducerSettings.load({}), start=START, every=every)
