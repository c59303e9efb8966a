"""The simulated fleet against a real broker: the oracle is what the log has, whatever happens."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Message

from contract.decimals import canonical
from contract.decoding import decode_readings
from contract.device_totals import PartTotals, fold
from contract.topics import READINGS
from local_stack.broker.process import LocalBroker
from local_stack.ports import free_port
from producer.client.delivery import Delivery
from producer.client.reading_producer import ReadingProducer
from producer.errors import BrokerUnreachable, TopicMissing
from producer.fleet.simulate import SimulateOptions, SimulateSummary, run
from producer.settings import ProducerSettings
from tests.kafka import Kafka, wait_until


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """A broker of this module: the fleet publishes to the readings topic, which others use too."""
    with LocalBroker(tmp_path_factory.mktemp("simulate") / "broker", 0) as broker:
        broker.wait_ready(60)
        yield broker


@pytest.fixture
def log(broker: LocalBroker) -> Iterator[Kafka]:
    """The readings topic, new."""
    kafka = Kafka(broker.bootstrap_servers)
    kafka.create_topic(READINGS.name, 4)
    yield kafka
    kafka.delete_topic(READINGS.name)
    wait_until(
        lambda: READINGS.name not in kafka.admin().list_topics(timeout=5).topics,
        "the readings topic is gone",
    )


def options_for(kafka: Kafka, oracle: Path, **overrides: object) -> SimulateOptions:
    settings = ProducerSettings.load({}, bootstrap_servers=kafka.bootstrap_servers)
    return SimulateOptions(settings, oracle=oracle, **overrides)  # type: ignore[arg-type]


def check_oracle(kafka: Kafka, oracle: Path, summary: SimulateSummary | None) -> list[Message]:
    """The oracle is the fold of the log; the summary counts its records."""
    records = kafka.read(READINGS.name)
    readings, rejected = decode_readings([record.value() for record in records])
    totals: PartTotals = {}
    fold(readings, totals)
    found = json.loads(oracle.read_text(encoding="utf-8"))
    assert found == {device: canonical(total) for device, (total, _) in totals.items()}
    assert list(oracle.parent.glob(f".{oracle.name}*")) == []
    if summary is not None:
        assert (summary.refused, summary.unknown) == (0, 0)
        assert (summary.acknowledged, summary.bad_sent) == (len(records), len(rejected))
    return records


@pytest.mark.parametrize("key", ["murmur2", "crc32", "none"])
def test_the_oracle_is_the_fold_of_the_log(log: Kafka, tmp_path: Path, key: str):
    shown: list[tuple[int, int | None]] = []
    options = options_for(log, tmp_path / "o.json", readings=12_345, bad=0.05, key=key)
    summary = run(options, lambda done, total: shown.append((done, total)))
    records = check_oracle(log, tmp_path / "o.json", summary)
    assert summary.acknowledged - summary.bad_sent == 12_345
    assert summary.bad_sent == 649
    assert shown[-1] == (12_345, 12_345)
    assert {record.key() is None for record in records} == {key == "none"}


def test_a_paced_fleet_takes_its_time(log: Kafka, tmp_path: Path):
    summary = run(options_for(log, tmp_path / "o.json", readings=500, rate=1000.0))
    check_oracle(log, tmp_path / "o.json", summary)
    assert summary.seconds >= 0.499


def test_a_quick_fleet_does_not_wake_for_each_reading(
    log: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[Delivery] = []
    open_one = ReadingProducer.open

    def counted(producer: ReadingProducer, *, keep_failed: bool = False) -> Delivery:
        opened.append(open_one(producer, keep_failed=keep_failed))
        return opened[-1]

    monkeypatch.setattr(ReadingProducer, "open", counted)
    summary = run(options_for(log, tmp_path / "o.json", readings=4_000, rate=20_000.0))
    check_oracle(log, tmp_path / "o.json", summary)
    assert len(opened) <= 120, "0.2 s have 100 times 2 ms"


def test_stopped_it_writes_what_was_acknowledged(log: Kafka, tmp_path: Path):
    acknowledged: list[int] = []
    summary = run(
        options_for(log, tmp_path / "o.json", rate=5000.0),
        lambda done, total: acknowledged.append(done),
        should_stop=lambda: bool(acknowledged) and acknowledged[-1] > 1000,
    )
    assert summary.acknowledged > 1000
    check_oracle(log, tmp_path / "o.json", summary)


def test_interrupted_it_writes_what_was_acknowledged(log: Kafka, tmp_path: Path):
    def interrupt(done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(options_for(log, tmp_path / "o.json", rate=20_000.0), interrupt)
    assert check_oracle(log, tmp_path / "o.json", None)


def test_x6_an_outage_neither_loses_nor_doubles(
    running_broker: LocalBroker, tmp_path: Path
) -> None:
    broker, kafka = running_broker, Kafka(running_broker.bootstrap_servers)
    kafka.create_topic(READINGS.name, 4)
    done: list[int] = [0]
    results: list[SimulateSummary] = []
    options = options_for(kafka, tmp_path / "o.json", readings=60_000, rate=20_000.0, seed=5)
    worker = threading.Thread(
        target=lambda: results.append(run(options, lambda now, total: done.append(now)))
    )
    worker.start()
    wait_until(lambda: done[-1] > 10_000, "a part is acknowledged")
    broker.kill()
    before = done[-1]
    broker.start()
    broker.wait_ready(60)
    wait_until(lambda: done[-1] > before, "it goes on by itself", 60)
    worker.join(60)
    assert results[0].acknowledged == 60_000
    check_oracle(kafka, tmp_path / "o.json", results[0])


def test_stopped_while_the_broker_is_gone_it_ends_and_counts_nothing_twice(
    running_broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.fleet.simulate._STOP_SECONDS", 1.0)
    broker, kafka = running_broker, Kafka(running_broker.bootstrap_servers)
    kafka.create_topic(READINGS.name, 4)
    done: list[int] = [0]
    killed = threading.Event()
    results: list[SimulateSummary] = []
    options = options_for(kafka, tmp_path / "o.json", rate=20_000.0)
    worker = threading.Thread(
        target=lambda: results.append(
            run(options, lambda now, total: done.append(now), should_stop=killed.is_set)
        )
    )
    worker.start()
    wait_until(lambda: done[-1] > 5000, "a part is acknowledged")
    broker.kill()
    began = time.monotonic()
    killed.set()
    worker.join(30)
    assert time.monotonic() - began < 20
    broker.start()
    broker.wait_ready(60)
    (summary,) = results
    records = kafka.read(READINGS.name)
    assert summary.acknowledged <= len(records) <= summary.acknowledged + summary.unknown
    oracle = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    totals: PartTotals = {}
    fold(decode_readings([record.value() for record in records])[0], totals)
    assert set(oracle) <= set(totals)


def test_without_broker_or_topic_it_says_so_and_writes_an_empty_oracle(
    broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.fleet.simulate._CHECK_SECONDS", 2.0)
    nowhere = Kafka(f"127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(BrokerUnreachable):
        run(options_for(nowhere, tmp_path / "o.json", readings=1))
    assert time.monotonic() - began < 7
    with pytest.raises(TopicMissing, match="energy topics create"):
        run(options_for(Kafka(broker.bootstrap_servers), tmp_path / "o.json", readings=1))
    assert json.loads((tmp_path / "o.json").read_text(encoding="utf-8")) == {}


def test_a_home_sends_its_past_and_then_goes_on_at_its_rate(log: Kafka, tmp_path: Path):
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    quarters = tmp_path / "quarters.json"
    began = time.monotonic()
    summary = run(
        options_for(
            log,
            tmp_path / "oracle.json",
            devices=12,
            start=start,
            every=900.0,
            rate=50.0,
            quarters=quarters,
        ),
        should_stop=lambda: time.monotonic() - began > 3.0,
    )
    past = 12 * 2 * 96
    assert past < summary.acknowledged <= past + 60 + 50 * (time.monotonic() - began)
    check_oracle(log, tmp_path / "oracle.json", summary)
    sums = json.loads(quarters.read_text(encoding="utf-8"))
    counted = sum(n for places in sums.values() for q in places.values() for _, n in q.values())
    assert counted == summary.acknowledged
