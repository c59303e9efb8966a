"""Backfills: from a second broker under kills, and what live traffic feels of one."""

from __future__ import annotations

import signal
import subprocess
import threading
import time

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from local_stack.broker.process import LocalBroker
from tests.benchmarks import freshness
from tests.benchmarks.preload import preload
from tests.benchmarks.replay_rows.stack import (
    DEVICES,
    LONG_SECONDS,
    Stack,
    pipeline_of,
    report,
    stack_of,
)
from tests.fault.fleet import READINGS
from tests.kafka import Kafka, wait_until


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
        print(freshness.measure(pipeline_of(stack), live, 20, DEVICES).as_text())
        report("8 beside", still_copying=copying.poll() is None, max_rate=max_rate)
        polls: list[tuple[float, dict[int, int]]] = []
        stop = threading.Event()
        poll = threading.Thread(target=freshness.poll, args=(pipeline_of(stack), polls, stop))
        poll.start()
        within: list[bool] = []
        threading.Timer(
            3.0, lambda: within.append(_kill_within_transaction(stack, copying))
        ).start()
        began = time.perf_counter()
        sent = freshness.send(stack.kafka.bootstrap_servers, live, 20, DEVICES)
        time.sleep(20)
        stop.set()
        poll.join()
        delays = freshness.delays_of(sent, polls, began)
        copying.wait()
        report(
            "8 killed",
            within_transaction=within,
            longest_seconds=round(delays[-1], 2),
            p50_ms=round(1000 * delays[len(delays) // 2], 1),
        )


def _kill_within_transaction(stack: Stack, process: subprocess.Popen[bytes]) -> bool:
    """Kill it where a transaction of its is open: what is committed ends before the log does.

    It is stopped while one looks, so that nothing moves; live traffic is not transactional.
    """
    admin = stack.kafka.admin()
    places = {TopicPartition(READINGS, p): OffsetSpec.latest() for p in range(4)}
    for _ in range(200):
        process.send_signal(signal.SIGSTOP)
        committed, ends = (
            {
                place.partition: future.result().offset
                for place, future in admin.list_offsets(places, isolation_level=level).items()
            }
            for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        )
        # Asked for later, the log has grown by some live readings: an open transaction is more.
        if any(ends[p] - committed[p] > 30 for p in ends):
            process.kill()
            return True
        process.send_signal(signal.SIGCONT)
        time.sleep(0.003)
    process.kill()
    return False


def _copied(stack: Stack) -> int:
    return sum(stack.kafka.end_offsets(READINGS).values())
