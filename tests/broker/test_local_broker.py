"""The broker that `energy up` and all other tests stand on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from local_stack.broker.process import LocalBroker
from local_stack.broker.properties import Listener
from local_stack.errors import BrokerFailed, DirectoryLocked, PortInUse
from local_stack.ports import free_port
from tests.kafka import Kafka, TransactionalWriter, wait_until

BrokerFactory = Callable[..., LocalBroker]

OWNER = """
import sys, time
from pathlib import Path
from local_stack.broker.process import LocalBroker
broker = LocalBroker(Path(sys.argv[1]), int(sys.argv[2]))
broker.start()
broker.wait_ready(60)
print(broker.pid, flush=True)
time.sleep(600)
"""


def test_ready_and_stopped_within_the_promised_seconds(broker_factory: BrokerFactory) -> None:
    broker = broker_factory()
    began = time.monotonic()
    broker.start()
    broker.wait_ready()
    ready = time.monotonic()
    broker.stop()
    stopped = time.monotonic()
    broker.stop()
    print(f"ready after {ready - began:.1f} s, stopped after {stopped - ready:.1f} s")
    assert ready - began <= 15
    assert stopped - ready <= 10
    assert broker.pid is None


def test_a_second_broker_on_the_same_directory_is_refused(broker_factory: BrokerFactory) -> None:
    first, second = broker_factory(), broker_factory()
    with first:
        with pytest.raises(DirectoryLocked, match="another broker runs on"):
            second.start()
        assert first.pid is not None


def test_a_taken_port_is_refused_and_the_directory_stays_free(
    kafka: Kafka, broker_factory: BrokerFactory
) -> None:
    taken = int(kafka.bootstrap_servers.rpartition(":")[2])
    for _ in range(2):  # the second time it would be locked, had the first kept the lock
        with pytest.raises(PortInUse, match=f"port {taken} is taken"):
            broker_factory(port=taken).start()


def test_acknowledged_records_and_the_cluster_survive_a_kill(broker_factory: BrokerFactory) -> None:
    broker = broker_factory()
    with broker:
        kafka = Kafka(broker.bootstrap_servers)
        cluster_id = kafka.admin().list_topics(timeout=10).cluster_id
        kafka.create_topic("kept")
        kafka.write("kept", [b"%d" % number for number in range(1000)])
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        wait_until(lambda: broker.pid is None, "the broker is seen to have ended")
        assert broker.exit_code == -signal.SIGKILL
        broker.start()
        broker.wait_ready()
        assert kafka.admin().list_topics(timeout=10).cluster_id == cluster_id
        values = [record.value() for record in kafka.read("kept")]
    assert values == [b"%d" % number for number in range(1000)]


def test_the_broker_ends_when_its_owner_is_killed(
    tmp_path: Path, broker_factory: BrokerFactory
) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path / "broker"), str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        pid = int(owner.stdout.readline())
        assert os.getsid(pid) == pid, "Ctrl-C in the owner's terminal would reach the broker"
        owner.kill()
    wait_until(lambda: not psutil.pid_exists(pid), "the broker has ended", seconds=5)
    with broker_factory() as broker:
        assert broker.pid is not None


def test_a_broker_that_hangs_is_killed_at_the_deadline(broker_factory: BrokerFactory) -> None:
    broker = broker_factory()
    broker.start()
    broker.wait_ready()
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    broker.stop(timeout_seconds=0.5)
    assert broker.exit_code == -signal.SIGKILL


def test_a_broker_that_cannot_run_says_why(broker_factory: BrokerFactory) -> None:
    broker = broker_factory(properties={"num.io.threads": "none"})
    with pytest.raises(BrokerFailed, match=r"num\.io\.threads"), broker:
        pass


def test_clients_of_another_listener_are_sent_to_the_advertised_port(
    broker_factory: BrokerFactory,
) -> None:
    fault = Listener("FAULT", port=free_port(), advertised_port=free_port())
    with broker_factory(extra_listeners=[fault]):
        told = Kafka(f"127.0.0.1:{fault.port}").admin().list_topics(timeout=10).brokers[1]
    assert told.port == fault.advertised_port


def test_topics_are_never_made_by_asking_for_them(kafka: Kafka, unique_name: str) -> None:
    kafka.admin().list_topics(unique_name, timeout=10)
    assert unique_name not in kafka.admin().list_topics(timeout=10).topics


def test_read_gives_committed_records_to_the_end_only(
    kafka: Kafka, topic_factory: Callable[..., str]
) -> None:
    topic = topic_factory(partitions=2)
    for value, is_aborted in ((b"aborted", True), (b"committed", False)):
        TransactionalWriter(kafka, topic).write([(None, value)], is_aborted=is_aborted)
    assert [record.value() for record in kafka.read(topic)] == [b"committed"]
    kafka.settle(topic)
    assert kafka.end_offsets(topic) == {0: 4, 1: 0}
