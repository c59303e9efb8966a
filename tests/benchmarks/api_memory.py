"""How much memory the API takes with a month of hours of many devices, all its processes together.

`python -m tests.benchmarks.api_memory --devices 100000 --days 31 --processes 1,2`

A broker, a worker that applies a reading in each partition, and the API, whose copies on disk are
then filled by their own interface with totals and hours of all devices: 74 million hours over
Kafka would take longer than what is measured. Each API is started on these copies and asked, and
takes at most the bound; ends with 1 where it takes more. Page cache does not count, which the
copies are; it is printed beside it. `--every 24` fills one hour of each day.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from api.auth.token_store import ensure_admin_token
from api.view.copy.commit import Commit
from api.view.copy.reader_copy import ReaderCopy
from api.view.series_copy.copy import SeriesCopy
from api.view.totals_copy.copy import TotalsCopy
from contract.device_totals import DEVICE_TOTALS, encode_total
from contract.energy_series import ENERGY_SERIES
from contract.views import rules_with
from local_stack.ports import free_port
from tests.benchmarks import machine
from tests.benchmarks.dataset import Shape
from tests.benchmarks.running import _process
from tests.benchmarks.series_copy import MAP_BYTES, load
from tests.benchmarks.stand import Stand, standing
from tests.http_client import get
from tests.kafka import wait_until
from tests.process_memory import highest_memory, memory_of, with_children

MB = 1e6
BOUND_MB = 400
#: A start without copies waits for Java, which compiles.
READY_SECONDS = 120
ANSWER_SECONDS = 300
TOTALS_AT_ONCE = 100_000
PIPES = "/v0/pipes/energy_consumption"


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--hours", type=int, default=24, help="hours in a transaction")
    parser.add_argument("--every", type=int, default=1, help="one of so many hours has readings")
    parser.add_argument("--processes", default="1,2", help="values of API_PROCESSES")
    options = parser.parse_args()
    print(machine.as_text(machine.described()), flush=True)
    missed = False
    with standing() as stand:
        stand.new_view("on")
        token = ensure_admin_token(stand.directory)
        stand.dataset(Shape(1_000, 1_000))
        with (
            _process("stream_app", stand.environ, stand.directory / "worker.log"),
            running_api(stand, token, 1),
        ):
            pass  # Nothing but the copies that it leaves is wanted.
        fill(stand.directory / "view" / "0", options)
        for processes in map(int, options.processes.split(",")):
            with running_api(stand, token, processes) as (pid, port):
                missed |= measure(pid, port, token, processes, options)
    sys.exit(missed)


@contextmanager
def running_api(stand: Stand, token: str, processes: int) -> Iterator[tuple[int, int]]:
    """Start an API, wait until it serves totals and series; ends it. Gives its pid and port."""
    environ = stand.environ | {"API_PORT": str(free_port()), "API_PROCESSES": str(processes)}
    port, began = int(environ["API_PORT"]), time.monotonic()
    with _process("api", environ, stand.directory / "api.log") as api:

        def serves() -> bool:
            path = f"{PIPES}_by_location.json?limit=1"
            return bool(
                get(port, "/ready").status == 200
                and get(port, path, token, seconds=30).status == 200
            )

        wait_until(serves, "totals and series are served", READY_SECONDS)
        print(f"served after {time.monotonic() - began:.1f} s", flush=True)
        yield api.pid, port


def fill(view: Path, options: argparse.Namespace) -> None:
    """Write totals and hours of all devices into the copies that the API has left."""
    for kind, copy_type in ((DEVICE_TOTALS, TotalsCopy), (ENERGY_SERIES, SeriesCopy)):
        name = kind.changelog(1).name
        identity = f"{name} of rules {rules_with('on')}"
        copy: ReaderCopy[object] = copy_type.open(view / name, identity, map_bytes=MAP_BYTES)
        try:
            at = copy.markers()[0], copy.positions()[0]
            if isinstance(copy, SeriesCopy):
                load(copy, options, at)
            else:
                for start in range(0, options.devices, TOTALS_AT_ONCE):
                    devices = range(start, min(start + TOTALS_AT_ONCE, options.devices))
                    rows = {b"device_%d" % n: encode_total(n * 7_919, 1) for n in devices}
                    copy.write([Commit(0, rows, *at)])
        finally:
            copy.close()
    size = sum(each.stat().st_blocks * 512 for each in view.glob("*/copy/data.mdb"))
    print(f"both copies: {size / MB:,.0f} MB on disk", flush=True)


def measure(pid: int, port: int, token: str, processes: int, options: argparse.Namespace) -> bool:
    """Print what all processes take when they serve, and while they are asked; whether too much."""
    pids = with_children(pid)
    with highest_memory(*pids) as memory:
        for question in questions(options):
            began = time.monotonic()
            answer = get(port, question, token, seconds=ANSWER_SECONDS)
            if answer.status != 200:
                raise RuntimeError(f"{question}: {answer.status} {answer.text[:200]}")
            print(
                f"  {time.monotonic() - began:6.2f} s, {len(answer.text) / MB:6.1f} MB: {question}"
            )
    cached = sum(psutil.Process(each).memory_info().rss for each in pids) - memory_of(*pids)
    is_missed = memory.bytes > BOUND_MB * MB
    print(
        f"API_PROCESSES={processes}, {len(pids)} processes: {memory.before / MB:,.0f} MB at first, "
        f"{memory.bytes / MB:,.0f} at most (bound {BOUND_MB}); page cache mapped "
        f"{cached / MB:,.0f}{', MISSED' if is_missed else ''}",
        flush=True,
    )
    return is_missed


def questions(options: argparse.Namespace) -> Iterator[str]:
    """Each kind of question, of all and of some; several processes get one each by turns."""
    chance = random.Random(4)
    devices = [f"device_{chance.randrange(options.devices)}" for _ in range(20)]
    yield from (f"/v0/devices/{device}" for device in devices[:4])
    for _ in range(2):
        yield f"{PIPES}_by_device.json"
        yield f"{PIPES}_by_device.csv?order_by=-total_energy_consumed"
        yield f"{PIPES}_by_location.json"
        yield f"{PIPES}_over_time.json?interval=day&timezone=Europe/Berlin"
        yield f"{PIPES}_over_time.json?interval=hour&device_id={','.join(devices)}"
        yield f"{PIPES}_over_time.csv?interval=week&group_by=device_id"


if __name__ == "__main__":
    main()
