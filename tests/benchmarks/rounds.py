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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import psutil

from tests.benchmarks.contenders import Contender, Run
from tests.benchmarks.dataset import Dataset
from tests.benchmarks.observer import Seen, observe
from tests.benchmarks.stand import Stand

START_SECONDS = 90.0
ROUND_SECONDS = 300.0
STOP_SECONDS = 15.0


class Round(NamedTuple):
    """Seconds are wall time by the common clock; CPU is of all its processes, memory of one."""

    readings_per_second: float
    cpu_seconds: float
    largest_rss_mib: int
    output_records: int


def run_round(stand: Stand, contender: Contender, dataset: Dataset, workers: int = 1) -> Round:
    """Run a contender on a dataset, with nothing of an earlier run. Raises: RuntimeError.

    With more workers than one the clock begins with the first, so that it has in it how they
    share the partitions out.
    """
    group = f"bench-{uuid.uuid4().hex[:8]}"
    directory = stand.directory / "contender"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    run = Run(stand.servers, dataset.topic, dataset.partitions, group, directory)
    output = contender.output_topic(run)
    if contender.series is not None:
        stand.new_view(contender.series)
    elif not contender.makes_topic:
        stand.make_topic(output, {"cleanup.policy": "compact"})
    awaited = {contender.key_of(device) for device in dataset.last_devices()}
    try:
        with contextlib.ExitStack() as stack:
            processes = [
                stack.enter_context(
                    running(
                        contender.command(run),
                        stand.environ | {"STREAM_APP_DATADIR": str(directory / str(number))},
                        stand.directory / f"{contender.name}-{number}.log",
                    )
                )
                for number in range(workers)
            ]
            began = wait_for(processes, contender.fetching)
            before = sum(process.cpu_seconds() for process in processes)
            seen = asyncio.run(_observe(stand, contender, output, awaited, processes))
            seconds = seen.ended_at - began
            cpu = sum(process.cpu_seconds() for process in processes) - before
            rss = max(process.largest_rss_mib() for process in processes)
        compare(seen, contender, dataset)
    finally:
        if contender.series is None:
            stand.delete_topics({output})
    return Round(dataset.shape.readings / seconds, cpu, rss, seen.records)


async def _observe(
    stand: Stand,
    contender: Contender,
    output: str,
    awaited: set[bytes],
    processes: Sequence[Running],
) -> Seen:
    def check() -> None:
        for process in processes:
            process.check()

    async with asyncio.timeout(ROUND_SECONDS):
        connection = stand.settings.for_aiokafka()
        return await observe(connection, output, awaited, check, contender.device_key_of)


def compare(seen: Seen, contender: Contender, dataset: Dataset) -> None:
    """Add the totals of all partitions and compare them. Raises: RuntimeError."""
    names = {contender.key_of(device): device for device in dataset.totals}
    totals: dict[str, int] = {}
    for (_, key), value in seen.last.items():
        device = names.get(contender.device_key_of(key))
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
        self.log = log
        self._seen = psutil.Process(process.pid)

    def check(self) -> None:
        """Raise RuntimeError with its last lines when it has ended."""
        if (code := self.process.poll()) is not None:
            raise RuntimeError(f"ended with {code}: {self.log.read_text()[-2000:]}")

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


def wait_for(processes: Sequence[Running], text: str) -> float:
    """Return the time when the text is in the log of one of them. Raises: RuntimeError."""
    deadline = time.monotonic() + START_SECONDS
    while not any(text in process.log.read_text(errors="replace") for process in processes):
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            said = processes[0].log.read_text()[-2000:]
            raise RuntimeError(f"no {text!r} within {START_SECONDS:g} s: {said}")
        time.sleep(0.005)
    return time.monotonic()
