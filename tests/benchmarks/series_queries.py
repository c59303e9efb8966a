"""Questions of places and time over HTTP, while readings come in: a real broker, worker and API.

`python -m tests.benchmarks.series_queries --devices 1000 --days 365 --every 900`
`python -m tests.benchmarks.series_queries --devices 100000 --days 31 --every 3600 --processes 2`

Publishes the readings of so many days in order of time, lets one worker and one API take them in,
then asks each question on schedule over one connection (open loop: a request's clock starts at its
scheduled time), each time of another device, month or day, while a fleet sends readings of now.
Memory is that of all API processes without page cache.
"""

from __future__ import annotations

import argparse
import http.client
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from api.auth.token_store import ensure_admin_token
from tests.benchmarks import machine
from tests.benchmarks.dataset import Shape
from tests.benchmarks.figures import percentile
from tests.benchmarks.listings import fleet
from tests.benchmarks.sizing import on_disk, roles, until_applied
from tests.benchmarks.stand import Stand, standing
from tests.process_memory import memory_of, with_children

FIRST_DAY = date(2025, 4, 30)
DAY_SECONDS = 86_400
#: Before anything is measured: Java compiles, and the store settles after the catch-up.
REST_SECONDS = 20
OVER_TIME = "/v0/pipes/energy_consumption_over_time.json"
BY_LOCATION = "/v0/pipes/energy_consumption_by_location.json"
BY_DEVICE = "/v0/pipes/energy_consumption_by_device.json"

Asked = Callable[[random.Random], str]


class Question(NamedTuple):
    """A question, and how long the slowest of a hundred answers may take, in milliseconds."""

    name: str
    target: Asked
    bound_ms: float


def main() -> None:
    """Run and print; ends with 1 where an answer is over its bound."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--devices", type=int, default=1_000)
    arguments.add_argument("--days", type=int, default=365)
    arguments.add_argument("--every", type=float, default=900, help="seconds between readings")
    arguments.add_argument("--rate", type=int, default=1_000, help="readings/s meanwhile")
    arguments.add_argument("--requests", type=int, default=300, help="of each question")
    arguments.add_argument("--requests-per-second", type=int, default=10)
    arguments.add_argument("--processes", type=int, default=1, help="of the API")
    options = arguments.parse_args()
    print(machine.as_text(machine.described()), flush=True)
    with standing() as stand:
        stand.environ["API_PROCESSES"] = str(options.processes)
        sys.exit(measure(stand, options))


def measure(stand: Stand, options: argparse.Namespace) -> bool:
    """Fill and ask; returns whether an answer was too slow."""
    stand.new_view("on")
    token = ensure_admin_token(stand.directory)
    readings = int(options.devices * options.days * DAY_SECONDS / options.every)
    began = time.monotonic()
    stand.dataset(Shape(readings, options.devices, every=options.every))
    print(f"{readings:,} readings published in {time.monotonic() - began:.0f} s", flush=True)
    began, is_slow = time.monotonic(), False
    with roles(stand) as (worker, api, port):
        until_applied(stand, port, token)
        took = time.monotonic() - began
        print(
            f"in totals and series {took:.0f} s after the start of both ({readings / took:,.0f}/s)"
        )
        print(f"reader's copies: {on_disk(stand.directory / 'view') / 1e6:,.0f} MB on disk")
        with fleet(stand.servers, options):
            time.sleep(REST_SECONDS)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            for question in questions(options):
                is_slow |= ask(connection, token, question, options)
        print(f"API memory without page cache: {memory_of(*with_children(api.pid)) / 1e6:,.0f} MB")
        print(f"worker memory without page cache: {memory_of(worker.pid) / 1e6:,.0f} MB")
    return is_slow


def questions(options: argparse.Namespace) -> Iterator[Question]:
    """Yield what is asked; periods lie within the readings."""
    last = FIRST_DAY + timedelta(days=options.days)
    month = min(options.days, 31)

    def device(chance: random.Random) -> str:
        return f"device_{chance.randrange(options.devices)}"

    def period(chance: random.Random, days: int) -> dict[str, str]:
        start = FIRST_DAY + timedelta(days=chance.randrange(options.days - days + 1))
        return {"start": str(start), "end": str(start + timedelta(days=days))}

    def over_time(interval: str, days: int) -> Asked:
        return lambda chance: (
            f"{OVER_TIME}?{urlencode({'interval': interval, 'device_id': device(chance)})}"
            f"&{urlencode(period(chance, days))}"
        )

    whole = urlencode({"start": str(FIRST_DAY), "end": str(last)})
    yield Question(f"days of one device, {options.days}", over_time("day", options.days), 10)
    yield Question(f"hours of one device, {month} days", over_time("hour", month), 10)
    yield Question("fleet by month", lambda _: f"{OVER_TIME}?interval=month&{whole}", 50)
    yield Question(
        f"by location, {month} days",
        lambda chance: f"{BY_LOCATION}?{urlencode(period(chance, month))}",
        50,
    )
    yield Question(
        "top 10 of a day",
        lambda chance: (
            f"{BY_DEVICE}?order_by=-total_energy_consumed&limit=10&{urlencode(period(chance, 1))}"
        ),
        10,
    )


def ask(
    connection: http.client.HTTPConnection,
    token: str,
    question: Question,
    options: argparse.Namespace,
) -> bool:
    """Ask on schedule and print; returns whether the slowest of a hundred was too slow."""
    chance, delays, size = random.Random(5), [], 0
    began = time.perf_counter()
    for number in range(options.requests):
        scheduled = began + number / options.requests_per_second
        if (wait := scheduled - time.perf_counter()) > 0:
            time.sleep(wait)
        target = question.target(chance)
        connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{target}: the API answers {answer.status}: {body[:200]!r}")
        delays.append(1000 * (time.perf_counter() - scheduled))
        size = max(size, len(body))
    ordered = sorted(delays)
    p99 = percentile(ordered, 0.99)
    print(
        f"{question.name}: first {delays[0]:.1f} ms, p50 {percentile(ordered, 0.5):.1f},"
        f" p99 {p99:.1f}, max {ordered[-1]:.1f} ({len(delays)} requests, {size / 1e3:,.0f} kB);"
        f" bound p99 {question.bound_ms:g}{'' if p99 <= question.bound_ms else ': MISSED'}",
        flush=True,
    )
    return p99 > question.bound_ms


if __name__ == "__main__":
    main()
