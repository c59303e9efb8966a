"""One round of one contender: run it on a dataset from the first fetch to the last total.

The clock, the same for all: it begins when the contender says that it fetches (or a little
later, in its favour), and ends when somebody outside has read the total of the last device of
each partition, read_committed. Then all totals are compared with the oracle.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import psutil

from tests.benchmarks.contenders import OURS, Contender, Run
from tests.benchmarks.dataset import Dataset
from tests.benchmarks.observer import Seen, observe
from tests.benchmarks.stand import Stand

START_SECONDS = 90.0
ROUND_SECONDS = 300.0
STOP_SECONDS = 15.0


class Round(NamedTuple):
    """Seconds are wall time by the common clock; CPU and memory are the contender's own."""

    readings_per_second: float
    cpu_seconds: float
    largest_rss_mib: int
    output_records: int


def run_round(stand: Stand, contender: Contender, dataset: Dataset) -> Round:
    """Run a contender on a dataset, with nothing of an earlier run. Raises: RuntimeError."""
    group = f"bench-{uuid.uuid4().hex[:8]}"
    directory = stand.directory / "contender"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    run = Run(stand.servers, dataset.topic, dataset.partitions, group, directory)
    output = contender.output_topic(run)
    if contender is OURS:
        stand.new_view()
    elif not contender.makes_topic:
        stand.make_topic(output, {"cleanup.policy": "compact"})
    environ = dict(stand.environ) | {"STREAM_APP_DATADIR": str(directory)}
    log = stand.directory / f"{contender.name}.log"
    try:
        with running(contender.command(run), environ, log) as process:
            began = wait_for(process, log, contender.fetching)
            before = process.cpu_seconds()
            seen = asyncio.run(
                _observe(
                    stand, output, {contender.key_of(d) for d in dataset.last_devices()}, process
                )
            )
            seconds = seen.ended_at - began
            cpu = process.cpu_seconds() - before
            rss = process.largest_rss_mib()
        compare(seen, contender, dataset)
    finally:
        if contender is not OURS:
            stand.delete_topics({output})
    return Round(dataset.shape.readings / seconds, cpu, rss, seen.records)


async def _observe(stand: Stand, output: str, awaited: set[bytes], process: Running) -> Seen:
    async with asyncio.timeout(ROUND_SECONDS):
        return await observe(stand.settings.for_aiokafka(), output, awaited, process.check)


def compare(seen: Seen, contender: Contender, dataset: Dataset) -> None:
    """Add the totals of all partitions and compare them. Raises: RuntimeError."""
    names = {contender.key_of(device): device for device in dataset.totals}
    totals: dict[str, int] = {}
    for (_, key), value in seen.last.items():
        device = names.get(key)
        if device is not None:
            totals[device] = totals.get(device, 0) + contender.total_of(value)
    wrong = [device for device, total in dataset.totals.items() if totals.get(device) != total]
    if wrong:
        raise RuntimeError(
            f"{contender.name}: {len(wrong)} of {len(dataset.totals)} totals differ from the "
            f"oracle ({wrong[0]}: {totals.get(wrong[0])}, not {dataset.totals[wrong[0]]}): the "
            "figure means nothing"
        )


class Running:
    """A process under measurement."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self._seen = psutil.Process(process.pid)

    def check(self) -> None:
        """Raise RuntimeError with its last lines when it has ended."""
        if (code := self.process.poll()) is not None:
            raise RuntimeError(f"ended with {code}: {self._log.read_text()[-2000:]}")

    def cpu_seconds(self) -> float:
        times = self._seen.cpu_times()
        return times.user + times.system

    def largest_rss_mib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024


@contextlib.contextmanager
def running(command: list[str], environ: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Run a process, its output in a file; ends it, by force where it does not listen."""
    output: IO[bytes]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=dict(environ), stdout=output, stderr=output)
        try:
            yield Running(process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(process: Running, log: Path, text: str) -> float:
    """Return the time when the text is in the log. Raises: RuntimeError."""
    deadline = time.monotonic() + START_SECONDS
    while text not in log.read_text(errors="replace"):
        process.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {text!r} within {START_SECONDS:g} s: {log.read_text()[-2000:]}")
        time.sleep(0.005)
    return time.monotonic()
