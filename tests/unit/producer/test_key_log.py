"""The log of the keys between its consumers and who looks something up; Kafka is a double."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from confluent_kafka import Message, TopicPartition

from contract.errors import CorruptRecord
from contract.key_notes import KeyNote, encode_note, record_key
from producer.idempotency.key_log import KeyLog
from producer.idempotency.key_order import Stale
from producer.settings import ProducerSettings

KEY = record_key("test", "events", "a")
NOTE = KeyNote(b"0123456789abcdef", 1_700_000_000)


class Record:
    """A message of the log."""

    def __init__(self, offset: int, key: bytes, value: bytes | None) -> None:
        self._offset, self._key, self._value = offset, key, value

    def error(self) -> None:
        return None

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes | None:
        return self._value


class Log:
    """What both consumers are given, and where they are in it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.end = 0
        #: Called in each poll, while it is under way.
        self.in_poll: Callable[[], object] = lambda: None
        self.connections = 0

    def append(self, key: bytes, value: bytes | None) -> None:
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


def poll(consumer: LogConsumer, seconds: float, *, for_good: bool) -> list[Message]:
    assert for_good
    consumer.poll(seconds)
    return consumer.take()  # type: ignore[return-value]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def unreadable() -> list[None]:
    """One for each note that could not be read."""
    return []


@pytest.fixture
def keys(log: Log, unreadable: list[None], monkeypatch: pytest.MonkeyPatch) -> KeyLog:
    monkeypatch.setattr("producer.idempotency.key_log.poll", poll)
    keys = KeyLog(ProducerSettings(), lambda: unreadable.append(None))
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


@pytest.mark.parametrize("is_started", [False, True])
@pytest.mark.parametrize("foreign", [b"", b"hello", b'{"note":{"at":-1}}', b"[" * 100_000])
def test_api_b10_a_record_that_is_no_note_of_ours_costs_its_own_key_alone(
    log: Log,
    keys: KeyLog,
    unreadable: list[None],
    caplog: pytest.LogCaptureFixture,
    is_started: bool,
    foreign: bytes,
) -> None:
    if is_started:
        keys.start()
    others = [record_key("test", "events", text) for text in "bcd"]
    for key in others:
        log.append(key, encode_note(NOTE, "x"))
    log.append(others[1], foreign)
    log.append(KEY, encode_note(NOTE, "x"))
    keys.start()
    assert keys.wait_decided(log.end - 1, 0)
    assert [keys.note(key) for key in (others[0], others[2], KEY)] == [NOTE] * 3
    with pytest.raises(CorruptRecord):
        keys.note(others[1])
    # A request that looked it up before has to look again.
    with pytest.raises(Stale):
        keys.check([log.end - 1], {others[1]: NOTE})
    assert len(unreadable) == 1
    assert "offset 3" in caplog.text
    assert others[1].decode() in caplog.text
    assert keys.keys_of(others[0].split(b"/")[1]) == (3, 3)
    log.append(others[1], None)
    assert keys.wait_decided(log.end - 1, 0)
    assert keys.note(others[1]) is None


def test_api_b10_notes_are_read_once_more_after_an_unexpected_failure(
    log: Log, keys: KeyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.start()
    log.append(KEY, encode_note(NOTE, "x"))

    def fail(key: bytes, value: bytes | None) -> None:
        raise RuntimeError("nobody foresaw it")

    with monkeypatch.context() as broken:
        broken.setattr(keys._order, "apply", fail)
        with pytest.raises(RuntimeError):
            keys.wait_decided(0, 0)
    assert log.connections == 0
    assert keys.wait_decided(0, 0)
    assert keys.note(KEY) == NOTE
