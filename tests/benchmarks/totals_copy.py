"""What the reader's copy of totals costs, by its own interface, without Kafka.

python -m tests.benchmarks.totals_copy --devices 1000000

Prints what a changed row costs to write, by the size of a commit and with random devices, and the
times of each question.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from api.view.copy.commit import Commit
from api.view.totals_copy.copy import TotalsCopy
from contract.changelog import Marker
from contract.device_totals import encode_total

#: Rows of a commit: of one caught up, and of one far behind.
COMMITS = (10, 100, 1_000, 20_000)
LOADED = 20_000


class Bench:
    """A copy, and the totals that it has been given."""

    def __init__(self, directory: Path, devices: int) -> None:
        self.copy = TotalsCopy.open(directory, "benchmark", map_bytes=1 << 40)
        self.names = [b"device_%07d" % number for number in range(devices)]
        self._totals = dict.fromkeys(self.names, 0)
        self._offset = 0

    def write(self, names: Iterable[bytes], most: int) -> float:
        """Add up to `most` to each; returns seconds of a processor."""
        rows: dict[bytes, bytes | None] = {}
        for name in names:
            self._totals[name] += random.randrange(1, most)
            rows[name] = encode_total(self._totals[name], 1)
        self._offset += 1
        began = time.process_time()
        self.copy.write([Commit(0, rows, Marker(self._offset), self._offset)])
        return time.process_time() - began

    def load(self) -> None:
        """Write all devices once, in no order."""
        names, seconds, began = self.names[:], 0.0, time.perf_counter()
        random.shuffle(names)
        for place in range(0, len(names), LOADED):
            seconds += self.write(names[place : place + LOADED], 1_000_000)
        took = time.perf_counter() - began
        print(f"load            {took:8.2f} s    {seconds / len(names) * 1e6:6.1f} us a row")

    def change(self) -> None:
        """Write commits of some random devices."""
        for count in COMMITS:
            if count <= len(self.names):
                times = max(3, 40_000 // count)
                began = time.perf_counter()
                spent = sum(
                    self.write(random.sample(self.names, count), 1_000) for _ in range(times)
                )
                took = (time.perf_counter() - began) / times
                cost = spent / times / count * 1e6
                print(f"commit of {count:6} {took * 1e3:7.2f} ms    {cost:6.1f} us a row")

    def ask(self) -> None:
        """Ask what readers ask."""
        some = random.sample(self.names, min(10_000, len(self.names)))

        def one() -> None:
            with self.copy.snapshot() as totals:
                totals.get(random.choice(some))

        self._timed("one device, its own moment", one, 20_000)
        with self.copy.snapshot() as totals:
            self._timed("the first 10 by total", lambda: taken(totals.by_total(), 10), 2_000)
            self._timed(
                "the last 10 by total", lambda: taken(totals.by_total(descending=True), 10), 2_000
            )
            half = len(self.names) // 2
            self._timed("10 from the middle", lambda: taken(totals.by_total(offset=half), 10), 3)
            self._timed("all by device", lambda: taken(totals.by_device(), None), 3)
            self._timed("all by total", lambda: taken(totals.by_total(), None), 3)
            self._timed(
                "all by total, falling", lambda: taken(totals.by_total(descending=True), None), 3
            )

    def _timed(self, what: str, ask: Callable[[], object], times: int) -> None:
        began = time.perf_counter()
        for _ in range(times):
            ask()
        print(f"{what:28} {(time.perf_counter() - began) / times * 1e6:12.1f} us")


def taken(rows: Iterable[object], count: int | None) -> None:
    """Read some rows."""
    deque(islice(rows, count), 0)


def main() -> None:
    """Build a copy in a directory that is removed at the end, and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    arguments = parser.parse_args()
    random.seed(1)
    directory = Path(tempfile.mkdtemp(prefix="totals-copy-"))
    try:
        bench = Bench(directory, arguments.devices)
        bench.load()
        bench.change()
        bench.ask()
        size = sum(each.stat().st_blocks * 512 for each in directory.glob("**/*"))
        print(f"on disk         {size / 1e6:8.0f} MB")
        bench.copy.close()
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
