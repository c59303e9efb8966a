"""What the producer says of records against what a real broker has of them."""

import os
import signal
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from contract.decoding import validate
from contract.errors import InvalidReading
from contract.quarantine import ImportedRow, decode_quarantined, encode_quarantined
from local_stack.broker.process import LocalBroker
from local_stack.ports import free_port
from producer.client.delivery import PARCEL_RECORDS
from producer.client.outcome import Outcome
from producer.client.reading_producer import ReadingProducer
from producer.errors import BrokerUnreachable, ProducerStopped, QueueFull, TopicMissing
from producer.settings import ProducerSettings
from tests.kafka import Kafka, wait_until

TopicFactory = Callable[..., str]

#: Java's murmur2 of each text, from Kafka's own tests.
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@contextmanager
def producing(servers: str, **overrides: object) -> Iterator[ReadingProducer]:
    settings = ProducerSettings.load({}, bootstrap_servers=servers, **overrides)
    producer = ReadingProducer(settings)
    try:
        yield producer
    finally:
        producer.stop(5)


def deliver(
    producer: ReadingProducer,
    topic: str,
    values: list[bytes | None],
    keys: list[bytes | None] | None = None,
) -> Outcome:
    delivery = producer.open()
    delivery.send(topic, values, keys)
    delivery.seal()
    outcome = delivery.wait(30)
    assert outcome is not None
    return outcome


@contextmanager
def frozen(broker: LocalBroker) -> Iterator[None]:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


def test_what_is_acknowledged_is_in_the_log_in_order(kafka: Kafka, topic_factory: TopicFactory):
    topic = topic_factory("in", partitions=3)
    values: list[bytes | None] = [b"%d" % number for number in range(2 * PARCEL_RECORDS + 1)]
    keys: list[bytes | None] = [b"key-%d" % (number % 7) for number in range(len(values))]
    with producing(kafka.bootstrap_servers) as producer:
        outcome = deliver(producer, topic, values, keys)
    records = kafka.read(topic)
    assert outcome.acknowledged == {topic: len(values)}
    assert (outcome.refused, outcome.unknown, outcome.reason) == (0, 0, None)
    assert outcome.reason is None
    assert sorted(record.value() for record in records) == sorted(values)  # type: ignore[type-var]
    assert outcome.offsets == {
        (topic, partition): end - 1 for partition, end in kafka.end_offsets(topic).items() if end
    }
    for key in set(keys):
        mine = [int(record.value() or b"") for record in records if record.key() == key]
        assert mine == sorted(mine)


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_each_compression_can_be_read(kafka: Kafka, topic_factory: TopicFactory, compression: str):
    topic = topic_factory()
    with producing(kafka.bootstrap_servers, compression=compression) as producer:
        assert deliver(producer, topic, [b"a" * 100, None, b""]).reason is None
    assert [record.value() for record in kafka.read(topic)] == [b"a" * 100, None, b""]


@pytest.mark.parametrize(
    ("partitioner", "hashed"),
    [
        ("murmur2", {key: murmur2 & 0x7FFFFFFF for key, murmur2 in MURMUR2.items()}),
        ("crc32", {key: zlib.crc32(key) for key in MURMUR2}),
    ],
)
def test_murmur2_is_javas_and_crc32_librdkafkas(
    kafka: Kafka, topic_factory: TopicFactory, partitioner: str, hashed: dict[bytes, int]
):
    topic = topic_factory(partitions=7)
    with producing(kafka.bootstrap_servers, partitioner=partitioner) as producer:
        deliver(producer, topic, list(MURMUR2), list(MURMUR2))
    found = {record.key(): record.partition() for record in kafka.read(topic)}
    assert found == {key: number % 7 for key, number in hashed.items()}


def test_without_a_partitioner_no_key_is_sent(kafka: Kafka, topic_factory: TopicFactory):
    topic = topic_factory(partitions=2)
    with producing(kafka.bootstrap_servers, partitioner="none") as producer:
        deliver(producer, topic, [b"a"] * 10, [b"k"] * 10)
    assert [record.key() for record in kafka.read(topic)] == [None] * 10


def test_the_callback_comes_once_with_the_outcome(kafka: Kafka, topic_factory: TopicFactory):
    topic = topic_factory()
    calls: list[tuple[str, Outcome]] = []
    with producing(kafka.bootstrap_servers) as producer:
        delivery = producer.open()
        delivery.send(topic, [b"a", b"b"])
        assert delivery.wait(0) is None
        delivery.seal(lambda outcome: calls.append((threading.current_thread().name, outcome)))
        outcome = delivery.wait(30)
        wait_until(lambda: calls, "the callback came")
        with pytest.raises(ValueError, match="sealed"):
            delivery.seal()
        empty = producer.open()
        empty.seal(lambda outcome: calls.append(("empty", outcome)))
    assert calls[0] == ("reading-producer", outcome)
    assert [name for name, _ in calls[1:]] == ["empty"]
    assert calls[1][1].reason is None


def test_one_delivery_may_go_to_readings_and_quarantine(kafka: Kafka, topic_factory: TopicFactory):
    readings, quarantine = topic_factory("readings"), topic_factory("quarantine")
    with pytest.raises(InvalidReading) as caught:
        validate(b"{}")
    now = datetime.now(UTC)
    record = encode_quarantined(b"{}", caught.value, ImportedRow("i-1", "f", 3), now)
    with producing(kafka.bootstrap_servers) as producer:
        delivery = producer.open()
        delivery.send(readings, [b"a", b"b"])
        delivery.send(quarantine, [record])
        delivery.seal()
        outcome = delivery.wait(30)
    assert outcome.acknowledged == {readings: 2, quarantine: 1}
    (found,) = kafka.read(quarantine)
    assert decode_quarantined(found.value())["__line"] == 3
    assert found.headers() is None


def test_a_record_that_is_too_large_is_refused_alone(kafka: Kafka, topic_factory: TopicFactory):
    topic = topic_factory()
    with producing(kafka.bootstrap_servers) as producer:
        outcome = deliver(producer, topic, [b"a", b"x" * 2_000_000, b"b"])
    assert (outcome.acknowledged, outcome.refused, outcome.unknown) == ({topic: 2}, 1, 0)
    assert [record.value() for record in kafka.read(topic)] == [b"a", b"b"]


def test_a_topic_that_is_missing_is_named(kafka: Kafka, unique_name: str):
    with producing(kafka.bootstrap_servers) as producer:
        with pytest.raises(TopicMissing, match=unique_name):
            producer.check(unique_name, timeout_seconds=30)
        outcome = deliver(producer, unique_name, [b"a"])
    assert (outcome.acknowledged.get(unique_name, 0), outcome.refused) == (0, 1)


def test_without_a_broker_nothing_can_be_in_a_log():
    with producing(f"127.0.0.1:{free_port()}", delivery_timeout_seconds=1.0) as producer:
        with pytest.raises(BrokerUnreachable):
            producer.check(timeout_seconds=0.5)
        began = time.monotonic()
        outcome = deliver(producer, "readings", [b"a", b"b"])
        assert time.monotonic() - began < 5
        assert not producer.is_connected
    assert (outcome.acknowledged.get("readings", 0), outcome.refused, outcome.unknown) == (0, 2, 0)


def test_b25_after_the_broker_died_nothing_can_be_in_its_log(running_broker: LocalBroker):
    topic = Kafka(running_broker.bootstrap_servers).create_topic("readings")
    with producing(running_broker.bootstrap_servers, delivery_timeout_seconds=4.0) as producer:
        assert deliver(producer, topic, [b"before"]).reason is None
        running_broker.kill()
        wait_until(lambda: not producer.is_connected, "the connection is seen to be lost")
        outcome = deliver(producer, topic, [b"after"] * 3)
    assert (outcome.refused, outcome.unknown) == (3, 0)
    assert outcome.reason is not None


def test_b25_what_a_silent_broker_was_sent_is_unknown(running_broker: LocalBroker):
    kafka = Kafka(running_broker.bootstrap_servers)
    topic = kafka.create_topic("readings")
    with producing(running_broker.bootstrap_servers, delivery_timeout_seconds=4.0) as producer:
        assert deliver(producer, topic, [b"before"]).reason is None
        with frozen(running_broker):
            outcome = deliver(producer, topic, [b"unknown"] * 3)
            assert (outcome.acknowledged.get(topic, 0), outcome.refused) == (0, 0)
            assert outcome.unknown == 3
        after = deliver(producer, topic, [b"after"])
    assert after.reason is None
    counts = Counter(record.value() for record in kafka.read(topic))
    assert (counts[b"before"], counts[b"after"]) == (1, 1)
    assert counts[b"unknown"] in (0, 3)


def test_a_full_queue_refuses_at_once_and_takes_none(running_broker: LocalBroker):
    kafka = Kafka(running_broker.bootstrap_servers)
    topic = kafka.create_topic("readings")
    with producing(running_broker.bootstrap_servers, queue_records=10) as producer:
        producer.check(topic, timeout_seconds=30)
        with frozen(running_broker):
            delivery = producer.open()
            delivery.send(topic, [b"a"] * 8)
            with pytest.raises(QueueFull):
                delivery.send(topic, [b"refused"] * 3)
            delivery.send(topic, [b"b"] * 2)
            assert producer.records_under_way == 10
        wait_until(lambda: not producer.records_under_way, "all are acknowledged")
        delivery.send(topic, [b"c"] * 5)
        delivery.seal()
        outcome = delivery.wait(30)
        assert producer.records_under_way == 0
    assert outcome.acknowledged == {topic: 15}
    counts = Counter(record.value() for record in kafka.read(topic))
    assert counts == {b"a": 8, b"b": 2, b"c": 5}


def test_after_stop_nothing_is_sent(running_broker: LocalBroker):
    kafka = Kafka(running_broker.bootstrap_servers)
    topic = kafka.create_topic("readings")
    with producing(running_broker.bootstrap_servers) as producer:
        assert deliver(producer, topic, [b"before"]).reason is None
        running_broker.kill()
        wait_until(lambda: not producer.is_connected, "the connection is seen to be lost")
        delivery, later = producer.open(), producer.open()
        delivery.send(topic, [b"recalled"] * 1000)
        delivery.seal()
        began = time.monotonic()
        producer.stop(1)
        assert time.monotonic() - began < 5
        outcome = delivery.wait(0)
        assert (outcome.acknowledged.get(topic, 0), outcome.refused) == (0, 1000)
        with pytest.raises(ProducerStopped):
            producer.open()
        with pytest.raises(ProducerStopped):
            later.send(topic, [b"in vain"])
        running_broker.start()
        running_broker.wait_ready(60)
        assert deliver_by_another(running_broker, topic).reason is None
    assert [record.value() for record in kafka.read(topic)] == [b"before", b"another"]


def deliver_by_another(broker: LocalBroker, topic: str) -> Outcome:
    with producing(broker.bootstrap_servers) as producer:
        return deliver(producer, topic, [b"another"])


def test_stop_waits_for_what_is_under_way(kafka: Kafka, topic_factory: TopicFactory):
    topic = topic_factory()
    with producing(kafka.bootstrap_servers, linger_ms=500) as producer:
        delivery = producer.open()
        delivery.send(topic, [b"a"] * 100)
        delivery.seal()
        producer.stop(30)
        outcome = delivery.wait(0)
        producer.stop()
    assert outcome.acknowledged == {topic: 100}


def test_failed_values_are_kept_where_asked(kafka: Kafka, topic_factory: TopicFactory):
    topic = topic_factory()
    large = b"x" * 2_000_000
    with producing(kafka.bootstrap_servers) as producer:
        delivery = producer.open(keep_failed=True)
        delivery.send(topic, [b"a", large])
        delivery.seal()
        assert delivery.wait(30) is not None
        assert delivery.has_failed
    assert delivery.failed_values == [large]


def test_records_of_many_threads_are_all_accounted_for(kafka: Kafka, topic_factory: TopicFactory):
    topic = topic_factory(partitions=4)
    outcomes: list[Outcome] = []
    with producing(kafka.bootstrap_servers, queue_records=3000) as producer:

        def work(number: int) -> None:
            for turn in range(20):
                outcomes.append(deliver(producer, topic, [b"%d-%d" % (number, turn)] * 100))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sum(outcome.acknowledged[topic] for outcome in outcomes) == 16_000
    assert set(Counter(record.value() for record in kafka.read(topic)).values()) == {100}
