"""X14, X16: stores that cannot be read, or are not this partition's, or are old."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from contract.device_totals import DEVICE_TOTALS
from kafka_io.cluster_changes import ClusterAdmin
from operations.bootstrap import prepare
from operations.settings import TopicSettings
from stream_app.store.database import close_database, open_database
from stream_app.store.rocksdb_store import PartitionStore
from tests.fault.checker import TOTALS_STORES, VIEWS
from tests.fault.conftest import PipelineFactory
from tests.fault.pipeline import Pipeline
from tests.fault.workers import WorkerProcess
from tests.kafka import Kafka, wait_until


def stores_of(worker: WorkerProcess, view: str = TOTALS_STORES) -> list[Path]:
    return sorted(worker.directory.glob(f"**/{view}-*.db"))


def worked_once(pipeline: Pipeline, readings: int = 4_000) -> WorkerProcess:
    """A stopped worker whose stores hold something."""
    worker = pipeline.workers.add()
    pipeline.fleet.publish(readings)
    pipeline.wait_progress(readings)
    pipeline.wait_applied("what its stores hold")
    assert worker.stop() == 0
    assert [len(stores_of(worker, view)) for view in VIEWS] == [pipeline.partitions] * 2
    return worker


def work_again(pipeline: Pipeline, worker: WorkerProcess) -> str:
    """Start it, give it more, and judge; what it printed."""
    worker.start()
    pipeline.fleet.publish(1_000)
    pipeline.finish()
    return worker.last_start


@pytest.mark.timeout(90)
def test_x14_stores_that_cannot_be_opened_are_rebuilt(pipeline: Pipeline) -> None:
    worker = worked_once(pipeline)
    unreadable: list[str] = []
    for view in VIEWS:
        no_current, garbage, empty, cut = stores_of(worker, view)
        (no_current / "CURRENT").unlink()
        for manifest in garbage.glob("MANIFEST-*"):
            manifest.write_bytes(b"\xa5" * manifest.stat().st_size)
        shutil.rmtree(empty)
        empty.mkdir()
        for manifest in cut.glob("MANIFEST-*"):
            manifest.write_bytes(manifest.read_bytes()[:20])
        unreadable += [no_current.name, garbage.name, cut.name]
    work_again(pipeline, worker)
    aside = sorted(path.name.split(".set-aside")[0] for path in worker.directory.glob("**/*aside*"))
    assert aside == unreadable


@pytest.mark.timeout(90)
def test_x16_an_older_copy_of_the_stores_is_brought_up_to_date(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    worker = worked_once(pipeline)
    shutil.copytree(worker.directory, tmp_path / "copy")
    worker.start()
    pipeline.fleet.publish(4_000)
    pipeline.wait_progress(4_000)
    pipeline.wait_applied("what the copy lacks")
    assert worker.stop() == 0
    worker.lose_directory()
    shutil.copytree(tmp_path / "copy", worker.directory)
    assert "set aside" not in work_again(pipeline, worker)


@pytest.mark.timeout(90)
def test_x16_the_store_of_another_partition_is_set_aside(pipeline: Pipeline) -> None:
    worker = worked_once(pipeline)
    for view in VIEWS:
        first, second, *_ = stores_of(worker, view)
        away = first.with_name("away")
        first.rename(away)
        second.rename(first)
        away.rename(second)
    assert work_again(pipeline, worker).count("set aside") == 2 * len(VIEWS)
    assert worker.exit_codes == [], "it took no restart"


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kills", [0, 1])
def test_x16_a_store_that_is_ahead_by_one_record_is_set_aside(
    pipeline: Pipeline, kills: int
) -> None:
    worker = worked_once(pipeline)
    # Killed before it looks at the stores: the changelog is longer than them at the next start.
    worker.failpoints = [f"fenced:{pipeline.partitions}"] * kills
    ends = pipeline.kafka.end_offsets(DEVICE_TOTALS.changelog(1).name)
    ahead = stores_of(worker)[0]
    database = open_database(ahead, block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    PartitionStore(database, ahead).write([], ends[0])
    close_database(database)
    printed = work_again(pipeline, worker)
    assert worker.exit_codes == [-signal.SIGKILL] * kills
    assert f"set aside: the changelog lacks its last commit, of offset {ends[0]}" in printed
    assert printed.count("set aside") == 1


@pytest.mark.timeout(90)
def test_x16_the_stores_of_a_view_that_is_gone_are_set_aside(
    own_kafka: Kafka, pipeline_factory: PipelineFactory
) -> None:
    before = pipeline_factory(own_kafka, partitions=2)
    worker = worked_once(before)
    before.close()
    forget_topics(own_kafka)
    settings = TopicSettings.load(before.environ)
    prepare(ClusterAdmin(settings), settings)
    after = pipeline_factory(own_kafka, partitions=2)
    after.fleet.publish(500)  # fewer than before: the old stores are ahead, too
    again = after.workers.add()
    assert again.directory == worker.directory
    after.finish()
    assert again.exit_codes == [], "it took no restart"
    assert again.last_start.count(
        "it belongs to another cluster, topic or view version"
    ) == 2 * len(VIEWS)


def forget_topics(kafka: Kafka) -> None:
    admin = kafka.admin()

    def ours() -> list[str]:
        return [name for name in admin.list_topics(timeout=10).topics if name.startswith("energy")]

    for done in admin.delete_topics(ours()).values():
        done.result(10)
    wait_until(lambda: not ours(), "all topics are deleted")
