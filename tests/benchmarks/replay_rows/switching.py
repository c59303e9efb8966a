"""Promotions: under traffic, under kills, in a storm of rebalances, to other rules and back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from tests.benchmarks.replay_rows.stack import LONG_SECONDS, Stack, report, stack_of
from tests.e2e.poller import Poller
from tests.fault.fleet import READINGS, Fleet
from tests.kafka import Kafka, wait_until
from tests.oracle import judge


def verdict(poller: Poller) -> dict[str, Any]:
    return {
        "regressions": len(poller.regressions),
        "errors": len(poller.errors),
        "statuses": dict(poller.statuses),
        "versions": list(poller.versions),
        "pauses_seconds": {p: round(s, 2) for p, s in sorted(poller.pauses.items())},
    }


def pointer_at(kafka: Kafka) -> float:
    """When the newest pointer was written."""
    pointers = [record for record in kafka.read("energy_views") if record.key() == b"live"]
    return pointers[-1].timestamp()[1] / 1000


def switch(readings: int, live: int) -> None:
    with stack_of(readings) as stack:
        fleet = Fleet(stack.kafka.bootstrap_servers, seed=5, rate=live).start()
        poller = stack.poller()
        replay, _ = stack.start("replay", "start", "--promote")
        wait_until(lambda: "2" in poller.versions, "version 2 is served", LONG_SECONDS)
        wait_until(lambda: replay.poll() is not None, "the replay has ended", LONG_SECONDS)
        built = verdict(poller)
        for back in (True, False):
            seen = len(poller.versions)
            wait = ["--wait", "30"] + (["--back"] if back else [])
            stack.run("replay", "promote", *wait)
            wait_until(lambda: len(poller.versions) > seen, "the other is served", 60)  # noqa: B023
            took = poller.seen_at[-1] - pointer_at(stack.kafka)
            report("4 back" if back else "4 forward", pointer_to_served_seconds=round(took, 3))
        fleet.finish()
        stack.wait_caught_up()
        digests = json.loads(stack.run("replay", "status", "--json", "--digest"))["digests"]
        poller.stop()
        report(
            "1",
            readings=readings,
            live=live,
            acknowledged=fleet.oracle.acknowledged(),
            wrong_devices=stack.wrong_devices(fleet),
            replay_exit=replay.returncode,
            digests_equal=len(set(digests.values())) == 1,
            until_promoted=built,
            at_the_end=verdict(poller),
        )


def kills(readings: int, live: int) -> None:
    with stack_of(readings) as stack:
        fleet = Fleet(stack.kafka.bootstrap_servers, seed=6, rate=live).start()
        reached = []
        # A hundredth is less than one fetch of the usual size, and gone within a second.
        for share, seconds, fetch_bytes in (
            (0.01, 150, 65_536),
            (0.5, 30, 2**21),
            (0.99, 30, 2**21),
        ):
            replay, _ = stack.start(
                *("replay", "start", "--workers", "2", "--max-rate", str(readings // seconds)),
                STREAM_APP_FETCH_BYTES=str(fetch_bytes),
            )
            wait_until(lambda: stack.share() >= share, f"{share} is built", LONG_SECONDS)  # noqa: B023
            replay.kill()
            replay.wait()
            reached.append(round(stack.share(), 3))
        report("2 replay killed", at=reached, live_version=stack.live_version())
        parts: dict[str, Callable[[], Any]] = {
            "worker": lambda: stack.up.part("stream_app", "STREAM_APP_DATADIR=", "worker-0").kill(),
            "api": lambda: stack.up.part("local_stack.die_with_parent", " api").kill(),
            "broker": lambda: stack.up.part("kafka.Kafka").kill(),
        }
        for name, kill in parts.items():
            replay, _ = stack.start("replay", "start")
            wait_until(stack.is_gate_open, "the gate is open", LONG_SECONDS)
            before = stack.live_version()
            promoting, log = stack.start("replay", "promote", "--wait", "60")
            threading.Timer(1.0, kill).start()
            code = promoting.wait(120)
            time.sleep(5)
            wait_until(lambda: _answers(stack), "it serves again", LONG_SECONDS)
            after = stack.live_version()
            if after == before:
                stack.run("replay", "promote", "--wait", "60")
            replay.wait(LONG_SECONDS)
            stack.wait_caught_up()
            report(
                f"2 {name} killed during promote",
                promote_exit=code,
                said=log.read_text().strip()[-160:],
                replay_exit=replay.returncode,
                before=before,
                after=after,
                now=stack.live_version(),
            )
            stack.run("replay", "drop-old")
        fleet.finish()
        stack.wait_caught_up()
        report("2", wrong_devices=stack.wrong_devices(fleet), unknown=fleet.oracle.unknown)


def _answers(stack: Stack) -> bool:
    return stack.up.get("/ready") is not None and not stack.status()["problems"]


#: Python runs it before anything else of a process that has it on its path.
OTHER_RULES = """
import contract.views
from contract.device_totals import DEVICE_TOTALS

counted = DEVICE_TOTALS.fold

def fold(readings, into):
    counted([reading for reading in readings if reading.energy_consumed >= 0], into)

vars(DEVICE_TOTALS)["fold"] = fold
views = contract.views
views.VIEWS_OF_RULES.clear()
views.VIEWS_OF_RULES["negatives-ignored"] = (DEVICE_TOTALS,)
views.RULES_WITH_SERIES["off"] = views.RULES_WITH_SERIES["on"] = "negatives-ignored"
"""


def storm(readings: int, live: int) -> None:
    """Promote while the live version's workers come and go."""
    with stack_of(readings) as stack:
        fleet = Fleet(stack.kafka.bootstrap_servers, seed=9, rate=live).start()
        poller = stack.poller()
        replay, _ = stack.start("replay", "start", "--workers", "2")
        wait_until(stack.is_gate_open, "the gate is open", LONG_SECONDS)
        stop = threading.Event()
        came_and_went: list[tuple[str, int]] = []
        guests = [
            threading.Thread(target=_come_and_go, args=(stack, number, stop, came_and_went))
            for number in (1, 2)
        ]
        for guest in guests:
            guest.start()
        wait_until(lambda: len(came_and_went) >= 5, "workers come and go", LONG_SECONDS)
        before = len(came_and_went)
        wait_until(lambda: len(came_and_went) > before, "one joins or leaves", LONG_SECONDS)
        stack.run("replay", "promote", "--wait", "120")
        wait_until(lambda: poller.versions[-1] == "2", "version 2 is served", LONG_SECONDS)
        during = came_and_went[before:]
        wait_until(lambda: len(came_and_went) >= before + 12, "they go on", LONG_SECONDS)
        stop.set()
        for guest in guests:
            guest.join()
        replay.wait(LONG_SECONDS)
        fleet.finish()
        stack.wait_caught_up()
        poller.stop()
        report(
            "promoted in a storm",
            came_and_went_during=during,
            exits=sorted({code for what, code in came_and_went if what == "went"}),
            came_and_went=len(came_and_went),
            replay_exit=replay.returncode,
            wrong_devices=stack.wrong_devices(fleet),
            **verdict(poller),
        )


def _come_and_go(
    stack: Stack, number: int, stop: threading.Event, came_and_went: list[tuple[str, int]]
) -> None:
    environ = {"STREAM_APP_DATADIR": str(stack.directory / f"guest-{number}")}
    while not stop.is_set():
        guest, log = stack.start("worker", **environ)
        wait_until(lambda: "working on" in log.read_text(), "the guest works", LONG_SECONDS)  # noqa: B023
        came_and_went.append(("came", number))
        stop.wait(1.0)
        guest.terminate()
        came_and_went.append(("went", guest.wait(60)))


def rules(readings: int, live: int) -> None:
    with stack_of(0) as stack:
        build = stack.directory / "other-rules"
        build.mkdir()
        (build / "sitecustomize.py").write_text(OTHER_RULES)
        fleet = Fleet(stack.kafka.bootstrap_servers, seed=4, rate=live, devices=300)
        fleet.publish(readings)
        fleet.start()
        devices = ["hot", *(f"device_{number}" for number in range(19))]
        wait_until(lambda: all(stack.up.get(f"/v0/devices/{d}") for d in devices), "all are known")
        poller = Poller(stack.up.api_port, stack.token, devices).start()
        stack.environ["PYTHONPATH"] = str(build)
        replay, _ = stack.start("replay", "start")
        wait_until(stack.is_gate_open, "the gate is open", LONG_SECONDS)
        found = json.loads(stack.run("replay", "status", "--json"))["differences"]
        stack.run("replay", "promote", "--wait", "30")
        wait_until(lambda: poller.versions[-1] == "2", "version 2 is served", 30)
        time.sleep(8)
        stack.run("replay", "promote", "--back", "--wait", "30")
        wait_until(lambda: poller.versions[-1] == "1", "version 1 is served again", 30)
        back = poller.seen_at[-1] - pointer_at(stack.kafka)
        stack.run("replay", "promote", "--wait", "30")
        fleet.finish()
        stack.wait_caught_up()
        exact = _positive_totals(stack.kafka)
        wrong = sum(
            Fraction(stack.up.get(f"/v0/devices/{device}")["total_energy_consumed_exact"]) != total
            for device, total in exact.items()
        )
        poller.stop()
        report(
            "4",
            differences={name: found[name] for name in ("devices", "sum", "readings")},
            not_compared=found["not_compared"],
            wrong_devices=wrong,
            devices=len(exact),
            back_seconds=round(back, 3),
            versions=poller.versions,
            statuses=dict(poller.statuses),
            replay_runs_on=replay.poll() is None,
        )
        replay.terminate()
        replay.wait(30)


def _positive_totals(kafka: Kafka) -> dict[str, Fraction]:
    totals: dict[str, Fraction] = {}
    for record in kafka.read(READINGS):
        found = judge(record.value())
        if found is not None and found.energy >= 0:
            totals[found.device_id] = totals.get(found.device_id, Fraction()) + found.energy
    return totals
