"""Records that end together, and the callers' side of sending them.

Reports come from the poll thread of the producer; outcome.py says how they are judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from threading import Event, Lock

from confluent_kafka import KafkaError, KafkaException

from kafka_io.rights import in_words, write
from producer.client.outcome import NOT_APPENDED, Outcome
from producer.client.polled_client import Link
from producer.client.queue_room import QueueRoom
from producer.client.report_batch import Parcel

#: Records that are reported together: large enough to be cheap, small against the queue.
PARCEL_RECORDS = 5000


def _reason(error: KafkaError, topic: str) -> str:
    return str(in_words(KafkaException(error), write(topic)).args[0].str())


class Delivery:
    """Records that end together. `send` what belongs to it, then `seal` it.

    `failed_values` keeps what was not acknowledged, in no order, if `keep_failed`.
    """

    def __init__(
        self,
        room: QueueRoom,
        handing_over: Callable[[], AbstractContextManager[Link]],
        link: Link,
        *,
        with_keys: bool,
        keep_failed: bool,
    ) -> None:
        """`handing_over` gives the link that takes records now; `link` is the one by now."""
        self.failed_values: list[bytes | None] = []
        self._transmitted_before = link.transmitted
        self._room = room
        self._handing_over = handing_over
        self._link = link
        self._with_keys = with_keys
        #: Counts do not tell what was sent: they are of one link, and only if it answers.
        self._is_sent_unknown = False
        self._keep_failed = keep_failed
        self._lock = Lock()
        self._open_parcels = self._open_records = 0
        self._is_sealed = False
        self._on_done: Callable[[Outcome], None] | None = None
        self._is_done = False
        #: Made for who waits: most deliveries of an API process have nobody who does.
        self._done: Event | None = None
        self._acknowledged: Counter[str] = Counter()
        self._offsets: dict[tuple[str, int], int] = {}
        self._refused = self._doubtful = 0
        self._reason: str | None = None

    @property
    def has_failed(self) -> bool:
        """Return whether a record has failed; what is sent after it is in vain."""
        return self._reason is not None

    @property
    def is_done(self) -> bool:
        """Return whether the outcome is known."""
        return self._is_done

    def send(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None = None,
    ) -> None:
        """Hand records over, in their order; returns before they are acknowledged.

        Raises: QueueFull, ProducerStopped: then none of the records was taken.
        """
        size = sum(map(len, filter(None, values))) + sum(map(len, filter(None, keys or ())))
        if not self._with_keys:
            keys = None
        parcels = -(-len(values) // PARCEL_RECORDS)
        share = size // max(1, parcels)
        self._room.reserve(len(values), share * parcels)
        handled = 0
        try:
            for start in range(0, len(values), PARCEL_RECORDS):
                some = values[start : start + PARCEL_RECORDS]
                handled = start + len(some)
                some_keys = keys[start:handled] if keys is not None else None
                self._send_parcel(topic, some, some_keys, share)
        except BaseException as error:
            left = values[handled:]
            with self._lock:
                for value in left:
                    self._note(type(error).__name__, value)
                self._refused += len(left)
            self._room.release(len(left), share * -(-len(left) // PARCEL_RECORDS))
            raise

    def _send_parcel(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None,
        size: int,
    ) -> None:
        with self._handing_over() as link:
            with self._lock:
                if self._is_sealed:
                    raise ValueError("the delivery is sealed")
                self._open_parcels += 1
                self._is_sent_unknown |= link is not self._link
                self._open_records += len(values)
            parcel = Parcel(self._lock, self._parcel_ended, topic, len(values), size)
            if link.is_usable:
                link.follow(parcel)
            sent: list[None] = []
            refused = 0
            try:
                while link.is_usable and (place := len(sent) + refused) < len(values):
                    try:
                        some = None if keys is None else keys[place:]
                        sent.extend(link.produce(topic, values[place:], some, parcel.report))
                    except (KafkaException, BufferError) as error:
                        with self._lock:
                            self._note(str(error), values[len(sent) + refused])
                        refused += 1
            finally:
                # Also after Ctrl-C in the middle: what was handed over is accounted for.
                with self._lock:
                    for value in values[len(sent) + refused :]:
                        self._note("never sent", value)
                parcel.expect(len(sent))

    def _note(self, reason: str, value: bytes | None) -> None:
        if self._reason is None:
            self._reason = reason
        if self._keep_failed:
            self.failed_values.append(value)

    def _parcel_ended(self, parcel: Parcel) -> None:
        """Take over the counts of a parcel; from the poll thread, or the sender's."""
        with self._lock:
            self._open_parcels -= 1
            self._open_records -= parcel.records
            self._refused += parcel.records - parcel.expected
            self._acknowledged[parcel.topic] += parcel.acknowledged
            for partition, offset in parcel.offsets.items():
                place = (parcel.topic, partition)
                self._offsets[place] = max(offset, self._offsets.get(place, -1))
            if parcel.unreported:
                self._is_sent_unknown = True
                self._doubtful += parcel.unreported
                self._reason = self._reason or "Kafka's client does not answer"
            for error, value in parcel.failures:
                if error.code() in NOT_APPENDED:
                    self._refused += 1
                else:
                    self._doubtful += 1
                self._note(_reason(error, parcel.topic), value)
        self._room.release(parcel.records, parcel.size)
        self._end_if_all_reported()

    def seal(self, on_done: Callable[[Outcome], None] | None = None) -> None:
        """Say that nothing more is sent.

        `on_done` is called once, from the poll thread, or from here if all has ended already;
        it must not block.
        """
        with self._lock:
            if self._is_sealed:
                raise ValueError("the delivery is sealed")
            self._is_sealed = True
            self._on_done = on_done
        self._end_if_all_reported()

    def _end_if_all_reported(self) -> None:
        with self._lock:
            if not self._is_sealed or self._open_parcels:
                return
        if self._doubtful and not self._is_sent_unknown:
            self._link.decide_later(self._transmitted_before, self._decide)
        else:
            self._decide(True)

    def _decide(self, is_sent: bool) -> None:
        """Say whether any record of the doubtful ones can have been sent."""
        with self._lock:
            if self._is_done:
                return
            if not is_sent:
                self._refused += self._doubtful
                self._doubtful = 0
            self._is_done = True
            if self._done is not None:
                self._done.set()
        if self._on_done is not None:
            self._on_done(self._outcome())

    def abandon(self) -> Outcome:
        """Wait no longer: what is not reported by now is unknown. For when nobody polls."""
        with self._lock:
            if not self._is_done:
                self._is_done = True
                self._doubtful += self._open_records
                self._reason = self._reason or "Kafka's client does not answer"
            return self._outcome()

    def wait(self, timeout_seconds: float | None = None) -> Outcome | None:
        """Block until the outcome is known; None if it is not within the time."""
        with self._lock:
            if self._is_done:
                return self._outcome()
            done = self._done = self._done or Event()
        return self._outcome() if done.wait(timeout_seconds) else None

    def _outcome(self) -> Outcome:
        return Outcome(
            dict(self._acknowledged),
            self._refused,
            self._doubtful,
            dict(self._offsets),
            self._reason,
        )
