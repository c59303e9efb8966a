"""Replays and backfills at full size, under kills and live traffic; prints one JSON line each.

`python -m tests.benchmarks.replay_rows switch --readings 3000000 --live 1000`

    switch    build, promote, back, forward; a client polls 20 devices all the while
    kills     SIGKILL of the replay on its way, then of worker, API and broker during promote
    abort     in each state, its process alive or killed: what is left behind
    same      five replays, each with other chunks, workers and time zone: one digest
    speed     readings/s of a replay beside an idle live worker
    rules     a build that ignores negative readings: compared, promoted, taken back
    fresh     freshness of live traffic beside a replay under --max-rate
    backfill  from a second broker, killed and started again, run again; freshness beside it

Everything runs in a stack of its own under a temporary directory; oracles import nothing of ours.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from deploy.broker import LocalBroker
from tests.benchmarks import freshness
from tests.benchmarks.preload import preload
from tests.benchmarks.running import Pipeline
from tests.e2e.poller import Poller
from tests.e2e.running_up import ENERGY, RunningUp
from tests.fault.fleet import READINGS, Fleet
from tests.kafka import Kafka, wait_until
from tests.oracle import judge

DEVICES = 1_000
LONG_SECONDS = 180


class Stack:
    """`energy up` with a preloaded log, and commands beside it."""

    def __init__(self, directory: Path, readings: int, **environ: str) -> None:
        self.directory = directory
        self.up = RunningUp(directory / "home", **environ)
        self.up.wait_ready()
        self.kafka = Kafka(f"127.0.0.1:{self.up.broker_port}")
        self.environ = self.up.environ | {"KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers}
        self.token = (self.up.home / "admin_token").read_text().strip()
        self.loaded = preload(self.kafka.bootstrap_servers, READINGS, readings, DEVICES, 7)
        self._logs = 0
        self.wait_caught_up()

    def poller(self) -> Poller:
        devices = [f"device_{number}" for number in range(20)]
        return Poller(self.up.api_port, self.token, devices).start()

    def run(self, *arguments: str, code: int | None = 0) -> str:
        done = subprocess.run(
            [*ENERGY, *arguments], env=self.environ, capture_output=True, text=True, check=False
        )
        if code is not None and done.returncode != code:
            raise RuntimeError(f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def start(self, *arguments: str, **environ: str) -> tuple[subprocess.Popen[bytes], Path]:
        self._logs += 1
        log = self.directory / f"command-{self._logs}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*ENERGY, *arguments],
                env=self.environ | environ,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return process, log

    def status(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.run("status", "--json")))

    def share(self) -> float:
        """How much of the next version is built."""
        replay = self.status()["replay"]
        if replay is None:
            return 0.0
        done = sum(p["at"] - p["from"] for p in replay["partitions"])
        return done / max(1, sum(p["target"] - p["from"] for p in replay["partitions"]))

    def live_version(self) -> int:
        return int(self.status()["view_version"])

    def is_gate_open(self) -> bool:
        return self.share() > 0.999

    def wait_caught_up(self) -> None:
        wait_until(
            lambda: (ready := self.up.get("/ready")) is not None and ready["lag_records"] == 0,
            "the API shows all there is",
            LONG_SECONDS,
        )

    def wrong_devices(self, fleet: Fleet | None) -> int:
        """How many devices are not what was acknowledged."""
        totals = {device: Fraction(total) for device, total in self.loaded.totals.items()}
        counts = dict(self.loaded.readings)
        if fleet is not None:
            for device, total in fleet.oracle.totals.items():
                totals[device] = totals.get(device, Fraction()) + total
                counts[device] = counts.get(device, 0) + fleet.oracle.counts[device]
        wrong = 0
        for device, expected in totals.items():
            found = self.up.get(f"/v0/devices/{quote(device, safe='')}")
            wrong += (
                found is None
                or Fraction(found["total_energy_consumed_exact"]) != expected
                or found["readings"] != counts[device]
            )
        return wrong


@contextmanager
def stack_of(readings: int, **environ: str) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="replay-rows-") as directory:
        stack = None
        try:
            stack = Stack(Path(directory), readings, **environ)
            yield stack
        finally:
            if stack is not None:
                stack.up.end(signal.SIGTERM)
                stack.up.kill()


def report(row: str, **facts: Any) -> None:
    print(json.dumps({"row": row, **facts}), flush=True)


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
        rate = str(readings // 30)
        reached = []
        for share in (0.01, 0.5, 0.99):
            replay, _ = stack.start("replay", "start", "--workers", "2", "--max-rate", rate)
            wait_until(lambda: stack.share() >= share, f"{share} is built", LONG_SECONDS)  # noqa: B023
            replay.kill()
            replay.wait()
            reached.append(round(stack.share(), 3))
        report("2 replay killed", at=reached, live_version=stack.live_version())
        parts: dict[str, Callable[[], Any]] = {
            "worker": lambda: stack.up.part("stream_app", "STREAM_APP_DATADIR=", "worker-0").kill(),
            "api": lambda: stack.up.part("deploy.leash", " api").kill(),
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


#: Python runs it before anything else of a process that has it on its path.
OTHER_RULES = """
import contract.fold

counted = contract.fold.fold

def fold(readings, into):
    counted([reading for reading in readings if reading.energy_consumed >= 0], into)

contract.fold.fold = fold
contract.fold.RULES_ID = "negatives-ignored"
"""


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


def speed(readings: int) -> None:
    with stack_of(readings) as stack:
        rates = []
        for version in range(2, 5):
            replay, log = stack.start("replay", "start")
            wait_until(lambda: stack.share() == 1.0, "it is built", LONG_SECONDS)
            began = re.findall(
                r"([0-9-]+ [0-9:,]+) INFO stream_app.ownership: working", log.read_text()
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
        freshness.measure(_pipeline(stack), live, seconds, DEVICES)
        shares.append(stack.share())
        replay.terminate()
        report("6 fresh", live=live, max_rate=max_rate, share_before_and_after=shares)


def backfill(readings: int, live: int, max_rate: int) -> None:
    with (
        stack_of(0) as stack,
        LocalBroker(stack.directory / "second", port=0) as second,
    ):
        kafka = Kafka(second.bootstrap_servers)
        kafka.create_topic("archive", 4)
        stack.loaded = preload(second.bootstrap_servers, "archive", readings, DEVICES, 9)
        command = ["backfill", "archive", "--bootstrap-servers", second.bootstrap_servers]
        command += ["--max-rate", str(max_rate)]
        broken = []
        for part in range(1, 6):
            copying, _ = stack.start(*command)
            enough = readings * part / 7
            wait_until(lambda: _copied(stack) >= enough, "it moves", LONG_SECONDS)  # noqa: B023
            copying.kill()
            copying.wait()
            broken.append(_copied(stack))
        again = [stack.run(*command).strip().splitlines()[-1] for _ in range(2)]
        stack.wait_caught_up()
        report(
            "5",
            readings=readings,
            killed_at=broken,
            runs=again,
            wrong_devices=stack.wrong_devices(None),
        )
        copying, _ = stack.start(*command, "--id", "beside-live-traffic")
        freshness.measure(_pipeline(stack), live, 20, DEVICES)
        report("8 beside", still_copying=copying.poll() is None, max_rate=max_rate)
        polls: list[tuple[float, dict[int, int]]] = []
        stop = threading.Event()
        poll = threading.Thread(target=freshness.poll, args=(_pipeline(stack), polls, stop))
        poll.start()
        threading.Timer(3.0, copying.kill).start()
        began = time.perf_counter()
        sent = freshness.send(stack.kafka.bootstrap_servers, live, 20, DEVICES)
        time.sleep(20)
        stop.set()
        poll.join()
        delays = freshness.delays_of(sent, polls, began)
        copying.wait()
        report(
            "8 killed",
            longest_seconds=round(delays[-1], 2),
            p50_ms=round(1000 * delays[len(delays) // 2], 1),
        )


def _copied(stack: Stack) -> int:
    return sum(stack.kafka.end_offsets(READINGS).values())


def _pipeline(stack: Stack) -> Pipeline:
    worker = _Process(stack.up.part("stream_app", "worker-0").pid)
    api = _Process(stack.up.part("deploy.leash", " api").pid)
    return Pipeline(
        stack.kafka.bootstrap_servers,
        stack.up.api_port,
        stack.token,
        cast(Any, worker),
        cast(Any, api),
    )


class _Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid


def main() -> None:
    """Run what is asked for."""
    # Ended from outside, it must not leave its stack behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "row", choices=["switch", "kills", "abort", "same", "rules", "speed", "fresh", "backfill"]
    )
    arguments.add_argument("--readings", type=int, default=1_000_000)
    arguments.add_argument("--live", type=int, default=1_000, help="readings a second")
    arguments.add_argument("--max-rate", type=int, default=50_000)
    arguments.add_argument("--seconds", type=float, default=20)
    options = arguments.parse_args()
    match options.row:
        case "switch":
            switch(options.readings, options.live)
        case "kills":
            kills(options.readings, options.live)
        case "abort":
            abort(options.readings)
        case "same":
            same(options.readings)
        case "rules":
            rules(options.readings, options.live)
        case "speed":
            speed(options.readings)
        case "fresh":
            fresh(options.readings, options.live, options.max_rate, options.seconds)
        case "backfill":
            backfill(options.readings, options.live, options.max_rate)


if __name__ == "__main__":
    sys.exit(main())
