"""A fleet's readings over the whole road: every device over HTTP equals what Kafka acknowledged.

The oracle is the file that `energy simulate` writes; the checker here knows json and decimals.
"""

import json
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.running_up import ENERGY, RunningUp, UpFactory
from tests.kafka import Kafka, wait_until

READINGS = 30_000
BAD = 0.01


@pytest.mark.parametrize("key", ["murmur2", "crc32", "none"])
def test_every_device_equals_the_oracle_and_every_bad_record_is_quarantined_once(
    up_factory: UpFactory, tmp_path: Path, key: str
) -> None:
    up = up_factory("--workers", "2")
    up.wait_ready()
    oracle = tmp_path / "oracle.json"
    simulate(up, "--key", key, "--oracle", str(oracle))
    expected: dict[str, str] = json.loads(oracle.read_text())

    totals = wait_until(lambda: totals_when_caught_up(up), "all readings are counted", 60)
    assert totals == {device: float(Decimal(total)) for device, total in expected.items()}
    readings = 0
    for device, total in expected.items():
        answer = up.get(f"/v0/devices/{quote(device, safe='')}")
        assert answer["total_energy_consumed_exact"] == total, device
        readings += answer["readings"]
    assert readings == READINGS

    quarantined = Kafka(f"127.0.0.1:{up.broker_port}").read("energy_consumption_quarantine")
    origins = [place_of(json.loads(record.value() or b"")) for record in quarantined]
    assert len(origins) == len(set(origins)) == round(READINGS * BAD / (1 - BAD))


def simulate(up: RunningUp, *arguments: str) -> None:
    subprocess.run(
        [
            *ENERGY,
            "simulate",
            *("--readings", str(READINGS), "--devices", "300", "--seed", "7", "--bad", str(BAD)),
            *arguments,
        ],
        env={**up.environ, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{up.broker_port}"},
        check=True,
        timeout=60,
        capture_output=True,
    )


def totals_when_caught_up(up: RunningUp) -> dict[str, float] | None:
    """The listing, once the worker has applied all there is; None before."""
    status = subprocess.run(
        [*ENERGY, "status", "--json"],
        env={**up.environ, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{up.broker_port}"},
        check=True,
        timeout=30,
        capture_output=True,
    )
    if any(partition["lag_records"] for partition in json.loads(status.stdout)["partitions"]):
        return None
    ready = up.get("/ready")
    if ready is None or ready["lag_records"] != 0:
        return None
    listing = up.get("/v0/pipes/energy_consumption_by_device.json")
    return {row["device_id"]: row["total_energy_consumed"] for row in listing["data"]}


def place_of(record: dict[str, Any]) -> tuple[int, int]:
    return record["__partition"], record["__offset"]
