"""From a view version without series to one with it, and back, under traffic: totals stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.broker.java import check_broker_parts
from tests.e2e.poller import Poller
from tests.e2e.running_up import RunningUp
from tests.e2e.test_replay import Energy
from tests.fault.fleet import Fleet
from tests.http_client import get
from tests.kafka import wait_until

pytestmark = pytest.mark.timeout(240)

LISTING = "/v0/pipes/energy_consumption_by_device.csv?exact=true"
OVER_TIME = "/v0/pipes/energy_consumption_over_time.json"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[RunningUp]:
    check_broker_parts(print)
    up = RunningUp(tmp_path / "home", ENERGY_SERIES="off")
    try:
        up.wait_ready()
        yield up
    finally:
        up.kill()


def test_a_replay_that_adds_the_series_changes_no_total_on_the_way_there_and_back(
    up: RunningUp,
) -> None:
    energy, token = Energy(up), (up.home / "admin_token").read_text().strip()
    fleet = Fleet(energy.kafka.bootstrap_servers, seed=8, rate=300, devices=60)
    fleet.publish(3_000)
    fleet.start()
    devices = ["hot", *(f"device_{number}" for number in range(9))]
    wait_until(lambda: all(up.get(f"/v0/devices/{each}") for each in devices), "all are known")
    poller = Poller(up.api_port, token, devices).start()
    assert get(up.api_port, OVER_TIME, token).status == 404

    energy.run("replay", "start", "--series", "on", "--promote")
    wait_until(lambda: poller.versions[-1] == "2", "2 is served", 60)
    energy.run("replay", "promote", "--back", "--wait", "30")
    wait_until(lambda: poller.versions[-1] == "1", "1 is served again", 60)

    fleet.finish()
    energy.wait_applied(up)
    bodies = [get(up.api_port, LISTING, token).text]
    for at, arguments in ((2, ()), (1, ("--back",))):
        energy.run("replay", "promote", *arguments, "--wait", "60")
        wait_until(lambda at=at: poller.versions[-1] == str(at), f"{at} is served", 60)
        bodies.append(get(up.api_port, LISTING, token).text)
        if at == 2:
            energy.run("check")
            assert get(up.api_port, OVER_TIME, token).status == 200
    poller.stop()
    print(f"{poller.answers} answers, {len(bodies[0])} bytes of {bodies[0].count(chr(10))} devices")
    energy.close()
    assert bodies[0].count("\n") > len(devices)
    assert bodies[0] == bodies[1] == bodies[2]
    assert (poller.regressions, poller.errors) == ([], [])
    assert poller.versions == ["1", "2", "1", "2", "1"]
