"""`energy load` as a process: exit codes, and each row once whatever happens to it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.topics import IMPORTS, QUARANTINE, READINGS
from deploy.broker import LocalBroker
from tests.kafka import Kafka, wait_until

ENERGY = Path(sys.executable).with_name("energy")
#: Takes some seconds, so that there is a middle to stop in.
MANY = 40_000
PACED = ("--max-rate", "10000")


@pytest.fixture
def log(own_kafka: Kafka) -> Kafka:
    """The empty broker with the topics of a load."""
    own_kafka.create_topic(READINGS.name, 2)
    own_kafka.create_topic(QUARANTINE.name, 2, QUARANTINE.configs)
    own_kafka.create_topic(IMPORTS.name, 1, IMPORTS.configs)
    return own_kafka


def start(kafka: Kafka, *arguments: str | Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [ENERGY, "load", *map(str, arguments)],
        env=os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers} | environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    kafka: Kafka, *arguments: str | Path, text: str = "", **environ: str
) -> tuple[int, str, str]:
    """Exit code, output and errors of a load."""
    process = start(kafka, *arguments, **environ)
    output, errors = process.communicate(text, timeout=50)
    assert "Traceback" not in errors
    return process.returncode, output, errors


def row(number: int) -> str:
    return json.dumps(
        {
            "timestamp": "2025-04-30 10:11:21",
            "device_id": f"d{number % 7}",
            "energy_consumed": number,
            "location": "x",
        }
    )


def write_rows(path: Path, numbers: Sequence[int]) -> Path:
    data = "\n".join(map(row, numbers)).encode()
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


def counts(kafka: Kafka) -> Counter[int]:
    """How often each row is in the log."""
    values = (json.loads(record.value() or b"") for record in kafka.read(READINGS.name))
    return Counter(value["energy_consumed"] for value in values)


def bad_rows(kafka: Kafka) -> list[tuple[str, int]]:
    values = (json.loads(record.value() or b"") for record in kafka.read(QUARANTINE.name))
    return sorted((value["__file"], value["__line"]) for value in values)


def wait_for_rows(kafka: Kafka, process: subprocess.Popen[str], count: int) -> None:
    def is_there() -> bool:
        assert process.poll() is None, process.communicate()
        return sum(kafka.end_offsets(READINGS.name).values()) > count

    wait_until(is_there, f"{count} rows are there")


def test_files_of_all_kinds_are_loaded_and_bad_rows_have_file_and_line(
    log: Kafka, tmp_path: Path
) -> None:
    lines = write_rows(tmp_path / "a.ndjson.gz", range(10))
    table = tmp_path / "b.csv"
    table.write_text(
        "device_id,energy_consumed,timestamp,location\n"
        "d1,10,2025-04-30 10:11:21,x\nd1,ten,2025-04-30 10:11:21,x\nd1,11,x\n"
    )
    code, output, _ = run(log, lines, table, "--json")
    summary = json.loads(output)
    assert code == 0
    assert (summary["successful_rows"], summary["quarantined_rows"]) == (11, 2)
    assert [file["complete"] for file in summary["files"]] == [True, True]
    assert counts(log) == Counter(range(11))
    assert bad_rows(log) == [(str(table), 3), (str(table), 4)]
    code, output, _ = run(log, "-", "--format", "csv", text="2025-04-30 10:11:21,d,77,x\n")
    assert (code, counts(log)[77]) == (0, 1)
    assert "1 rows acknowledged" in output


def test_f1_f2_f3_f5_exit_codes(log: Kafka, tmp_path: Path) -> None:
    for name in ("missing.csv", "."):
        code, _, errors = run(log, tmp_path / name)
        assert (code, str(tmp_path / name) in errors) == (2, True)
    (tmp_path / "noname").write_bytes(b"\x00\x01" * 50)
    assert run(log, tmp_path / "noname")[0] == 1
    (tmp_path / "empty.ndjson").touch()
    assert run(log, tmp_path / "empty.ndjson")[0] == 0
    (tmp_path / "text.csv").write_text("no table\nat all\n")
    code, output, errors = run(log, tmp_path / "text.csv")
    assert (code, "no header" in errors) == (1, True)
    cut = tmp_path / "cut.ndjson.gz"
    cut.write_bytes(gzip.compress((row(1) + "\n").encode()) + gzip.compress(b"x")[:-1])
    code, output, errors = run(log, cut)
    assert (code, "cut off" in errors) == (1, True)
    assert "1 rows acknowledged" in output
    assert counts(log) == Counter([1])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_f18_f22_stopped_in_the_middle_and_resumed_each_row_is_there_once(
    log: Kafka, tmp_path: Path, how: signal.Signals
) -> None:
    path = write_rows(tmp_path / "many.ndjson.gz", range(MANY))
    process = start(log, path, *PACED)
    wait_for_rows(log, process, 5_000)
    process.send_signal(how)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 75}[how], errors
    found = counts(log)
    assert 5_000 <= len(found) < MANY
    if how is not signal.SIGKILL:
        assert f"{len(found):,} rows acknowledged" in output
        assert "--resume" in output
    code, output, errors = run(log, path, "--resume")
    assert (code, f"{MANY:,} rows acknowledged" in output) == (0, True), errors
    assert counts(log) == Counter(range(MANY))
    code, output, _ = run(log, path, "--resume")
    assert (code, "complete" in output) == (0, True)
    assert sum(counts(log).values()) == MANY


def test_f18_a_file_that_has_changed_since_is_refused(log: Kafka, tmp_path: Path) -> None:
    path = tmp_path / "cut.ndjson.gz"
    whole = gzip.compress((row(1) + "\n").encode())
    path.write_bytes(whole + whole[:12])
    assert run(log, path)[0] == 1
    path.write_bytes(whole + whole)
    code, _, errors = run(log, path, "--resume")
    assert (code, "changed" in errors) == (3, True)
    assert counts(log) == Counter([1])
    # A new load is a new load.
    assert run(log, path)[0] == 0
    assert counts(log) == Counter([1, 1, 1])


def test_f21_without_a_broker_it_ends_with_1_and_what_was_acknowledged(
    broker_factory: Callable[..., LocalBroker], tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "many.ndjson", range(MANY))
    broker = broker_factory()
    broker.start()
    broker.wait_ready(60)
    kafka = Kafka(broker.bootstrap_servers)
    topics: list[Any] = [READINGS, QUARANTINE, IMPORTS]
    for topic in topics:
        kafka.create_topic(topic.name, 1, topic.configs)
    process = start(kafka, path, *PACED, PRODUCER_DELIVERY_TIMEOUT_SECONDS="1")
    wait_for_rows(kafka, process, 5_000)
    there = len(counts(kafka))
    broker.kill()
    output, errors = process.communicate(timeout=50)
    assert (process.returncode, "KAFKA_BOOTSTRAP_SERVERS" in errors) == (1, True), errors
    acknowledged = int(output.partition(": ")[2].partition(" rows")[0].replace(",", ""))
    assert there - 5_000 <= acknowledged < MANY
    assert "--resume" in output
