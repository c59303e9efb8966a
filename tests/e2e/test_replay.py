"""`energy replay` beside a stack that is written to and read from all the time."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO

import pytest
from confluent_kafka import KafkaException

from local_stack.broker.java import check_broker_parts
from tests.e2e.poller import Poller
from tests.e2e.running_up import ENERGY, RunningUp
from tests.fault.fleet import Fleet, Oracle
from tests.http_client import get
from tests.kafka import Kafka, wait_until

pytestmark = pytest.mark.timeout(240)

NO_ROWS = "/v0/pipes/energy_consumption_by_device.json?limit=0"
HISTORY = 6_000
LIVE_RATE = 300


class Energy:
    """Commands beside a running stack."""

    def __init__(self, up: RunningUp) -> None:
        self.kafka = Kafka(f"127.0.0.1:{up.broker_port}")
        self.environ = up.environ | {"KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers}
        self.home = up.home
        self._started: list[subprocess.Popen[str]] = []
        self._logs: list[IO[str]] = []

    def run(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [*ENERGY, *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {done}"
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        log = (self.home / f"start-{len(self._started)}.log").open("w")
        self._logs.append(log)
        process = subprocess.Popen(
            [*ENERGY, *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def last_said(self) -> str:
        """What the command that was started last has printed."""
        return Path(self._logs[-1].name).read_text()

    def building(self) -> int:
        """The number of the version that the command started last builds."""
        found = wait_until(
            lambda: re.search(r"view version (\d+): begun", self.last_said()), "it has begun", 60
        )
        return int(found[1])

    def applied(self, version: int) -> int:
        """How many offsets a version has applied, by its changelog."""
        last: dict[int, int] = {}
        with suppress(KafkaException, KeyError):  # the topic is just being made
            for record in self.kafka.read(changelog(version)):
                if record.key() == b"\0applied":
                    last[record.partition()] = json.loads(record.value())["applied_offset"] + 1
        return sum(last.values())

    def wait_applied(self, up: RunningUp) -> None:
        """Wait until totals show all of the log; the lag may be one of a moment ago."""
        ends = self.kafka.end_offsets("energy_consumption")
        token = (up.home / "admin_token").read_text().strip()

        def are_shown() -> bool:
            shown = get(up.api_port, NO_ROWS, token).headers["X-Applied-Offsets"] or ""
            pairs = [pair.split(":") for pair in shown.split(",") if pair]
            applied = {int(partition): int(offset) for partition, offset in pairs}
            return all(applied.get(partition, -1) >= end - 1 for partition, end in ends.items())

        wait_until(are_shown, f"all is applied: {ends}", 60)

    def topics(self) -> set[str]:
        return set(self.kafka.admin().list_topics(timeout=10).topics)

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()
        for log in self._logs:
            log.close()
            print(f"== {log.name}\n{Path(log.name).read_text()[-3000:]}")


def changelog(version: int) -> str:
    return f"energy-v{version}-device_totals-changelog"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    """One stack for those of this process: the numbers of versions are asked for."""
    check_broker_parts(print)
    up = RunningUp(tmp_path_factory.mktemp("replay") / "home")
    try:
        up.wait_ready()
        yield up
    finally:
        up.kill()


@pytest.fixture(scope="module")
def history() -> Oracle:
    """What both have published to the one log."""
    return Oracle()


@pytest.fixture
def energy(up: RunningUp) -> Iterator[Energy]:
    energy = Energy(up)
    yield energy
    energy.close()


def exact_totals(up: RunningUp, devices: list[str]) -> dict[str, tuple[Fraction, int]]:
    found = {}
    for device in devices:
        answer = up.get(f"/v0/devices/{device}")
        found[device] = (Fraction(answer["total_energy_consumed_exact"]), answer["readings"])
    return found


def test_x34_aborted_while_it_runs_nothing_is_left_and_nothing_else_changed(
    up: RunningUp, energy: Energy, history: Oracle
) -> None:
    fleet = Fleet(energy.kafka.bootstrap_servers, seed=34, devices=60)
    fleet.oracle = history
    fleet.publish(3_000)
    oracle = fleet.finish()
    topics = energy.topics()
    replay = energy.start("replay", "start", "--max-rate", "500")
    version = energy.building()
    wait_until(lambda: energy.applied(version) > 0, "the replay moves", 60)
    energy.run("replay", "abort")
    assert replay.wait(20) == 0
    assert energy.topics() == topics
    assert not (up.home / f"replay-v{version}").exists()
    assert "nothing is being built" in energy.run("replay", "abort")
    assert "nothing is being built" in energy.run("replay", "promote", code=1)
    expected = {device: (total, oracle.counts[device]) for device, total in oracle.totals.items()}
    assert exact_totals(up, sorted(expected)) == expected
    found = json.loads(energy.run("replay", "status", "--json"))
    assert (found["view_version"], found["version"], found["differences"]) == (1, None, None)


def test_x32_replayed_under_kills_and_traffic_readers_see_one_switch_and_no_step_back(
    up: RunningUp, energy: Energy, history: Oracle
) -> None:
    fleet = Fleet(energy.kafka.bootstrap_servers, seed=32, rate=LIVE_RATE, devices=60)
    fleet.oracle = history
    fleet.publish(HISTORY)
    fleet.start()
    token = (up.home / "admin_token").read_text().strip()
    devices = ["hot", *(f"device_{number}" for number in range(19))]
    wait_until(lambda: all(up.get(f"/v0/devices/{each}") for each in devices), "all are known")
    poller = Poller(up.api_port, token, devices).start()

    replay = energy.start("replay", "start", "--workers", "2", "--max-rate", "500")
    version = energy.building()
    wait_until(lambda: energy.applied(version) > 0, "the replay moves", 60)
    assert replay.poll() is None
    replay.kill()
    replay.wait()
    at = energy.applied(version)
    end = sum(energy.kafka.end_offsets("energy_consumption").values())
    assert 0 < at < 0.9 * end, f"it was killed on its way, not at {at} of {end}"
    assert "records behind" in energy.run("replay", "promote", code=1)
    replay = energy.start("replay", "start", "--promote")
    wait_until(lambda: "continuing" in energy.last_said(), "it has the lock, and continues", 60)
    refused = energy.run("replay", "start", code=2)
    assert "another `energy replay start` runs" in refused
    wait_until(lambda: str(version) in poller.versions, f"{version} is served, it was at {at}", 90)
    wait_until(lambda: replay.poll() is not None, "others took over and it ended", 60)
    assert replay.returncode == 0
    assert "filling the stores before joining the group" in up.text

    began = time.time()
    energy.run("replay", "promote", "--back", "--wait", "30")
    wait_until(lambda: poller.versions[-1] == "1", "version 1 is served again", 30)
    print(f"back after {poller.seen_at[-1] - began:.2f} s, the command and its start included")
    assert "live already" in energy.run("replay", "promote", "--back")
    energy.run("replay", "promote", "--wait", "30")
    wait_until(lambda: poller.versions[-1] == str(version), f"{version} is served for good", 30)
    energy.run("replay", "drop-old")

    oracle = fleet.finish()
    energy.wait_applied(up)
    poller.stop()
    assert poller.regressions == []
    assert poller.errors == []
    assert set(poller.statuses) <= {200, 304}
    assert poller.versions == ["1", str(version), "1", str(version)]
    expected = {device: (total, oracle.counts[device]) for device, total in oracle.totals.items()}
    assert exact_totals(up, sorted(expected)) == expected
    print(f"{poller.answers} answers, {oracle.acknowledged()} records acknowledged")
    assert changelog(1) not in energy.topics()
    assert not (up.home / f"replay-v{version}").exists()
    assert not list(up.home.glob("*/energy-v1"))
    code, _ = up.end(signal.SIGTERM)
    assert code == 0
