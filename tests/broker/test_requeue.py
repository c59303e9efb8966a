"""`energy quarantine`: what is mended counts once, whoever is killed or runs at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.topics import IMPORTS, QUARANTINE, READINGS
from contract.view_versions import pointer_record
from kafka_io.cluster_changes import ClusterAdmin
from operations.quarantine import requeue as requeuing
from operations.quarantine.repair import read_changes
from operations.quarantine.requeue import preview, requeue
from operations.quarantine.rows import Choice
from operations.topics.declared import create
from producer.errors import ImportSuperseded
from producer.settings import ProducerSettings
from tests.broker.own_cluster import SettingsFactory
from tests.kafka import ANSWER_SECONDS, Kafka
from tests.quarantine_double import quarantine_value

ENERGY = Path(sys.executable).with_name("energy")
ALL = 40


def bad(number: int, location: object = None) -> str:
    return json.dumps(
        {
            "timestamp": "2025-04-30 10:11:21",
            "device_id": f"d{number % 3}",
            "energy_consumed": number,
            "location": location,
        }
    )


class Setting:
    """A quarantine of 40 readings without a location, and of some that are worse."""

    def __init__(self, kafka: Kafka, settings: SettingsFactory) -> None:
        create(ClusterAdmin(settings()), settings())
        self.kafka = kafka
        self.settings = ProducerSettings(bootstrap_servers=kafka.bootstrap_servers)
        self.producer = kafka.producer()
        self.producer.produce("energy_views", key=b"live", value=pointer_record(2)[1])
        for number in range(ALL):
            self.add(bad(number), number, version=2)
        # Of another view version the same origins again, and one that no reading can become.
        self.add(bad(0), 0, version=1)
        self.add("no reading", None, __file="a.csv", __line=7, c__import_id="i-1")
        self.producer.flush(ANSWER_SECONDS)

    def add(self, value: str, offset: int | None, version: int | None = None, **more: Any) -> None:
        place = {"__topic": READINGS.name, "__partition": 1, "__offset": offset}
        columns = more if offset is None else place | more
        self.producer.produce(
            QUARANTINE.name,
            quarantine_value(
                **columns,
                device_id="d",
                insertion_date="2025-04-30 10:11:21",
                __value=value,
                c__error_column=["location"] if offset is not None else [""],
                c__error=["not a string"],
            ),
            partition=0 if offset is None else offset % 2,
            headers=[] if version is None else [("view_version", str(version).encode())],
        )

    def run(self) -> int:
        changes = read_changes(["location=Attic"])
        choice = Choice(field="location")
        seen = preview(self.settings, choice, changes, lambda done, total: None)
        return requeue(self.settings, choice, changes, seen, lambda done, total: None)

    def counted(self) -> Counter[int]:
        """How often each reading was published; each whole, with its device as key."""
        records = self.kafka.read(READINGS.name)
        rows = [json.loads(record.value() or b"") for record in records]
        assert all(row["location"] == "Attic" for row in rows)
        assert [r.key() for r in records] == [row["device_id"].encode() for row in rows]
        return Counter(row["energy_consumed"] for row in rows)

    def command(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output, errors; nobody is there to be asked."""
        done = subprocess.run(
            [ENERGY, "quarantine", *arguments],
            env=os.environ | {"KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def quarantine(own_kafka: Kafka, settings_factory: SettingsFactory) -> Setting:
    return Setting(own_kafka, settings_factory)


ONCE = Counter(range(ALL))


def test_the_command_lists_previews_and_publishes_once(quarantine: Setting) -> None:
    code, output, _ = quarantine.command("list", "--json", "--limit", "100")
    found = json.loads(output)
    assert (code, found["matching"], len(found["rows"])) == (0, ALL + 1, ALL + 1)
    assert {row["requeued"] for row in found["rows"]} == {False}
    assert f"{READINGS.name}/1/5" in {row["origin"] for row in found["rows"]}
    code, output, _ = quarantine.command("list", "--import-id", "i-1")
    assert (code, "a.csv, line 7" in output, "1 of 1 rows" in output) == (0, True, True)
    change = ("requeue", "--set", "location=Attic")
    code, output, errors = quarantine.command(*change)
    assert (code, "--yes" in errors) == (2, True)
    assert "41 rows: 40 would be published, 1 still would not pass, 0 were requeued" in output
    assert quarantine.counted() == Counter()
    origin = f"{READINGS.name}/1/7"
    code, output, _ = quarantine.command(*change, "--origin", origin, "--yes", "--json")
    assert (code, json.loads(output)["requeued"]) == (0, 1)
    assert quarantine.counted() == Counter([7])
    code, output, _ = quarantine.command(*change, "--yes")
    assert (code, "39 readings published" in output) == (0, True)
    assert quarantine.counted() == ONCE
    code, output, _ = quarantine.command(*change, "--yes", "--json")
    summary = json.loads(output)
    assert (code, summary["requeued"], summary["requeued_before"]) == (0, 0, ALL)
    assert summary["reasons"] == {"timestamp: missing": 1, "device_id: missing": 1} | {
        "energy_consumed: missing": 1
    }
    code, output, _ = quarantine.command("list", "--json", "--origin", origin)
    assert [row["requeued"] for row in json.loads(output)["rows"]] == [True]
    assert quarantine.counted() == ONCE


def test_killed_after_each_transaction_and_run_again_each_counts_once(
    quarantine: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        """The process is gone."""

    monkeypatch.setattr(requeuing, "ROWS_AT_ONCE", 7)
    write_all = requeuing.Importer.write_all

    def write_and_die(self: Any, *arguments: Any) -> None:
        write_all(self, *arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(requeuing.Importer, "write_all", write_and_die)
        for _ in range(2):
            with pytest.raises(Killed):
                quarantine.run()
    assert sum(quarantine.counted().values()) == 14
    assert quarantine.run() == ALL - 14
    assert quarantine.counted() == ONCE


def test_two_at_the_same_time_count_each_once(
    quarantine: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeuing, "ROWS_AT_ONCE", 3)
    both = threading.Barrier(2)
    superseded: list[ImportSuperseded] = []

    def run(announce: Callable[[], object]) -> None:
        announce()
        try:
            quarantine.run()
        except ImportSuperseded as error:
            superseded.append(error)

    threads = [threading.Thread(target=run, args=(both.wait,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(superseded) <= 1
    # Whoever was superseded may be run again; nobody has to know whether it was.
    quarantine.run()
    assert quarantine.counted() == ONCE
    keys = {record.key() for record in quarantine.kafka.read(IMPORTS.name)}
    assert len(keys) == ALL
