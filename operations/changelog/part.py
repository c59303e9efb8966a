"""One partition of a changelog, followed transaction by transaction; committed records only."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from confluent_kafka import Consumer, TopicPartition

from contract.changelog import MARKER_KEY, RESERVED_PREFIX, Marker, check_follows, decode_marker
from kafka_io.log_reader import messages, silent
from kafka_io.polling import is_end

OnOffset = Callable[[int], None]


class Rows(Protocol):
    """Where the rows of a partition are put."""

    def update(self, rows: Mapping[bytes, bytes | None], /) -> None:
        """Take in the rows of a transaction; None: the row is removed."""


class ChangelogPart:
    """One partition of a changelog: its rows, and the marker that they add up to.

    `on_offset` gets the newest offset that was read.
    """

    def __init__(
        self,
        consumer: Consumer,
        place: tuple[str, int],
        rows: Rows,
        *,
        is_judged: bool = True,
        on_offset: OnOffset | None = None,
    ) -> None:
        self.applied_offset = -1
        self.marker = Marker(applied_offset=-1)
        self._rows = rows
        self._is_judged = is_judged
        self._held: dict[bytes, bytes | None] = {}
        self._consumer = consumer
        self._coming: deque[tuple[bytes, bytes | None]] = deque()
        self._is_at_end = False
        self._place = place
        self._on_offset = on_offset
        consumer.assign([TopicPartition(*place, 0)])

    def read_to_end(self, seconds: float = 30.0) -> None:
        """Take in all there is now. Raises: NotReadable, also when nothing comes for so long."""
        while not self._is_at_end:
            if not self._fetch(seconds):
                raise silent(*self._place, seconds)
            while self._take_transaction():
                pass

    def step(self, deadline: float) -> bool:
        """Take in the next transaction, waiting for it if need be; False: none came."""
        while not self._take_transaction():
            if time.monotonic() > deadline:
                return False
            self._fetch(0.05)
        return True

    def _take_transaction(self) -> bool:
        while self._coming:
            key, value = self._coming.popleft()
            if key == MARKER_KEY:
                marker = decode_marker(value or b"")
                if self._is_judged:
                    check_follows(self.marker, marker)
                self._rows.update(self._held)
                self._held = {}
                self.marker = marker
                self.applied_offset = max(self.applied_offset, marker.applied_offset)
                return True
            if not key.startswith(RESERVED_PREFIX):
                self._held[key] = value
        return False

    def _fetch(self, seconds: float) -> bool:
        come = messages(self._consumer, self._place[0], seconds)
        for message in come:
            if is_end(message):
                self._is_at_end = True
            else:
                self._coming.append((message.key() or b"", message.value()))
        if come and self._on_offset is not None:
            self._on_offset(come[-1].offset() or 0)
        return bool(come)


def meet(one: ChangelogPart, other: ChangelogPart, deadline: float) -> bool:
    """Step the one that is behind until both have applied the same offsets.

    The one that is behind never passes an offset that both stop at, so the first is found.
    """
    while one.applied_offset != other.applied_offset:
        slower = one if one.applied_offset < other.applied_offset else other
        if not slower.step(deadline):
            return False
    return True
