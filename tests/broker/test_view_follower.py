"""The API's view against a real changelog: whole transactions, restarts, compaction, switches."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from confluent_kafka.admin import NewPartitions

from api.view.changelog_follower import Follower
from api.view.compaction_lag import ReadConfigs, ask_kafka
from api.view.end_offsets import LagWatch
from api.view.followed_view import ViewState
from api.view.live_version import LiveView
from api.view.stored_total import exact_total
from api.view.totals_view import TotalsView
from contract.changelog import Birth
from contract.device_totals import DEVICE_TOTALS
from contract.topics import READINGS, VIEWS
from contract.view_versions import ViewVersion, pointer_record, version_record
from tests.api_doubles import transaction, unseen_configs
from tests.broker.beside import DEADLINE_SECONDS, running_task, until
from tests.kafka import Kafka, TransactionalWriter
from tests.series_records import birth
from tests.totals_double import copies_in_memory

BIRTH = birth(Birth("cluster", READINGS.name, "source-id", "changelog-id", 0, "1"))


def give_birth(kafka: Kafka, topic: str, partitions: int) -> None:
    """What `energy topics create` begins every partition with."""
    for partition in range(partitions):
        TransactionalWriter(kafka, topic).write(BIRTH, partition=partition)


@pytest.fixture
def version(kafka: Kafka) -> ViewVersion:
    """A view version of the test's own, its changelog made."""
    return born(kafka, {"cleanup.policy": "compact"})


def born(kafka: Kafka, configs: dict[str, str]) -> ViewVersion:
    number = uuid.uuid4().int % 10**9
    give_birth(kafka, kafka.create_topic(DEVICE_TOTALS.changelog(number).name, 2, configs), 2)
    return ViewVersion(number, "live", 2, "1")


@asynccontextmanager
async def following(
    kafka: Kafka, version: ViewVersion, configs: ReadConfigs = unseen_configs
) -> AsyncIterator[Follower]:
    new_view = partial(TotalsView, copy=copies_in_memory().totals_of(version))
    follower = Follower(new_view, kafka.connection, version, configs=configs)
    async with running_task(follower.run()):
        yield follower


async def running(follower: Follower) -> TotalsView:
    await until(lambda: follower.view.state is ViewState.RUNNING, "the view is running")
    return follower.view


def totals_of(view: TotalsView) -> dict[str, tuple[str, int]]:
    with view.snapshot() as totals:
        found = [exact_total(device, stored) for device, stored in totals.by_device()]
    return {each.device_id: (each.total_energy_consumed_exact, each.readings) for each in found}


async def test_an_empty_changelog_is_a_running_view(kafka: Kafka, version: ViewVersion) -> None:
    async with following(kafka, version) as follower:
        view = await running(follower)
        assert view.applied_offsets() == [-1, -1]


async def test_committed_transactions_are_shown_and_aborted_ones_never(
    kafka: Kafka, version: ViewVersion
) -> None:
    writer = TransactionalWriter(kafka, DEVICE_TOTALS.changelog(version.view_version).name)
    writer.write(transaction({"a": (1, 1), "b": (2, 1)}, 1))
    writer.write(transaction({"a": (99, 9), "c": (99, 9)}, 5), is_aborted=True)
    writer.write(transaction({"a": (5, 2)}, 3), partition=1)
    async with following(kafka, version) as follower:
        view = await running(follower)
        assert totals_of(view) == {"a": ("6", 3), "b": ("2", 1)}
        assert view.applied_offsets() == [1, 3]
        writer.write(transaction({"b": (77, 7)}, 9), is_aborted=True)
        writer.write(transaction({"b": (4, 2)}, 2))
        await until(lambda: view.applied_offsets() == [2, 3], "the next transaction is shown")
        assert totals_of(view) == {"a": ("6", 3), "b": ("4", 2)}


async def test_an_open_transaction_is_not_shown(kafka: Kafka, version: ViewVersion) -> None:
    writer = TransactionalWriter(kafka, DEVICE_TOTALS.changelog(version.view_version).name)
    writer.write(transaction({"a": (1, 1)}, 1))
    async with following(kafka, version) as follower:
        view = await running(follower)
        writer.begin(transaction({"a": (2, 2)}, 2))
        await asyncio.sleep(0.3)
        assert totals_of(view) == {"a": ("1", 1)}
        writer.end()
        await until(lambda: view.applied_offsets()[0] == 2, "it is shown once committed")


async def test_no_reader_sees_half_of_a_large_transaction(kafka: Kafka) -> None:
    # Declared for all changelogs: compaction leaves a part of what a reader has not come to yet.
    version = born(kafka, {"cleanup.policy": "compact", "min.compaction.lag.ms": "300000"})
    names = [f"device_{number}" for number in range(20_000)]
    writer = TransactionalWriter(kafka, DEVICE_TOTALS.changelog(version.view_version).name)
    writer.write(transaction(dict.fromkeys(names, (1, 1)), 0))
    async with following(kafka, version) as follower:
        view = await running(follower)

        def write_more() -> None:
            for turn in range(2, 7):
                writer.write(transaction(dict.fromkeys(names, (turn, turn)), turn))

        writing = asyncio.create_task(asyncio.to_thread(write_more))
        first, last, middle = names[0].encode(), names[-1].encode(), names[10_000].encode()
        while view.applied_offsets()[0] < 6:
            with view.snapshot() as totals:
                assert totals.get(first) == totals.get(last) == totals.get(middle)
            await asyncio.sleep(0)
        await writing
        assert set(totals_of(view).values()) == {("6", 6)}


async def test_a_corrupt_record_stops_serving_and_says_so(
    kafka: Kafka, version: ViewVersion
) -> None:
    writer = TransactionalWriter(kafka, DEVICE_TOTALS.changelog(version.view_version).name)
    writer.write(transaction({"a": (1, 1)}, 1))
    async with following(kafka, version) as follower:
        served = await running(follower)
        writer.write([(b"a", b"rubbish")])
        await until(lambda: follower.view.state is not ViewState.RUNNING, "it is not served")
        assert "corrupt" in str(follower.view.problem)
        assert served.state is not ViewState.RUNNING


async def test_x18_a_changelog_made_again_is_served_once_it_is_born(
    kafka: Kafka, version: ViewVersion
) -> None:
    name = DEVICE_TOTALS.changelog(version.view_version).name
    writer = TransactionalWriter(kafka, name)
    for turn in range(10):
        writer.write(transaction({"a": (turn, turn + 1)}, turn))
    async with following(kafka, version) as follower:
        await running(follower)
        await asyncio.to_thread(kafka.delete_topic, name)
        await asyncio.to_thread(kafka.create_topic, name, 2)
        await until(
            lambda: follower.view.applied_offsets() == [-1, -1], "the old totals are forgotten"
        )
        following_writer = await asyncio.to_thread(TransactionalWriter, kafka, name)
        following_writer.write(transaction({"b": (5, 1)}, 0))
        await until(lambda: follower.view.devices == 1, "the new totals are read")
        await until(lambda: follower.view.problem is not None, "it says what is wrong")
        assert "has no birth record in partition 0" in str(follower.view.problem)
        assert follower.view.state is ViewState.CATCHING_UP
        await asyncio.to_thread(give_birth, kafka, name, 2)
        assert totals_of(await running(follower)) == {"b": ("5", 1)}
        assert follower.view.problem is None


async def test_partitions_added_later_are_followed(
    kafka: Kafka, version: ViewVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.view.changelog_follower.CHECK_SECONDS", 0.05)
    name = DEVICE_TOTALS.changelog(version.view_version).name
    TransactionalWriter(kafka, name).write(transaction({"a": (1, 1)}, 1))
    async with following(kafka, version) as follower:
        view = await running(follower)
        admin = kafka.admin()
        admin.create_partitions([NewPartitions(name, 3)])[name].result(DEADLINE_SECONDS)
        await asyncio.to_thread(
            lambda: TransactionalWriter(kafka, name).write(
                transaction({"a": (2, 1)}, 4), partition=2
            )
        )
        await until(lambda: view.applied_offsets() == [1, -1, 4], "the new partition is shown")
        assert view.state is ViewState.RUNNING
        assert totals_of(view) == {"a": ("3", 2)}


async def test_what_is_compacted_under_its_readers_is_not_shown_until_that_is_mended(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("CONFIG_CHECKS", 1), ("CHECK_SECONDS", 0.1), ("LONG_RETRY_SECONDS", 0.1)):
        monkeypatch.setattr(f"api.view.changelog_follower.{name}", value)
    monkeypatch.setattr("api.view.compaction_lag.CERTAIN_SECONDS", 1.0)
    number = uuid.uuid4().int % 10**9
    topic = DEVICE_TOTALS.changelog(number)
    give_birth(kafka, kafka.create_topic(topic.name, 1, topic.configs), 1)
    TransactionalWriter(kafka, topic.name).write(transaction({"a": (1, 1)}, 1))
    async with following(kafka, ViewVersion(number, "live", 1, "1"), ask_kafka) as follower:
        await running(follower)
        await asyncio.to_thread(kafka.alter, topic.name, "min.compaction.lag.ms", "299999")
        await until(lambda: follower.view.problem is not None, "it is not shown")
        assert follower.view.state is ViewState.CATCHING_UP
        assert f"{topic.name}: min.compaction.lag.ms is 299999" in str(follower.view.problem)
        await asyncio.to_thread(kafka.alter, topic.name, "min.compaction.lag.ms", "300000")
        assert totals_of(await running(follower)) == {"a": ("1", 1)}


async def test_the_pointer_switches_to_a_view_that_is_not_behind(own_kafka: Kafka) -> None:
    own_kafka.create_topic(VIEWS.name, 1, VIEWS.configs)
    writers = []
    for number in (1, 2):
        topic = DEVICE_TOTALS.changelog(number)
        give_birth(own_kafka, own_kafka.create_topic(topic.name, 1, topic.configs), 1)
        writers.append(TransactionalWriter(own_kafka, DEVICE_TOTALS.changelog(number).name))
    producer = own_kafka.producer()

    def point_to(number: int) -> None:
        for key, value in (
            version_record(ViewVersion(number, "live", 1, "1")),
            pointer_record(number),
        ):
            producer.produce(VIEWS.name, value, key)
        producer.flush(DEADLINE_SECONDS)

    live = LiveView(own_kafka.connection, copies_in_memory())

    def shown() -> tuple[int, list[int]] | None:
        view = live.view
        if view is None or view.state is not ViewState.RUNNING:
            return None
        return view.view_version, view.applied_offsets()

    async with running_task(live.run()):
        await until(lambda: live.problem is not None, "no view is live yet")
        writers[0].write(transaction({"a": (5, 5)}, 5))
        writers[1].write(transaction({"a": (3, 3)}, 3))
        point_to(1)
        await until(lambda: shown() == (1, [5]), "the first view is served")
        waiting = asyncio.create_task(live.reached({0: 6}))
        point_to(2)
        await asyncio.sleep(0.5)
        assert shown() == (1, [5])
        writers[1].write(transaction({"a": (5, 5)}, 5))
        await until(lambda: shown() == (2, [5]), "the second view is served")
        assert not waiting.done()
        writers[1].write(transaction({"a": (6, 6)}, 6))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await waiting


async def test_the_lag_counts_what_is_written(own_kafka: Kafka) -> None:
    own_kafka.create_topic(READINGS.name, 2)
    own_kafka.write(READINGS.name, [b"{}"] * 3)
    lag = LagWatch(own_kafka.connection)
    async with running_task(lag.run()):
        await until(lambda: lag.lag_records([-1, -1]) == 3, "the lag is known")
        assert lag.lag_records([1, -1]) == 1
        own_kafka.write(READINGS.name, [b"{}"] * 2, partition=1)
        await until(lambda: lag.lag_records([2, -1]) == 2, "the lag grows")
