"""X11: the disk under a worker's stores is full for a while. Root alone may mount one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.fleet import READINGS
from tests.fault.pipeline import Pipeline
from tests.kafka import wait_until

BLOCK = bytes(65_536)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB, gone at the end whatever happened."""
    disk = tmp_path / "worker-0"  # where the first worker keeps its state
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        # Lazily: a worker of a test that failed may still have files open.
        subprocess.run(["umount", "--lazy", disk], check=True)


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


@pytest.mark.timeout(150)
def test_x11_a_full_disk_ends_a_worker_until_there_is_room(
    pipeline: Pipeline, small_disk: Path
) -> None:
    worker = pipeline.workers.add()
    assert worker.directory == small_disk
    pipeline.fleet.publish(2_000)
    pipeline.fleet.flush()
    ends = pipeline.kafka.end_offsets(READINGS)
    wait_until(lambda: pipeline.follower.has_reached(ends), "the first are applied", 40)
    filler = fill(small_disk)
    pipeline.fleet.start()
    wait_until(lambda: len(worker.exit_codes) >= 2, f"it ends: {worker.log[-1500:]}", 60)
    filler.unlink()
    found = pipeline.finish(full=worker.exit_codes.copy())
    assert set(worker.exit_codes) == {75}
    assert "No space left on device" in worker.log
    assert "set aside" not in worker.log
    assert found["I8"] == 0
