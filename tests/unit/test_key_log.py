"""The log of the keys between its consumers and who looks something up; Kafka is a double."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from confluent_kafka import Message, TopicPartition

from contract.key_notes import KeyNote, encode_note, record_key
from producer.key_log import KeyLog
from producer.settings import ProducerSettings

KEY = record_key("test", "events", "a")
NOTE = KeyNote(b"0123456789abcdef", 1_700_000_000)


class Record:
    """A message of the log."""

    def __init__(self, offset: int, key: bytes, value: bytes) -> None:
        self._offset, self._key, self._value = offset, key, value

    def error(self) -> None:
        return None

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value


class Log:
    """What both consumers are given, and where they are in it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.end = 0
        #: Called in each poll, while it is under way.
        self.in_poll: Callable[[], object] = lambda: None
        self.connections = 0

    def append(self, key: bytes, value: bytes) -> None:
        self.records.append(Record(self.end, key, value))
        self.end += 1


class LogConsumer:
    def __init__(self, log: Log, offset: int) -> None:
        self._log, self._offset = log, offset
        log.connections += 1

    def poll(self, seconds: float) -> None:
        self._log.in_poll()

    def take(self) -> list[Record]:
        first, self._offset = self._offset, self._log.end
        return [record for record in self._log.records if record.offset() >= first]

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        (place,) = places
        return [TopicPartition(place.topic, place.partition, self._offset)]

    def close(self) -> None:
        self._log.connections -= 1


def poll(consumer: LogConsumer, seconds: float) -> list[Message]:
    consumer.poll(seconds)
    return consumer.take()  # type: ignore[return-value]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def keys(log: Log, monkeypatch: pytest.MonkeyPatch) -> KeyLog:
    monkeypatch.setattr("producer.key_log.poll", poll)
    keys = KeyLog(ProducerSettings())
    monkeypatch.setattr(keys, "_decided_end", lambda: log.end)
    monkeypatch.setattr(keys, "_consumer", lambda isolation, offset: LogConsumer(log, offset))
    return keys


@pytest.mark.parametrize("is_started", [False, True])
def test_api_b10_a_look_up_does_not_wait_for_who_reads_the_log(
    log: Log, keys: KeyLog, is_started: bool
) -> None:
    """The event loop looks up; each poll waits for Kafka, and the first reading for all of it."""
    log.append(KEY, encode_note(NOTE, "x"))
    if is_started:
        keys.start()
    polling, over = Event(), Event()

    def wait() -> None:
        polling.set()
        over.wait(20)

    log.in_poll = wait
    with ThreadPoolExecutor(3) as threads:
        try:
            reads = (lambda: keys.wait_decided(0, 5.0)) if is_started else keys.start
            reading = threads.submit(reads)
            assert polling.wait(5)
            looking = threads.submit(lambda: (keys.note(KEY), keys.keys_of(b""), keys.oldest(1, 0)))
            note = NOTE if is_started else None
            assert looking.result(5) == (note, (0, int(is_started)), {})
            assert not reading.done()
        finally:
            over.set()
    assert keys.note(KEY) == NOTE
