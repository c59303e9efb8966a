"""X17, X31, X53, X54: partitions that nobody can work on, and workers that join, leave, restart.

Of eight partitions each of the first four has a trouble of its own; the others go on each time.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from local_stack.ports import free_port
from tests.fault.conftest import PipelineFactory
from tests.fault.fleet import READINGS
from tests.fault.follower import CHANGELOG
from tests.fault.pipeline import Pipeline
from tests.fault.test_removed_records import remove_before, set_policy, status
from tests.fault.workers import WorkerProcess
from tests.http_client import get
from tests.kafka import Kafka, wait_until

#: The first four, by what is wrong with each.
HOLE, DAMAGED, WITHOUT_HEAD, DAMAGED_CHANGELOG = range(4)
OTHERS = range(4, 8)
GO_ON_SECONDS = 10


def flip(directory: Path, topic: str, partition: int, bytes_of_the_batch: bytes) -> None:
    """Flip a bit of a stored record, as a disk does, in the file of a broker that runs."""
    for segment in directory.glob(f"own-broker*/**/{topic}-{partition}/*.log"):
        content = segment.read_bytes()
        if (at := content.find(bytes_of_the_batch)) >= 0:
            with segment.open("r+b") as file:
                file.seek(at)
                file.write(bytes([content[at] ^ 1]))
            return
    raise AssertionError(f"no {bytes_of_the_batch!r} in {topic}-{partition}")


class Written:
    """Readings of 1 each, and of a device for each partition, so that each of them is seen."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.counts: Counter[int] = Counter()

    def write(self, partition: int, count: int = 1, location: str = "") -> None:
        value = (
            f'{{"timestamp": "2025-04-30 10:11:21", "device_id": "d{partition}",'
            f' "energy_consumed": 1, "location": "{location}"}}'
        ).encode()
        self._pipeline.kafka.write(READINGS, [value] * count, partition=partition)
        self.counts[partition] += count

    def others_go_on(self, what: str) -> None:
        for partition in OTHERS:
            self.write(partition, 50)
        began = time.monotonic()
        self._pipeline.wait_applied(what, OTHERS, GO_ON_SECONDS)
        print(f"after {what} the others went on within {time.monotonic() - began:.1f} s")

    def counted(self, partition: int) -> int:
        """How many are in the device's total; each counts one, so it is the total too."""
        last = self._pipeline.follower.last[partition]
        _, count, total = last[f"d{partition}".encode()].split(b" ")
        assert count == total
        return int(count)


def reasons(workers: list[WorkerProcess], ports: list[int]) -> dict[int, set[str]]:
    """What `/ready` of all workers says, by partition: each view may say something of it."""
    found: dict[int, set[str]] = {}
    for worker, port in zip(workers, ports, strict=False):
        if worker.pid is not None and (answer := get(port, "/ready")).status == 503:
            for reason in json.loads(answer.text)["reasons"]:
                if reason.startswith("partition "):
                    found.setdefault(int(reason.split(" ")[1]), set()).add(reason)
    return found


@pytest.mark.timeout(300)
def test_x54_partitions_that_refuse_hold_back_no_other_whoever_joins_leaves_or_restarts(
    own_kafka: Kafka, pipeline_factory: PipelineFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pipeline = pipeline_factory(own_kafka, partitions=8)
    disk = tmp_path_factory.getbasetemp()
    written, ports = Written(pipeline), [free_port() for _ in range(6)]
    workers = pipeline.workers

    def add(**environ: str) -> WorkerProcess:
        # Longer than anything here: those that were asleep are still the owners.
        return workers.add(
            STREAM_APP_SESSION_TIMEOUT_SECONDS="60",
            STREAM_APP_HTTP_PORT=str(ports[len(workers.all)]),
            **environ,
        )

    for _ in range(3):
        add()
    for partition in range(8):
        written.write(partition, 100)
    pipeline.wait_applied("all are counted")

    # A hole and a damaged batch. The first write may be in a fetch that is under way.
    for worker in workers.all:
        worker.send(signal.SIGSTOP)
    for _ in range(2):
        for partition in range(8):
            written.write(partition, 20)
    ends = own_kafka.end_offsets(READINGS)
    written.write(DAMAGED, location="on a bad block")
    flip(disk, READINGS, DAMAGED, b"on a bad block")
    remove_before(pipeline, READINGS, ends[HOLE], HOLE)
    for partition in (HOLE, DAMAGED):
        written.write(partition, 30)
    for worker in workers.all:
        worker.send(signal.SIGCONT)
    written.others_go_on("a hole and a damaged batch")

    def both_named() -> dict[int, set[str]] | None:
        found = reasons(workers.all, ports)
        return (
            found if {p: len(each) for p, each in found.items()} == {HOLE: 2, DAMAGED: 2} else None
        )

    told = wait_until(both_named, f"both views name both: {reasons(workers.all, ports)}", 20)
    first, last = pipeline.follower.applied[HOLE] + 1, ends[HOLE] - 1
    lost = {HOLE: f"{HOLE}:{first}-{last}", DAMAGED: f"{DAMAGED}:{ends[DAMAGED]}-{ends[DAMAGED]}"}
    for partition, offsets in lost.items():
        advice = f"energy worker --accept-lost-offsets {offsets}"
        assert all(advice in reason for reason in told[partition]), told
    assert pipeline.follower.applied[DAMAGED] == ends[DAMAGED] - 1
    problems = [each for each in status(pipeline)["problems"] if each.startswith("partition")]
    assert len(problems) == 2
    assert all(offsets in problem for offsets, problem in zip(lost.values(), problems, strict=True))

    # Two changelogs that no worker can take over any more.
    set_policy(pipeline, "compact,delete")  # else Kafka refuses to remove anything
    remove_before(pipeline, CHANGELOG, 1, WITHOUT_HEAD)
    set_policy(pipeline, "compact")
    flip(disk, CHANGELOG, DAMAGED_CHANGELOG, b"source_topic_id")
    refused = {HOLE, DAMAGED, WITHOUT_HEAD, DAMAGED_CHANGELOG}

    def still(what: str) -> None:
        written.others_go_on(what)
        wait_until(
            lambda: set(reasons(workers.all, ports)) == refused,
            f"after {what} all four are named: {reasons(workers.all, ports)}",
            20,
        )
        assert all(worker.exit_codes == [] for worker in workers.all), what

    workers.wait_working([add()])
    still("a join")
    assert workers.all[0].stop() == 0
    still("a leave")
    workers.restart(workers.all[1])
    workers.wait_working([workers.all[1]])
    assert workers.all[1].exit_codes == [0]
    workers.all[1].exit_codes.clear()
    still("a restart")

    # The remedy: those who begin anew know it.
    leaving = workers.all[1:]
    for worker in leaving:
        # All at once: who is left with nothing but what it refuses ends with 3.
        worker.wanted = False
        worker.send(signal.SIGTERM)
    assert [worker.stop() for worker in leaving] == [0] * len(leaving)
    accepting = [add(STREAM_APP_ACCEPT_LOST_OFFSETS=",".join(lost.values())) for _ in range(2)]
    pipeline.wait_applied("both go on without exactly these", range(2))
    written.others_go_on("the remedy")
    assert written.counted(HOLE) == written.counts[HOLE] - (last - first + 1)
    assert written.counted(DAMAGED) == written.counts[DAMAGED] - 1
    for partition in OTHERS:
        assert written.counted(partition) == written.counts[partition]
    assert all(worker.exit_codes == [] for worker in workers.all), "nobody ended"
    wait_until(
        lambda: "no birth record" in str(reasons(workers.all, ports).get(WITHOUT_HEAD)),
        "the partition without a head is named",
        20,
    )
    assert "damaged batch" in str(reasons(workers.all, ports)[DAMAGED_CHANGELOG])
    assert [worker.stop() for worker in accepting] == [0, 0]
    assert "Traceback" not in "".join(worker.log for worker in workers.all)
