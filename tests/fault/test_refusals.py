"""X43, X45 and starts that cannot be: one clear line, the right exit code, no traceback."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from contract.device_totals import DEVICE_TOTALS
from kafka_io.cluster_changes import ClusterAdmin
from local_stack.ports import free_port
from operations.settings import TopicSettings
from operations.topics.declared import create
from operations.views.birth import ensure_first_view
from tests.fault.fleet import READINGS
from tests.fault.follower import CHANGELOG
from tests.fault.pipeline import Pipeline
from tests.fault.test_removed_records import remove_before
from tests.fault.workers import run_to_the_end
from tests.kafka import Kafka, wait_until
from tests.start_delay import in_time

pytestmark = pytest.mark.timeout(150)
#: A crowded machine may need so long for one.
PATIENT_SECONDS = 50


def refused(environ: dict[str, str], code: int, words: str, seconds: float = 15) -> None:
    """Start a worker that must end so in time, and tell why in one line."""
    ended, took = run_to_the_end(environ, PATIENT_SECONDS)
    lines = ended.stderr.splitlines()
    assert ended.returncode == code, ended.stderr
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("energy worker: ")
    assert words in lines[0]
    assert "Traceback" not in ended.stderr + ended.stdout
    in_time(took, seconds)


@pytest.fixture
def environ(own_kafka: Kafka, tmp_path: Path) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers,
        "ENERGY_HOME": str(tmp_path),
        "ENERGY_PARTITIONS": "2",
    }


def prepared(environ: dict[str, str]) -> None:
    settings = TopicSettings.load(environ)
    create(ClusterAdmin(settings), settings)
    ensure_first_view(ClusterAdmin(settings), 1)


def test_without_a_broker_it_ends_with_1_within_15_s(tmp_path: Path) -> None:
    port = free_port()
    environ = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "ENERGY_HOME": str(tmp_path)}
    refused(environ, 1, f"no broker answers at 127.0.0.1:{port}")


def test_s1_a_wrong_setting_ends_with_2(tmp_path: Path) -> None:
    environ = {"STREAM_APP_HTTP_PORT": "70000", "ENERGY_HOME": str(tmp_path)}
    refused(environ, 2, "STREAM_APP_HTTP_PORT: must be less than or equal to 65535")


def test_s9_a_home_that_is_a_file_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused({"ENERGY_HOME": str(tmp_path / "file")}, 2, "file")


def test_without_topics_it_ends_with_3_and_names_the_command(environ: dict[str, str]) -> None:
    refused(environ, 3, f"there is no topic {READINGS}; create the topics: energy topics create")


def test_without_a_live_view_it_ends_with_3(environ: dict[str, str]) -> None:
    settings = TopicSettings.load(environ)
    create(ClusterAdmin(settings), settings)
    refused(environ, 3, "names no live view version")


def test_x18_a_changelog_that_is_gone_or_new_ends_with_3(
    own_kafka: Kafka, environ: dict[str, str]
) -> None:
    prepared(environ)
    own_kafka.delete_topic(CHANGELOG)
    refused(environ, 3, f"there is no topic {CHANGELOG}")
    own_kafka.create_topic(CHANGELOG, 2, DEVICE_TOTALS.changelog(1).configs)
    ended, _ = run_to_the_end(environ, PATIENT_SECONDS)
    assert ended.returncode == 3, ended.stderr
    assert "has no birth record" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_x45_a_readings_topic_made_again_ends_a_start_with_3(
    own_kafka: Kafka, environ: dict[str, str]
) -> None:
    prepared(environ)
    own_kafka.write(READINGS, [b"{}"] * 50)
    own_kafka.delete_topic(READINGS)
    own_kafka.create_topic(READINGS, 2)
    own_kafka.write(READINGS, [b"{}"] * 100)
    ended, _ = run_to_the_end(environ, PATIENT_SECONDS)
    assert ended.returncode == 3, ended.stderr
    assert "readings topic id" in ended.stderr
    assert "energy replay start" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("asleep", [False, True], ids=["awake", "asleep"])
def test_x45_a_readings_topic_made_again_ends_a_running_worker(
    pipeline: Pipeline, asleep: bool
) -> None:
    worker = pipeline.workers.add()
    pipeline.fleet.publish(1_000)
    pipeline.drain()
    before = list(pipeline.follower.applied)
    if asleep:  # its marker is within the new topic when it looks again: the ids must tell
        worker.send(signal.SIGSTOP)
    pipeline.kafka.delete_topic(READINGS)
    wait_until(
        lambda: READINGS not in pipeline.kafka.admin().list_topics(timeout=5).topics, "it is gone"
    )
    pipeline.kafka.create_topic(READINGS, pipeline.partitions)
    for partition in range(pipeline.partitions):
        pipeline.kafka.write(READINGS, [b"{}"] * 2_000, partition=partition)
    worker.send(signal.SIGCONT)
    wait_until(lambda: 3 in worker.exit_codes, "it ended with 3", 40)
    assert set(worker.exit_codes) <= {3, 75}
    assert "deleted and created again" in worker.log or "readings topic id" in worker.log
    assert "Traceback" not in worker.log
    assert asleep or pipeline.follower.applied == before, "something of the new topic is applied"


def test_x43_a_second_worker_on_a_directory_ends_with_2(pipeline: Pipeline) -> None:
    worker = pipeline.workers.add()
    pipeline.workers.wait_working()
    environ = {**pipeline.environ, "STREAM_APP_DATADIR": str(worker.directory)}
    refused(environ, 2, f"another worker runs on {worker.directory}")
    pipeline.fleet.publish(500)
    pipeline.finish()


def test_x31_unread_records_that_are_gone_in_all_partitions_end_a_start_with_3(
    pipeline: Pipeline,
) -> None:
    worker = pipeline.workers.add()
    pipeline.fleet.publish(1_000)
    pipeline.drain()
    assert worker.stop() == 0
    applied = list(pipeline.follower.applied)
    for partition, last in enumerate(applied):
        pipeline.kafka.write(READINGS, [b"{}"] * 20, partition=partition)
        remove_before(pipeline, READINGS, last + 11, partition)
    worker.start()
    wait_until(lambda: 3 in worker.exit_codes, f"it ended with 3: {worker.log[-1500:]}", 30)
    for partition, last in enumerate(applied):
        lost = f"{last + 1}-{last + 10}"
        for place in (f"partition {partition}", f"partition {partition} of energy_series"):
            assert f"{place}: offsets {lost} were removed" in worker.last_start
        assert worker.last_start.count(f"--accept-lost-offsets {partition}:{lost}") >= 2
    assert "Traceback" not in worker.log
