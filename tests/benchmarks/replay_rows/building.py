"""Builds: aborted in each state, in five ways to one digest, how fast, and what others feel."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import datetime

from tests.benchmarks import freshness
from tests.benchmarks.replay_rows.stack import (
    DEVICES,
    LONG_SECONDS,
    Stack,
    pipeline_of,
    report,
    stack_of,
)
from tests.fault.fleet import Fleet
from tests.kafka import wait_until


def abort(readings: int) -> None:
    with stack_of(readings) as stack:
        for state, share in (("begun", 0.0), ("on its way", 0.3), ("gate open", 1.0)):
            for is_killed in (False, True):
                before = _everything(stack)
                rate = str(max(1_000, readings // 10))
                replay, _ = stack.start("replay", "start", "--workers", "2", "--max-rate", rate)
                wait_until(lambda: _is_built(stack, share), state, LONG_SECONDS)  # noqa: B023
                if is_killed:
                    replay.kill()
                began = time.monotonic()
                stack.run("replay", "abort")
                took = time.monotonic() - began
                code = replay.wait(30)
                after = _everything(stack)
                left = {name: sorted(after[name] ^ before[name]) for name in before}
                report(
                    f"7 {state}{', killed' if is_killed else ''}",
                    differs={name: each for name, each in left.items() if each},
                    replay_exit=code,
                    abort_seconds=round(took, 1),
                )
        report("7", wrong_devices=stack.wrong_devices(None))


def _is_built(stack: Stack, share: float) -> bool:
    replay = stack.status()["replay"]
    return replay is not None and stack.share() >= share


def _everything(stack: Stack) -> dict[str, set[str]]:
    """Topics, groups and directories."""
    admin = stack.kafka.admin()
    groups = admin.list_consumer_groups().result(10).valid
    home = stack.up.home
    return {
        "topics": set(admin.list_topics(timeout=10).topics),
        "groups": {group.group_id for group in groups},
        "directories": {
            str(path.relative_to(home))
            for path in home.glob("**/")
            if path.relative_to(home).parts[:1] != ("broker",)
        },
    }


def same(readings: int) -> None:
    ways = [
        ("1", {"TZ": "UTC"}),
        ("2", {"TZ": "Asia/Kathmandu", "STREAM_APP_TARGET_READINGS": "1000"}),
        ("3", {"TZ": "America/St_Johns", "STREAM_APP_FETCH_BYTES": "65536"}),
        ("4", {"TZ": "Pacific/Apia", "STREAM_APP_FETCH_BYTES": "16777216"}),
        ("2", {"TZ": "Europe/Berlin", "STREAM_APP_TARGET_READINGS": "7"}),
    ]
    digests = []
    with stack_of(0) as stack:
        # Decimals of up to 60 digits, without keys too, bad records among them.
        fleet = Fleet(stack.kafka.bootstrap_servers, seed=8, devices=500)
        fleet.publish(readings)
        fleet.finish()
        stack.wait_caught_up()
        for workers, environ in ways:
            replay, _ = stack.start("replay", "start", "--workers", workers, **environ)
            wait_until(lambda: stack.share() == 1.0, "it is built", LONG_SECONDS)
            found = json.loads(stack.run("replay", "status", "--json", "--digest"))
            digests += found["digests"].values()
            if found["differences"]["devices"]:
                raise RuntimeError(f"{environ}: {found['differences']}")
            stack.run("replay", "abort")
            replay.wait(30)
        report("3", readings=readings, replays=len(ways), digests=sorted(set(digests)))


def speed(readings: int) -> None:
    with stack_of(readings) as stack:
        rates = []
        for version in range(2, 5):
            replay, log = stack.start("replay", "start")
            wait_until(lambda: stack.share() == 1.0, "it is built", LONG_SECONDS)
            began = re.findall(
                r"([0-9-]+ [0-9:,]+) INFO stream_app.ownership.assignment: working", log.read_text()
            )
            last = max(
                record.timestamp()[1]
                for record in stack.kafka.read(f"energy-v{version}-device_totals-changelog")
            )
            start = datetime.fromisoformat(began[0].replace(",", ".")).timestamp()
            rates.append(readings / (last / 1000 - start))
            stack.run("replay", "abort")
            replay.wait(30)
        report("6 speed", readings=readings, per_second=[round(rate) for rate in rates])


def fresh(readings: int, live: int, max_rate: int, seconds: float) -> None:
    with stack_of(readings) as stack:
        replay, _ = stack.start("replay", "start", "--max-rate", str(max_rate))
        shares: list[float] = []
        threading.Timer(freshness.WARM_UP_SECONDS, lambda: shares.append(stack.share())).start()
        print(freshness.measure(pipeline_of(stack), live, seconds, DEVICES).as_text())
        shares.append(stack.share())
        replay.terminate()
        report("6 fresh", live=live, max_rate=max_rate, share_before_and_after=shares)
