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
from threading import Event
from typing import Any

import pytest
import zstandard

from contract.topics import IMPORTS, QUARANTINE, READINGS
from local_stack.broker.process import LocalBroker
from producer.files.cells import Dialect
from producer.files.content import format_of
from producer.imports.file_load import Loaded, Loads
from producer.imports.load_notes import Source
from producer.settings import ProducerSettings
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
    assert (code, "not a header" in errors) == (1, True)
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
    running_broker: LocalBroker, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "many.ndjson", range(MANY))
    broker = running_broker
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


def moved(path: Path) -> Path:
    return path.rename(path.with_name("elsewhere.ndjson"))


def hard_link(path: Path) -> Path:
    path.with_name("linked.ndjson").hardlink_to(path)
    return path.with_name("linked.ndjson")


def symbolic_link(path: Path) -> Path:
    path.with_name("pointing").symlink_to(path)
    return path.with_name("pointing")


def compressed(path: Path) -> Path:
    packed = path.with_name("packed.ndjson.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


def recompressed(path: Path) -> Path:
    other = path.with_name("other.zst")
    other.write_bytes(zstandard.ZstdCompressor().compress(gzip.decompress(path.read_bytes())))
    return other


def decompressed(path: Path) -> Path:
    plain = path.with_suffix("")
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    return plain


CHANGES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "moved": ("a.ndjson", moved),
    "hard link": ("a.ndjson", hard_link),
    "symbolic link": ("a.ndjson", symbolic_link),
    "compressed": ("a.ndjson", compressed),
    "recompressed": ("a.ndjson.gz", recompressed),
    "decompressed": ("a.ndjson.gz", decompressed),
}
ROWS_EACH = 6_000


def load_of(kafka: Kafka, *paths: Path, resume: bool = False) -> Loads:
    settings = ProducerSettings.load({}, bootstrap_servers=kafka.bootstrap_servers)
    sources = [Source(path, format_of(path.name), Dialect()) for path in paths]
    return Loads(settings, sources, Event(), resume=resume)


def say_nothing(done: int, total: int | None) -> None:
    """Show no progress."""


def break_off(loads: Loads, number: int = 0) -> None:
    """Load a file as far as its first transaction goes."""
    assert any(loaded.successful_rows for loaded in loads.load(number, say_nothing))


def all_of(loads: Loads, number: int = 0) -> Loaded:
    return list(loads.load(number, say_nothing))[-1]


def wait_for_counts(kafka: Kafka, expected: Counter[int]) -> None:
    """A commit is told before its markers are in the log: its last rows are seen a little later."""
    wait_until(lambda: counts(kafka) == expected, "each row is there as often as it should be")


def test_c1_f18_a_load_goes_on_with_what_the_file_holds_wherever_it_lies(
    log: Kafka, tmp_path: Path
) -> None:
    first, expected = 0, Counter[int]()
    for name, (file, change) in CHANGES.items():
        (tmp_path / name).mkdir()
        numbers = range(first, first := first + ROWS_EACH)
        path = write_rows(tmp_path / name / file, numbers)
        with load_of(log, path) as loads:
            break_off(loads)
        expected.update(numbers[:5_000])
        wait_for_counts(log, expected)
        with load_of(log, change(path), resume=True) as loads:
            loaded = all_of(loads)
        assert (loaded.successful_rows, loaded.is_complete) == (ROWS_EACH, True)
        expected.update(numbers[5_000:])
        wait_for_counts(log, expected)


def test_c1_copies_of_one_file_go_on_each_by_itself(log: Kafka, tmp_path: Path) -> None:
    one = write_rows(tmp_path / "1.ndjson", range(ROWS_EACH))
    two = write_rows(tmp_path / "2.ndjson", range(ROWS_EACH))
    with load_of(log, one, two) as loads:
        all_of(loads, 0)
        break_off(loads, 1)
    with load_of(log, one, two, resume=True) as loads:
        assert [all_of(loads, number).successful_rows for number in (0, 1)] == [ROWS_EACH] * 2
    wait_for_counts(log, Counter([*range(ROWS_EACH)] * 2))


def test_c1_a_file_whose_turn_had_not_come_is_loaded_by_a_resume(
    log: Kafka, tmp_path: Path
) -> None:
    paths = [write_rows(tmp_path / f"{n}.ndjson", range(n, ROWS_EACH, 2)) for n in range(2)]
    with load_of(log, *paths) as loads:
        break_off(loads)
    with load_of(log, *paths, resume=True) as loads:
        assert all(all_of(loads, number).is_complete for number in (0, 1))
    wait_for_counts(log, Counter(range(ROWS_EACH)))


def test_c1_what_is_not_known_is_said_and_nothing_is_written(log: Kafka, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.ndjson", range(3))
    code, _, errors = run(log, path, "--resume")
    assert (code, "no interrupted load of this file is known" in errors) == (3, True), errors
    assert run(log, path)[0] == 0
    with path.open("a") as file:
        file.write("\n" + row(4))
    code, _, errors = run(log, path, "--resume")
    assert (code, "no interrupted load of this file is known" in errors) == (3, True), errors
    assert counts(log) == Counter(range(3))


def test_c8_more_files_than_may_be_open_cost_some_milliseconds_each(
    log: Kafka, tmp_path: Path
) -> None:
    paths = [write_rows(tmp_path / f"{n}.ndjson", [n]) for n in range(300)]
    command = f"ulimit -n 256; exec {ENERGY} load --json {' '.join(map(str, paths))}"
    environ = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": log.bootstrap_servers}
    done = subprocess.run(
        ["bash", "-c", command], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert counts(log) == Counter(range(300))
    # What a file costs: a transaction, in one import of all of them.
    assert len({file["import_id"] for file in json.loads(done.stdout)["files"]}) == 1
    markers = sum(log.end_offsets(READINGS.name).values()) - 300
    assert markers <= 310
