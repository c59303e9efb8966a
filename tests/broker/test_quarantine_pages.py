"""Pages of a real quarantine topic: committed records only, from the ends of the partitions."""

from collections.abc import Callable

from api.query.quarantine_log import Page, QuarantineLog
from kafka_io.batches.reader import ChunkReader
from tests.kafka import Kafka
from tests.quarantine_double import quarantine_value

DEADLINE_SECONDS = 20


async def page(kafka: Kafka, topic: str, offset: int = 0, limit: int = 100) -> list[str]:
    log = QuarantineLog({}, open_reader=lambda: ChunkReader(kafka.connection, topic))
    found: Page = await log.newest(1, offset, limit, 10**7)
    return [record.decode().partition('"c__import_id": "')[2][:4] for record in found.records]


async def test_only_committed_records_of_the_version_newest_first(
    kafka: Kafka, topic_factory: Callable[..., str]
) -> None:
    topic = topic_factory("quarantine", partitions=3)
    producer = kafka.producer(transactional_id=topic)
    producer.init_transactions(DEADLINE_SECONDS)

    def write(name: str, partition: int, version: int, *, is_aborted: bool = False) -> None:
        producer.begin_transaction()
        producer.produce(
            topic,
            quarantine_value(c__import_id=name),
            partition=partition,
            headers=[("view_version", str(version).encode())],
        )
        producer.flush(DEADLINE_SECONDS)
        if is_aborted:
            producer.abort_transaction(DEADLINE_SECONDS)
        else:
            producer.commit_transaction(DEADLINE_SECONDS)

    for turn in range(5):
        write(f"a{turn:03}", turn % 2, 1)
        write(f"b{turn:03}", turn % 2, 2)
        write(f"c{turn:03}", turn % 2, 1, is_aborted=True)
    assert await page(kafka, topic) == ["a004", "a003", "a002", "a001", "a000"]
    assert await page(kafka, topic, offset=1, limit=2) == ["a003", "a002"]
    producer.begin_transaction()
    producer.produce(topic, quarantine_value(c__import_id="open"), partition=0)
    producer.flush(DEADLINE_SECONDS)
    assert await page(kafka, topic, limit=1) == ["a004"]
    producer.commit_transaction(DEADLINE_SECONDS)
    assert await page(kafka, topic, limit=1) == ["open"]
