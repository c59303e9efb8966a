"""X11, X12: the disk under a worker's stores, or under the broker's logs, is full for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_stack.broker.process import LocalBroker
from stream_app.store.rocksdb_store import FLUSH_ROWS
from tests.fault.conftest import PipelineFactory
from tests.fault.pipeline import Pipeline
from tests.fault.small_disk import enlarge, small_disk
from tests.kafka import Kafka, wait_until
from tests.shared_broker import QUICK_PROPERTIES

BLOCK = bytes(65_536)


@pytest.fixture
def worker_disk(tmp_path: Path) -> Iterator[Path]:
    """16 MB where the first worker keeps its state."""
    with small_disk(tmp_path / "worker-0", 16) as disk:
        yield disk


@pytest.fixture
def broker_disk(tmp_path: Path) -> Iterator[Path]:
    """128 MB where a broker keeps its logs."""
    with small_disk(tmp_path / "broker", 128) as disk:
        yield disk


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(BLOCK):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk has no end")


@pytest.mark.timeout(200)
def test_x11_a_full_disk_ends_a_worker_until_there_is_room(
    pipeline: Pipeline, worker_disk: Path
) -> None:
    worker = pipeline.workers.add()
    assert worker.directory == worker_disk
    pipeline.fleet.publish(2_000)
    pipeline.fleet.flush()
    pipeline.wait_applied("the first are applied")
    filler = fill(worker_disk)
    # More than a store keeps in memory: until it writes to the disk it goes on.
    pipeline.fleet.publish_long_names(5 * FLUSH_ROWS)
    pipeline.fleet.start()
    wait_until(lambda: len(worker.exit_codes) >= 2, "it ends, and again", 90)
    filler.unlink()
    enlarge(worker_disk, 256)
    found = pipeline.finish(full=worker.exit_codes.copy())
    assert set(worker.exit_codes) == {75}
    assert "No space left on device" in worker.log
    assert "set aside" not in worker.log
    assert found["I8"] == 0


@pytest.mark.timeout(240)
def test_x12_a_broker_whose_disk_was_full_has_lost_nothing(
    broker_factory: Callable[..., LocalBroker], pipeline_factory: PipelineFactory, broker_disk: Path
) -> None:
    broker = broker_factory(data_dir=broker_disk, properties=QUICK_PROPERTIES)
    with broker:
        pipeline = pipeline_factory(Kafka(broker.bootstrap_servers))
        pipeline.workers.add()
        pipeline.fleet.start()
        pipeline.wait_progress(2_000)
        fill(broker_disk)
        wait_until(lambda: broker.pid is None, "the broker has ended by itself", 60)
        enlarge(broker_disk, 512)
        broker.start()
        broker.wait_ready()
        pipeline.wait_progress(2_000, seconds=60)
        pipeline.finish()
