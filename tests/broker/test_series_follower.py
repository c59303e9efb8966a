"""The API's series against a real changelog: whole commits, restarts from the copy, compaction."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.view.changelog_follower import Follower
from api.view.copy.copies import Copies
from api.view.followed_view import ViewState
from api.view.series import Filter
from api.view.series_view import SeriesView
from contract.changelog import Birth
from contract.energy_series import ENERGY_SERIES
from contract.view_versions import ViewVersion
from tests.api_doubles import unseen_configs
from tests.broker.beside import running_task, until
from tests.kafka import Kafka, TransactionalWriter
from tests.series_records import BIRTH, birth, commit, row

ROOT = Path(__file__).parents[2]


@pytest.fixture
def version() -> ViewVersion:
    return ViewVersion(uuid.uuid4().int % 10**9, "live", 2, "2")


@pytest.fixture
def topic(kafka: Kafka, version: ViewVersion) -> str:
    return make(kafka, version, BIRTH)


def make(kafka: Kafka, version: ViewVersion, born: Birth) -> str:
    """Make the changelog, its partitions born."""
    topic = ENERGY_SERIES.changelog(version.view_version)
    configs = topic.configs | {"segment.ms": "100", "min.compaction.lag.ms": "0"}
    kafka.create_topic(topic.name, version.partitions, configs)
    for partition in range(version.partitions):
        TransactionalWriter(kafka, topic.name).write(birth(born), partition=partition)
    return topic.name


class Process:
    """One API process, as far as the series goes: what was read, and what it shows."""

    def __init__(self, follower: Follower[SeriesView]) -> None:
        self._follower = follower

    @property
    def view(self) -> SeriesView:
        return self._follower.view

    async def shows(self, *offsets: int) -> dict[str, tuple[object, int]]:
        """Return the sums of devices once these offsets are applied."""
        await until(
            lambda: (
                self.view.state is ViewState.RUNNING
                and self.view.applied_offsets() == list(offsets)
            ),
            f"{offsets} are shown",
        )
        with self.view.snapshot() as series:
            assert series.applied_offsets == list(offsets)
            found = series.by_device(None, Filter())
        return {each.device_id: (each.total, each.readings) for each in found}


@asynccontextmanager
async def following(kafka: Kafka, version: ViewVersion, directory: Path) -> AsyncIterator[Process]:
    copy = Copies(directory, 100_000_000).series_of(version)
    assert copy is not None
    follower = Follower(
        lambda n, p: SeriesView(n, p, copy), kafka.connection, version, configs=unseen_configs
    )
    try:
        async with running_task(follower.run()):
            yield Process(follower)
    finally:
        await copy.close()


async def test_a_restart_reads_only_what_is_new(
    kafka: Kafka, version: ViewVersion, topic: str, tmp_path: Path
) -> None:
    writer = TransactionalWriter(kafka, topic)
    for turn in range(30):
        writer.write(commit([row(f"device_{turn % 7}", turn, turn + 1)], turn), partition=turn % 2)
    async with following(kafka, version, tmp_path) as process:
        before = await process.shows(28, 29)
        assert process.view.transactions > 1, "compaction has left some"
    writer.write(commit([row("new", 1)], 30))
    async with following(kafka, version, tmp_path) as process:
        assert await process.shows(30, 29) == before | {"new": (1, 1)}
        assert process.view.transactions == 1
    async with following(kafka, version, tmp_path) as process:
        assert await process.shows(30, 29) == before | {"new": (1, 1)}
        assert process.view.transactions == 0


async def test_a_restart_over_a_compacted_changelog_shows_the_same(
    kafka: Kafka, version: ViewVersion, topic: str, tmp_path: Path
) -> None:
    writer = TransactionalWriter(kafka, topic)
    writer.write(commit([row("a", 1), row("b", 1)], 1))
    writer.write([], partition=1)
    async with following(kafka, version, tmp_path) as process:
        await process.shows(1, -1)
    turn = 2
    while turn < 30 or len(kafka.read(topic)) > 40:
        # The cleaner leaves the newest segment alone; a new one begins every 100 ms.
        writer.write(commit([row("a", turn, turn)], turn))
        turn += 1
        assert turn < 1_000, "the changelog is compacted"
        await asyncio.sleep(0.1)
    async with following(kafka, version, tmp_path) as process:
        assert await process.shows(turn - 1, -1) == {"a": (turn - 1, turn - 1), "b": (1, 1)}
    async with following(kafka, version, tmp_path / "another") as process:
        assert await process.shows(turn - 1, -1) == {"a": (turn - 1, turn - 1), "b": (1, 1)}


async def test_a_changelog_made_again_is_read_anew(
    kafka: Kafka,
    version: ViewVersion,
    topic: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    TransactionalWriter(kafka, topic).write(commit([row("a", 1)], 1))
    async with following(kafka, version, tmp_path) as process:
        await process.shows(1, -1)
    await asyncio.to_thread(kafka.delete_topic, topic)
    born = Birth("cluster", "energy_consumption", "source-id", "made again", 0, "2")
    await asyncio.to_thread(make, kafka, version, born)
    # Longer than the one before, so that the position alone says nothing.
    for turn in range(5):
        TransactionalWriter(kafka, topic).write(commit([row("b", turn, turn + 1)], turn))
    async with following(kafka, version, tmp_path) as process:
        assert await process.shows(4, -1) == {"b": (4, 5)}
    assert "the copy is of another changelog" in caplog.text


async def test_the_copy_of_a_killed_process_is_gone_on_with(
    kafka: Kafka, version: ViewVersion, topic: str, tmp_path: Path
) -> None:
    writer = TransactionalWriter(kafka, topic)
    writer.write(commit([row("a", 1)], 1))
    arguments = (kafka.bootstrap_servers, str(version.view_version), str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"from {__name__} import show_once; show_once()", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await process.stdout.readline() == b"{'a': (1, 1)}\n"
    finally:
        # Nothing is closed, no task ended, no file forced to the disk.
        process.kill()
        await process.wait()
    async with following(kafka, version, tmp_path) as again:
        assert await again.shows(1, -1) == {"a": (1, 1)}
        assert again.view.transactions == 0, "nothing is read again"
        writer.write(commit([row("b", 2)], 2))
        assert await again.shows(2, -1) == {"a": (1, 1), "b": (2, 1)}


def show_once() -> None:
    """A process that says what it shows, and lives on."""
    bootstrap_servers, number, directory = sys.argv[1:]
    version = ViewVersion(int(number), "live", 2, "2")

    async def show() -> None:
        async with following(Kafka(bootstrap_servers), version, Path(directory)) as process:
            print(await process.shows(1, -1), flush=True)
            await asyncio.Event().wait()

    asyncio.run(show())
