"""Writes readings exactly once: rows and the position they lead to, in one transaction.

    with Importer(settings, "backfill", "meter-archive") as importer:
        start = importer.position("3").next_position          # where source 3 continues; 0 at first
        for batch, next_position in batches_from(start):      # at most BATCH_ROWS rows
            importer.write(batch, next_position, source="3")

Writes: the readings, the quarantine, `energy_imports`. Guarantees: a row is in the log once for
each position, whatever dies in between; when `write` returns, all of it is committed. The order
of a take-over, which `start` and every recovery keep:

    1. a new producer, and its fence: what a former one had open is aborted for good
    2. the positions, read to the end: nobody else can move them any more
    3. the caller continues from there

A transaction whose outcome is unknown is looked up that way: if its position is there it was
committed, if all is as before it is written again, else another process has continued with the
import.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

from confluent_kafka import KafkaException, Producer

from contract.import_positions import Position, decode_position, encode_position, import_prefix
from producer.errors import (
    BrokerUnreachable,
    ImportSuperseded,
    PositionsUnread,
    ProducerStopped,
    RecordsRefused,
)
from producer.imports.failures import FAILURES, FENCED, REFUSED, Failure, reason_of
from producer.imports.position_log import PositionLog
from producer.imports.transactions import ImportWriter
from producer.judging import Batch
from producer.settings import ProducerSettings

_START_SECONDS = 8.0
_PAUSE_SECONDS = 0.25
#: Whoever fenced us has written something by then, so that we need not fence it in turn.
_FENCED_PAUSE_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Advance(NamedTuple):
    """How far a batch takes one source, and how many of its rows are that source's."""

    next_position: int
    readings: int
    quarantined: int = 0
    note: Mapping[str, Any] | None = None


class Importer:
    """The one writer of an import. Another process that starts with the same names fences it."""

    def __init__(
        self,
        settings: ProducerSettings,
        kind: str,
        import_id: str,
        *,
        positions: PositionLog | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        client_factory: Callable[[dict[str, object]], Producer] = Producer,
    ) -> None:
        """Store the arguments.

        Names become part of keys and of a transactional.id: no `/` in them. `positions` may be
        a log that several importers share; without it each reads the topic for itself. While
        the broker is away `write` tries again until `should_stop`, at most
        PRODUCER_DELIVERY_TIMEOUT_SECONDS.
        """
        if "/" in kind + import_id:
            raise ValueError("no / in the names of an import")
        self._owner = uuid.uuid4().hex
        self._settings = settings
        self.import_id = import_id
        self._prefix = import_prefix(kind, import_id)
        self._own_log = PositionLog(settings, self._prefix) if positions is None else None
        self._log = positions or self._own_log
        self._should_stop = should_stop
        self._writer = ImportWriter(settings, kind, import_id, client_factory)
        self._positions: dict[bytes, Position] = {}

    def start(self) -> None:
        """Fence, then read the positions; blocks until the broker answers.

        Raises: BrokerUnreachable, TopicMissing, RecordsRefused, ProducerStopped.
        """
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._positions = self._take_over()
                return
            except FAILURES as error:
                self._pause_after(error, deadline)

    def position(self, source: str = "0") -> Position:
        """Return how far a source has come; next_position 0 if it has not begun."""
        return self._positions.get(self._key(source), Position())

    @property
    def positions(self) -> dict[str, Position]:
        """Return all sources that have begun."""
        skip = len(self._prefix)
        return {key[skip:].decode(): position for key, position in self._positions.items()}

    def write(
        self,
        batch: Batch,
        next_position: int,
        *,
        source: str = "0",
        note: Mapping[str, Any] | None = None,
    ) -> None:
        """Commit rows together with the position behind them.

        Shape: at most BATCH_ROWS rows and BATCH_BYTES bytes; none is fine, too.
        Raises: what `write_all` raises.
        """
        advance = Advance(next_position, len(batch.values), len(batch.quarantined), note)
        self.write_all(batch, {source: advance})

    def write_all(self, batch: Batch, advances: Mapping[str, Advance]) -> None:
        """Commit rows together with the positions of several sources.

        Raises: ImportSuperseded, RecordsRefused (nothing of the batch is in the log);
        BrokerUnreachable, ProducerStopped: whether the batch is in the log is not known, the
        next one who starts this import will know.
        """
        changed = {
            self._key(source): self._moved(source, advance) for source, advance in advances.items()
        }
        after = self._positions | changed
        deadline = self._deadline()
        while True:
            try:
                self._writer.transact(batch, changed)
                break
            except KafkaException as error:
                if self._is_committed_after(error, after, deadline):
                    break
        self._positions = after

    def close(self) -> None:
        """Release the connections; may be called twice. What is open is aborted."""
        self._writer.drop()
        if self._own_log is not None:
            self._own_log.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_committed_after(
        self, error: Failure, after: Mapping[bytes, Position], deadline: float
    ) -> bool:
        """Find out what became of a transaction; False: nothing of it is there, write it again."""
        _log.info("looking up a transaction whose outcome is unknown: %s", error)
        while True:
            self._pause_after(error, deadline)
            try:
                if reason_of(error).code() in FENCED:
                    # Look before fencing whoever fenced us.
                    self._check(self._read(), after)
                return self._check(self._take_over(), after)
            except FAILURES as again:
                error = again

    def _check(self, found: Mapping[bytes, Position], after: Mapping[bytes, Position]) -> bool:
        if found == after:
            return True
        if found == self._positions:
            return False
        raise ImportSuperseded

    def _take_over(self) -> dict[bytes, Position]:
        self._writer.fence()
        return self._read()

    def _read(self) -> dict[bytes, Position]:
        assert self._log is not None
        found = self._log.read()
        return {key: value for key, value in found.items() if key.startswith(self._prefix)}

    def _pause_after(self, error: Failure, deadline: float) -> None:
        """Wait before trying again. Raises where that is in vain."""
        self._writer.drop()
        reason = reason_of(error)
        if reason.code() in REFUSED:
            raise RecordsRefused(f"Kafka refuses to take the rows: {reason.str()}") from error
        if self._should_stop():
            raise ProducerStopped("stopped while Kafka did not answer") from error
        if time.monotonic() > deadline:
            if isinstance(error, PositionsUnread):
                raise error
            raise BrokerUnreachable(
                f"no broker answers at {self._settings.bootstrap_servers}"
                f" ({self._writer.last_problem.text or reason.str()});"
                " start it, or set KAFKA_BOOTSTRAP_SERVERS"
            ) from error
        is_fenced = reason.code() in FENCED
        time.sleep(_FENCED_PAUSE_SECONDS if is_fenced else _PAUSE_SECONDS)

    def _deadline(self) -> float:
        return time.monotonic() + (self._settings.delivery_timeout_seconds or float("inf"))

    def _key(self, source: str) -> bytes:
        return self._prefix + source.encode()

    def _moved(self, source: str, advance: Advance) -> Position:
        before = self.position(source)
        moved = Position(
            advance.next_position,
            before.readings + advance.readings,
            before.quarantined + advance.quarantined,
            self._owner,
            None if advance.note is None else dict(advance.note),
        )
        # As it will be read again: JSON has no tuples.
        return decode_position(encode_position(moved))
