"""The whole road at full size, under kills and an outage; prints one JSON line for each row.

`python -m tests.benchmarks.pipeline_rows kills --readings 1000000 --rate 20000`

    keys     keyed by murmur2, by CRC32 and not at all, nobody killed
    kills    the worker killed ten times at random moments
    lost     the same, its state directory deleted each time
    joins    three more workers joining, leaving and killed, ten ends in all
    outage   the broker stopped for 30 s under load, with a POST twice a second

The fleet is `energy simulate --seed 7 --bad 0.01`, whose oracle is what Kafka acknowledged; each
device and each quarantined record is held against it over HTTP and from the topic. The checker
knows json and fractions only. Ends 0 only if nothing differs.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from local_stack.broker.process import LocalBroker
from tests.e2e.running_up import ENERGY, RunningUp
from tests.kafka import Kafka, wait_until

QUARANTINE = "energy_consumption_quarantine"
DEVICES = 1_000
BAD = 0.01
ENDS = 10
OUTAGE_SECONDS = 30
SETTLED_SECONDS = 120
READING = (
    '{"timestamp": "2025-04-30 10:11:21", "device_id": "posted", "energy_consumed": 0.25, '
    '"location": "Hall"}'
)


class Road:
    """`energy up` and a fleet that publishes to it."""

    def __init__(self, up: RunningUp, bootstrap_servers: str, readings: int, rate: int) -> None:
        self.up, self.readings, self.rate = up, readings, rate
        self.kafka = Kafka(bootstrap_servers)
        self.environ = up.environ | {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers}
        self.oracle = up.home.with_name("oracle.json")
        self.published: dict[str, Any] = {}

    def simulate(self, *arguments: str) -> subprocess.Popen[str]:
        fleet = ["--readings", self.readings, "--devices", DEVICES, "--seed", 7, "--bad", BAD]
        pace = ["--rate", self.rate] if self.rate else []
        return subprocess.Popen(
            [
                *ENERGY,
                "simulate",
                "--json",
                *map(str, [*fleet, *pace, "--oracle", self.oracle]),
                *arguments,
            ],
            env=self.environ,
            stdout=subprocess.PIPE,
            text=True,
        )

    def finish(self, fleet: subprocess.Popen[str]) -> None:
        """Wait for the fleet's end and until the API shows all there is."""
        told, _ = fleet.communicate(timeout=600)
        self.published = json.loads(told)
        wait_until(self.is_settled, "the API shows all there is", SETTLED_SECONDS)

    def is_settled(self) -> bool:
        if any(partition["lag_records"] != 0 for partition in self.status()["partitions"]):
            return False
        ready = self.up.get("/ready")
        return ready is not None and ready["lag_records"] == 0

    def status(self) -> dict[str, Any]:
        told = subprocess.run(
            [*ENERGY, "status", "--json"],
            env=self.environ, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(told.stdout)
        return found

    def verdict(self, posted: int = 0, unknown: int = 0) -> dict[str, int]:
        """Each must be 0; `posted` readings of 0.25, and some of `unknown`, came over HTTP."""
        expected = {
            device: Fraction(total) for device, total in json.loads(self.oracle.read_text()).items()
        }
        if posted:
            beside = self.up.get("/v0/devices/posted")["readings"]
            posted = min(max(beside, posted), posted + unknown)
            expected["posted"] = Fraction(posted, 4)
        wrong = counted = 0
        for device, total in expected.items():
            found = self.up.get(f"/v0/devices/{quote(device, safe='')}")
            wrong += found is None or Fraction(found["total_energy_consumed_exact"]) != total
            counted += found["readings"] if found else 0
        listing = self.up.get("/v0/pipes/energy_consumption_by_device.json")
        bad = self.published["bad_sent"]
        places = Counter(
            (row["__partition"], row["__offset"])
            for record in self.kafka.read(QUARANTINE)
            for row in [json.loads(record.value() or b"")]
        )
        return {
            "devices_wrong": wrong,
            "devices_too_many": len(listing["data"]) - len(expected),
            "readings_difference": counted - (self.published["acknowledged"] - bad) - posted,
            "quarantine_difference": len(places) - bad,
            "quarantined_twice": sum(times - 1 for times in places.values()),
        }


def worker_of(up: RunningUp) -> psutil.Process:
    return up.part("stream_app", f"STREAM_APP_DATADIR={up.home}/worker-0")


def kill(road: Road, chance: random.Random, *, lose: bool) -> dict[str, Any]:
    """Kill the worker of `up` again and again while the fleet publishes."""
    fleet = road.simulate()
    lasts = road.readings / road.rate if road.rate else 10.0
    killed = 0
    while killed < ENDS:
        time.sleep(chance.uniform(0.3, 1.7) * lasts / ENDS)  # the moment is the test
        worker = worker_of(road.up)
        directory = Path(worker.environ()["STREAM_APP_DATADIR"])
        worker.send_signal(signal.SIGKILL)
        if lose:
            psutil.wait_procs([worker], timeout=10)
            shutil.rmtree(directory, ignore_errors=True)
        killed += 1
    still_publishing = fleet.poll() is None
    road.finish(fleet)
    return {"kills": killed, "fleet_outlived_them": still_publishing}


def join(road: Road, chance: random.Random) -> dict[str, Any]:
    """Three more workers, which join, leave by SIGTERM or are killed, at random moments."""
    fleet = road.simulate()
    lasts = road.readings / road.rate if road.rate else 10.0
    joined: dict[int, subprocess.Popen[bytes]] = {}
    ended: Counter[str] = Counter()
    owners: set[str] = set()
    while sum(ended.values()) < ENDS:
        for place in set(range(3)) - set(joined):
            directory = road.up.home.with_name(f"joined-{place}")
            joined[place] = subprocess.Popen(
                [*ENERGY, "worker"],
                env=road.environ | {"STREAM_APP_DATADIR": str(directory)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        time.sleep(chance.uniform(0.3, 1.7) * lasts / ENDS)  # the moment is the test
        owners |= {str(p["owner"]) for p in road.status()["partitions"] if p["owner"]}
        place = chance.choice(sorted(joined))
        leaving = joined.pop(place)
        leaving.send_signal(how := chance.choice([signal.SIGTERM, signal.SIGKILL]))
        leaving.wait(40)
        ended[how.name] += 1
    told = subprocess.run(
        [*ENERGY, "status"], env=road.environ, capture_output=True, text=True, check=False
    )
    print(told.stdout)
    road.finish(fleet)
    for each in joined.values():
        each.terminate()
    ends = [each.wait(40) for each in joined.values()]
    return {"ended": dict(ended), "owners_seen": len(owners), "last_ends": ends}


def post(port: int, token: str) -> tuple[int, float]:
    """POST one reading and wait for its acknowledgement; (status, seconds), 0 for no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.monotonic()
    try:
        path = "/v0/events?name=energy_consumption&wait=true"
        connection.request("POST", path, READING, {"Authorization": f"Bearer {token}"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        status = 0
    finally:
        connection.close()
    return status, time.monotonic() - began


def outage(road: Road, broker: LocalBroker) -> dict[str, Any]:
    """Stop the broker for half a minute while the fleet publishes and a client posts."""
    fleet = road.simulate()
    token = (road.up.home / "admin_token").read_text().strip()
    answers: list[tuple[int, float]] = [post(road.up.api_port, token)]
    time.sleep(3)
    broker.stop()
    until = time.monotonic() + OUTAGE_SECONDS
    meanwhile: list[tuple[int, float]] = []
    while time.monotonic() < until:
        meanwhile.append(post(road.up.api_port, token))
        time.sleep(0.5)
    broker.start()
    broker.wait_ready(60)
    began = time.monotonic()
    wait_until(lambda: post_ok(road, token, answers), "a POST is accepted again", 60)
    accepted_after = time.monotonic() - began
    road.finish(fleet)
    return {
        "during_the_outage": dict(Counter(status for status, _ in meanwhile)),
        "slowest_answer_seconds": round(max(took for _, took in meanwhile), 1),
        "accepted_again_after_seconds": round(accepted_after, 1),
        "posted": sum(status == 200 for status, _ in answers + meanwhile),
        "unknown": sum(status not in (200, 503) for status, _ in answers + meanwhile),
    }


def post_ok(road: Road, token: str, answers: list[tuple[int, float]]) -> bool:
    answers.append(post(road.up.api_port, token))
    return answers[-1][0] == 200


def run(row: str, readings: int, rate: int, seed: int, key: str) -> dict[str, Any]:
    """Run one row in a stack of its own."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rows-")))
        broker = LocalBroker(directory / "broker", 0)
        if row == "outage":
            stack.enter_context(broker)
            bootstrap = broker.bootstrap_servers
            up = RunningUp(directory / "home", "--no-broker", KAFKA_BOOTSTRAP_SERVERS=bootstrap)
        else:
            up = RunningUp(directory / "home")
            bootstrap = f"127.0.0.1:{up.broker_port}"
        stack.callback(up.kill)
        up.wait_ready()
        road = Road(up, bootstrap, readings, rate)
        chance = random.Random(seed)
        found: dict[str, Any] = {}
        if row == "keys":
            road.finish(road.simulate("--key", key))
            found["key"] = key
        elif row == "joins":
            found = join(road, chance)
        elif row == "outage":
            found = outage(road, broker)
        else:
            found = kill(road, chance, lose=row == "lost")
        found["acknowledged"] = road.published["acknowledged"]
        return found | road.verdict(found.get("posted", 0), found.get("unknown", 0))


ROWS: dict[str, Callable[[], list[str]]] = {
    "keys": lambda: ["murmur2", "crc32", "none"],
    "kills": lambda: [""],
    "lost": lambda: [""],
    "joins": lambda: [""],
    "outage": lambda: [""],
}
MUST_BE_0 = (
    "devices_wrong",
    "devices_too_many",
    "readings_difference",
    "quarantine_difference",
    "quarantined_twice",
)


def main() -> int:
    """Run the rows asked for, print, and return the exit code."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("rows", nargs="+", choices=list(ROWS))
    arguments.add_argument("--readings", type=int, default=1_000_000)
    arguments.add_argument("--rate", type=int, default=0, help="readings/s; 0: as fast as taken")
    arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2)))
    options = arguments.parse_args()
    is_wrong = False
    for row in options.rows:
        for key in ROWS[row]():
            found = run(row, options.readings, options.rate, options.seed, key)
            print(json.dumps({"row": row, "seed": options.seed, **found}), flush=True)
            is_wrong |= any(found[name] != 0 for name in MUST_BE_0)
    return 1 if is_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
