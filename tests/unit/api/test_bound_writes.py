"""What a token of devices or places writes: its own rows, every other one into the quarantine."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.auth.bounds import Bounds
from api.ingest.sending import MOST_REFUSED
from producer.files.rows import SLICE_ROWS
from tests.api_doubles import Answer, Caller, ScriptedPublisher, caller_for
from tests.imports_double import MemoryImports
from tests.unit.api.test_idempotency import Clock, ReplicaFactory, replica_factory

__all__ = ["clock", "imports", "replica_factory"]

FILE = "/v0/datasources?name=energy_consumption"
BOUNDS = Bounds(frozenset({"mine", "my \N{SNOWMAN}"}), frozenset({"Hall", ""}))
NO_DEVICE = ("device_id", "the token may not write for this device")
NO_LOCATION = ("location", "the token may not write for this location")


def row(device: str, location: str = "Hall", energy: str = "0.750", **more: Any) -> bytes:
    named = {"timestamp": "2025-04-30 10:11:21", "device_id": device, "location": location} | more
    return json.dumps(named)[:-1].encode() + f', "energy_consumed": {energy}}}'.encode()


OWN = [row("mine"), row("my \N{SNOWMAN}", ""), row("mine", more=[1])]
#: A row that is not the token's, and its faults.
OTHERS: list[tuple[bytes, list[tuple[str, str]]]] = [
    (row("theirs"), [NO_DEVICE]),
    (row("mine", "Attic"), [NO_LOCATION]),
    (row("Mine", "hall"), [NO_DEVICE, NO_LOCATION]),
    # Last of a name written twice, and escaped: the verdict is on what would count.
    (b'{"device_id": "mine", ' + row("theirs")[1:], [NO_DEVICE]),
    (row("mine ", energy='"1"'), [NO_DEVICE]),
    # No readings: what can be read of them is judged too, or a repair would let them count.
    (row("theirs", energy="null"), [("energy_consumed", "not a number"), NO_DEVICE]),
    (row("mine", "Attic", timestamp=5), [("timestamp", "not a string"), NO_LOCATION]),
    (b"not JSON", [("", "not JSON: invalid character (byte 4)")]),
]
MIXED = [each for own in OWN for each in (own, *(other for other, _ in OTHERS))]
COUNTS = (len(OWN), len(OWN) * len(OTHERS))


@pytest.fixture
def caller(tmp_path: Path, publisher: ScriptedPublisher) -> Caller:
    return caller_for(
        tmp_path, None, publisher, bounds=BOUNDS, scope="DATASOURCES:APPEND:energy_consumption"
    )


@pytest.fixture
def imports() -> MemoryImports:
    return MemoryImports()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def counts(answer: Answer) -> tuple[int, int]:
    assert answer.status in (200, 202), answer.body
    return answer.json()["successful_rows"], answer.json()["quarantined_rows"]


def faults(record: dict[str, Any]) -> list[tuple[str, str]]:
    return list(zip(record["c__error_column"], record["c__error"], strict=True))


async def test_lines_of_others_are_quarantined_and_nothing_around_them_is_lost(
    caller: Caller,
) -> None:
    assert counts(await caller.events(b"\n".join(MIXED))) == COUNTS
    assert [value for _, value in caller.publisher.rows] == OWN
    assert [key.decode() for key, _ in caller.publisher.rows] == ["mine", "my \N{SNOWMAN}", "mine"]
    assert [faults(each) for each in caller.publisher.refused] == [
        said for _, said in OTHERS
    ] * len(OWN)
    first = caller.publisher.refused[0]
    assert first["__value"].encode() == OTHERS[0][0]
    received = ("timestamp", "device_id", "energy_consumed", "location")
    assert [first[name] for name in received] == ["2025-04-30 10:11:21", "theirs", "0.750", "Hall"]


async def test_every_form_of_a_body_is_held_to_the_bounds(caller: Caller) -> None:
    objects = [each for each in MIXED if each != b"not JSON"]
    assert counts(await caller.events(b"[" + b",".join(objects) + b"]")) == (3, 21)
    body = gzip.compress(b"\r\n".join(MIXED))
    assert counts(await caller.events(body, content_encoding="gzip")) == COUNTS
    for theirs, _ in OTHERS[:-1]:
        assert counts(await caller.events(theirs.replace(b", ", b",\n  "))) == (0, 1)
    assert counts(await caller.events(OWN[0], "&wait=true")) == (1, 0)
    assert {key.decode() for key, _ in caller.publisher.rows} <= BOUNDS.devices  # type: ignore[operator]


async def test_a_body_of_many_rows_is_judged_alike(caller: Caller) -> None:
    rows = [OWN[n % 3] for n in range(12_000)]
    rows[5_000:5_000] = [OTHERS[0][0]] * 2_000
    assert counts(await caller.events(b"\n".join(rows))) == (12_000, 2_000)
    answer = await caller.events(b"\n".join([OWN[0], *[OTHERS[0][0]] * (MOST_REFUSED + 1)]))
    assert answer.status == 400
    assert "nothing was written" in answer.error
    assert len(caller.publisher.rows) == 12_000


def csv(*rows: bytes) -> bytes:
    names = ("timestamp", "device_id", "energy_consumed", "location")
    fields = [json.loads(each) for each in rows]
    lines = [",".join(f'"{each[name]}"' for name in names) for each in fields]
    return "\n".join([",".join(names), *lines]).encode()


def parquet(*rows: bytes) -> bytes:
    file = io.BytesIO()
    fields = [json.loads(each) for each in rows]
    names = ("timestamp", "device_id", "energy_consumed", "location")
    columns = {name: [each[name] for each in fields] for name in names}
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize("write", [csv, parquet, lambda *rows: b"\n".join(rows)])
async def test_files_of_every_format_are_held_to_the_bounds(caller: Caller, write: Any) -> None:
    theirs = [OTHERS[0][0], OTHERS[1][0], OTHERS[2][0]]
    for target in (FILE, "/v1/datasources/energy_consumption/append"):
        caller.publisher.rows.clear()
        caller.publisher.refused.clear()
        answer = await caller.post(target, write(OWN[0], theirs[0], OWN[1], *theirs[1:]))
        assert counts(answer) == (2, 3)
        assert [key.decode() for key, _ in caller.publisher.rows] == ["mine", "my \N{SNOWMAN}"]
        assert [faults(each) for each in caller.publisher.refused] == [
            said for _, said in OTHERS[:3]
        ]
        first = 2 if write is csv else 1
        assert [each["__line"] - first for each in caller.publisher.refused] == [1, 3, 4]


async def test_a_file_of_others_alone_is_a_file_of_readings_all_the_same(caller: Caller) -> None:
    assert counts(await caller.post(FILE, csv(*[OTHERS[0][0]] * 3))) == (0, 3)
    assert not caller.publisher.rows
    # As without bounds: of what is no file of readings nothing is written.
    answer = await caller.post(FILE + "&format=ndjson", b"{}\n{}\n")
    assert answer.status == 400
    assert len(caller.publisher.refused) == 3
    many = await caller.post(FILE, csv(*[OTHERS[0][0]] * (MOST_REFUSED + 1)))
    assert many.status == 400
    assert many.json()["quarantined_rows"] == MOST_REFUSED
    assert "more than 10000 rows are refused, the first ones line 2: device_id" in many.error


async def test_what_comes_with_an_idempotency_key_is_held_to_the_bounds(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    caller = replica_factory(bounds=BOUNDS)
    for _ in range(2):
        answer = await caller.events(b"\n".join(MIXED), idempotency_key="a")
        assert counts(answer) == COUNTS
    assert imports.values == OWN
    assert [faults(json.loads(each)) for each in imports.refused] == [
        said for _, said in OTHERS
    ] * len(OWN)
    imports.values.clear()
    imports.refused.clear()
    for _ in range(2):
        file = await caller.post(FILE, csv(OWN[0], OTHERS[0][0]), idempotency_key="b")
        assert counts(file) == (1, 1)
    assert (len(imports.values), len(imports.refused)) == (1, 1)


async def test_a_keyed_file_that_was_broken_off_among_rows_of_others_goes_on(
    replica_factory: ReplicaFactory, imports: MemoryImports
) -> None:
    # Behind the first batch comes no reading of anybody.
    file = b"\n".join([OTHERS[0][0]] * SLICE_ROWS + [b"{}"] * 500)
    imports.fates = ["", "gone"]
    target = FILE + "&format=ndjson"
    broken = await replica_factory(patience=0.0, bounds=BOUNDS).post(
        target, file, idempotency_key="a"
    )
    assert broken.status == 504
    assert broken.json()["quarantined_rows"] == SLICE_ROWS
    done = await replica_factory(bounds=BOUNDS).post(target, file, idempotency_key="a")
    assert counts(done) == (0, SLICE_ROWS + 500)
    assert len(imports.refused) == SLICE_ROWS + 500
