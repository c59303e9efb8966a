"""Follows the changelog as a foreign client would, and samples the group's committed offsets.

Plain confluent-kafka and json. The last value of each key and the marker of each partition are
all there is to know about the totals from outside.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from contextlib import suppress

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.fault.fleet import READINGS
from tests.kafka import wait_until

CHANGELOG = "energy-v1-device_totals-changelog"
GROUP = "energy-v1"
MARKER_KEY = b"\x00applied"
_SAMPLE_SECONDS = 0.02
_LOOK_SECONDS = 1.0
"""The changelog's ends are asked for so often where nothing new is committed."""
_STILL_SECONDS = 15
"""A client of librdkafka may never fetch a partition again after its broker was restarted."""


class Follower:
    """Reads the changelog, read_committed, from a thread of its own."""

    def __init__(self, bootstrap_servers: str, partitions: int) -> None:
        self.partitions = partitions
        self.last: list[dict[bytes, bytes]] = [{} for _ in range(partitions)]
        self.applied = [-1] * partitions
        self._read_to = [0] * partitions
        #: Changelog offsets of the markers of each partition, and what they say is applied.
        self._marker_offsets: list[list[int]] = [[] for _ in range(partitions)]
        self._marker_applied: list[list[int]] = [[] for _ in range(partitions)]
        #: (partition, committed offset, changelog end seen after it) not yet read up to there.
        self._claims: list[tuple[int, int, int]] = []
        #: I8: the group said more is applied than the changelog holds.
        self.samples = 0
        self.ahead: list[str] = []
        self._config = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
        self._moved_at = [time.monotonic()] * partitions
        #: Where each partition of the changelog ended when the sampler last looked.
        self._ends = [0] * partitions
        self._committed: dict[int, int] = {}
        self._looked_at = 0.0
        self._group = Consumer(self._config | {"group.id": GROUP, "enable.auto.commit": False})
        self._admin = AdminClient(self._config)
        self._stopped = threading.Event()
        self._sampling = threading.Event()
        self._sampling.set()
        self._threads = [
            threading.Thread(target=run, daemon=True) for run in (self._follow, self._sample)
        ]

    def start(self) -> Follower:
        for thread in self._threads:
            thread.start()
        return self

    def stop_sampling(self) -> None:
        """No more I8 from here on."""
        self._sampling.clear()

    def stop(self) -> None:
        if self._stopped.is_set():
            return
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._group.close()

    def markers(self) -> dict[int, dict[str, int]]:
        """The last marker of each partition, as its JSON."""
        return {p: json.loads(self.last[p][MARKER_KEY]) for p in range(self.partitions)}

    def has_reached(self, ends: dict[int, int]) -> bool:
        return all(self.applied[p] >= end - 1 for p, end in ends.items())

    def _follow(self) -> None:
        while not self._stopped.is_set():
            consumer = self._consumer_from_here()
            while not self._stopped.is_set() and not self._stands_still():
                self._read(consumer)
            # One that hangs may hang here too: the test must not.
            threading.Thread(target=consumer.close, daemon=True).start()

    def _consumer_from_here(self) -> Consumer:
        consumer = Consumer(
            self._config
            | {
                "group.id": f"{GROUP}-follower",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 100,
                # The last offset is a commit marker that is never delivered: only this tells.
                "enable.partition.eof": True,
            }
        )
        here = [TopicPartition(CHANGELOG, p, offset) for p, offset in enumerate(self._read_to)]
        consumer.assign(here)
        self._moved_at = [time.monotonic()] * self.partitions
        return consumer

    def _stands_still(self) -> bool:
        """Whether there is more of a partition than was read, and nothing has come for long."""
        longest = time.monotonic() - _STILL_SECONDS
        return any(
            read < end and moved < longest
            for read, end, moved in zip(self._read_to, self._ends, self._moved_at, strict=True)
        )

    def _read(self, consumer: Consumer) -> None:
        for record in consumer.consume(10_000, timeout=0.05):
            partition = record.partition()
            if (error := record.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._read_to[partition] = record.offset()
                    self._moved_at[partition] = time.monotonic()
                continue  # the broker is away: librdkafka goes on by itself
            self.last[partition][record.key()] = record.value()
            if record.key() == MARKER_KEY:
                applied = json.loads(record.value())["applied_offset"]
                self.applied[partition] = applied
                self._marker_applied[partition].append(applied)
                self._marker_offsets[partition].append(record.offset())
            self._moved_at[partition] = time.monotonic()
            self._read_to[partition] = record.offset() + 1  # last: the sampler looks at it

    def _sample(self) -> None:
        while not self._stopped.wait(_SAMPLE_SECONDS):
            if self._sampling.is_set():
                with suppress(KafkaException):
                    self._sample_once()
            self._judge_claims()

    def _sample_once(self) -> None:
        """What is committed now must be in what the changelog holds now.

        Its high watermark is asked for, not its last stable offset: Kafka answers a commit when
        it is decided, and writes what makes it readable some milliseconds later, or much later
        where the machine is busy. So a claim is judged when the changelog can be read up to there.
        One that was made before, when the changelog was no longer than now, need not be made again.
        """
        places = [TopicPartition(READINGS, p) for p in range(self.partitions)]
        committed = {c.partition: c.offset for c in self._group.committed(places, timeout=2)}
        self.samples += 1
        now = time.monotonic()
        if committed == self._committed and now - self._looked_at < _LOOK_SECONDS:
            return
        ends = self._changelog_ends()
        self._committed, self._looked_at = committed, now
        for partition, offset in committed.items():
            # A broker that just starts may answer without an end.
            if ends[partition] >= 0:
                self._ends[partition] = ends[partition]
                if offset > 0:
                    self._claims.append((partition, offset, ends[partition]))

    def _judge_claims(self) -> None:
        """Compare what can be compared by now; the rest waits for the reader."""
        waiting = []
        for claim in self._claims:
            partition, committed, end = claim
            if self._read_to[partition] < end:
                waiting.append(claim)
                continue
            place = bisect_left(self._marker_offsets[partition], end)
            applied = self._marker_applied[partition][place - 1] if place else -1
            if committed > applied + 1:
                marker = self._marker_offsets[partition][place - 1] if place else -1
                self.ahead.append(
                    f"{partition}: {committed} > {applied} + 1 (marker at {marker}), changelog"
                    f" at {end}; judged after {self.samples} samples, at {time.time():.3f}"
                )
        self._claims = waiting

    def settle(self, seconds: float = 20) -> None:
        """Return once every sample is judged. Call it when no worker runs any more."""
        self.stop_sampling()
        wait_until(
            lambda: not self._claims,
            f"{self._claims[:3]} to be read, it is {self._read_to}",
            seconds,
        )

    def _changelog_ends(self) -> dict[int, int]:
        wanted = {TopicPartition(CHANGELOG, p): OffsetSpec.latest() for p in range(self.partitions)}
        level = IsolationLevel.READ_UNCOMMITTED
        found = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=2)
        return {tp.partition: future.result().offset for tp, future in found.items()}
