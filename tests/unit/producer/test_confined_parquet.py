"""B13: Parquet of strangers, whose few kB may become gigabytes, in a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.quarantine import ImportedRow
from producer.errors import FileBroken, FileRefused, FileTooLarge
from producer.files.cells import Dialect
from producer.files.columnar import parquet_rows
from producer.files.confined import MEMORY_BYTES, confined_rows
from producer.files.content import Content
from producer.files.reading import Place, read_places
from producer.files.rows import SLICE_BYTES, Start
from producer.judging import Rows

LIMIT = 1 << 30


def parquet(rows: int = 3, location: Any = None, **options: Any) -> bytes:
    columns = {
        "timestamp": ["2025-04-30 10:11:21"] * rows,
        "device_id": [f"d{number}" for number in range(rows)],
        "energy_consumed": range(rows),
        "location": ["x"] * rows if location is None else location,
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def places(data: bytes, limit_bytes: int | None = LIMIT) -> list[Place]:
    with closing(Content(io.BytesIO(data), "upload", limit_bytes=limit_bytes)) as content:
        return list(read_places(content, None, Start(), Dialect(), ImportedRow("i")))


def test_b13_a_strangers_file_gives_what_everybodys_does() -> None:
    location = [b"x", b"\xff", None, *(b"%d" % number for number in range(12_000))]
    data = parquet(len(location), pa.array(location, pa.binary_view()), row_group_size=5_000)
    ours, strangers = places(data, None), places(data)
    assert [place.batch.values for place in strangers] == [place.batch.values for place in ours]
    assert [place.next_position for place in strangers] == [place.next_position for place in ours]
    assert sum(len(place.batch.quarantined) for place in strangers) == 2


def test_b13_it_goes_on_from_every_place(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(6_000))
    with path.open("rb") as file:
        (rest,) = confined_rows(file, Start(5_990, 5_991))
    assert list(rest.lines) == list(range(5_991, 6_001))


def test_b13_what_cannot_be_read_is_refused_or_broken_as_ever() -> None:
    with pytest.raises(FileRefused, match="has no column location"):
        places(parquet(location=None).replace(b"location", b"locatiom"))
    data = bytearray(parquet(40_000, row_group_size=20_000, compression="zstd"))
    data[len(data) // 2 : len(data) // 2 + 20_000] = b"\x55" * 20_000
    with pytest.raises(FileBroken, match="corrupt"):
        places(bytes(data))
    with pytest.raises(FileTooLarge, match="1000 bytes"):
        places(parquet(50), 1_000)


#: Reads a file as a stranger's in a process that has read nothing else; prints by how many kB
#: that one has grown and the most that the child had.
WATCHED = """
import sys, resource, threading, time
from pathlib import Path
from producer.files.confined import confined_rows
from producer.files.rows import Start
most = 0
def peak(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) if "VmHWM" in text else 0
def children():
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = values = 0
try:
    with open(sys.argv[1], "rb") as file:
        for some in confined_rows(file, Start(), int(sys.argv[2])):
            rows += len(some.values) + len(some.bad)
            values += sum(map(len, some.values))
            most = max([most, *map(peak, children())])
except Exception as error:
    print(type(error).__name__, end=" ")
else:
    print("whole", end=" ")
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(rows, values, grown, most)
"""


@pytest.mark.parametrize(
    ("rows", "bytes_each", "options", "outcome", "memory_bytes"),
    [
        (5_000, 16 * 1024, {}, "whole", MEMORY_BYTES),
        (1_000, 256 * 1024, {}, "whole", MEMORY_BYTES),
        (1, 60 << 20, {"use_dictionary": False, "compression": "zstd"}, "FileBroken", 100 << 20),
    ],
)
def test_b13_a_few_kb_that_become_much_are_bounded_in_both_processes(
    tmp_path: Path,
    rows: int,
    bytes_each: int,
    options: dict[str, Any],
    outcome: str,
    memory_bytes: int,
) -> None:
    path = tmp_path / "a.parquet"
    text = "x" * bytes_each
    make = pa.array([0] * rows, pa.int32()), pa.array([text])
    path.write_bytes(parquet(rows, pa.DictionaryArray.from_arrays(*make), **options))
    assert path.stat().st_size < 100_000
    run = [sys.executable, "-c", WATCHED, str(path), str(memory_bytes)]
    found = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert found[0] == outcome, found
    if outcome == "whole":
        assert (int(found[1]), int(found[2]) // rows) >= (rows, bytes_each)
    assert int(found[3]) < 60_000
    assert int(found[4]) << 10 < memory_bytes + (100 << 20)


@pytest.mark.parametrize("read", [parquet_rows, confined_rows])
def test_b13_slices_are_bounded_in_bytes(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "a.parquet"
    # One long text among short ones: what stands in the rows counts, not what is in the dictionary.
    location = ["x" * 16_384 if number % 3 else "y" for number in range(2_000)]
    path.write_bytes(parquet(len(location), location))
    with path.open("rb") as file:
        found: list[Rows] = list(read(file, Start()))
    assert [line for rows in found for line in rows.lines] == list(range(1, 2_001))
    assert 5 <= len(found) <= 20
    assert max(sum(map(len, rows.values)) for rows in found) < 2 * SLICE_BYTES


def test_b13_a_child_that_dies_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    location = ["x" * 16_384 + str(number) for number in range(2_000)]
    path.write_bytes(parquet(len(location), location))
    with path.open("rb") as file, pytest.raises((FileRefused, FileBroken), match=r"MiB|malloc"):
        list(confined_rows(file, Start(), memory_bytes=1 << 20))
    assert os.listdir(tmp_path) == ["a.parquet"]


def test_f10_the_child_is_told_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "secret")
    environments: list[dict[str, str]] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, env: dict[str, str], **options: Any) -> None:
            environments.append(env)
            super().__init__(*arguments, env=env, **options)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet())
    with path.open("rb") as file:
        (rows,) = confined_rows(file, Start())
    assert len(rows.values) == 3
    (found,) = environments
    assert "PATH" in found
    assert "secret" not in found.values()
    assert not [name for name in found if name.startswith(("KAFKA", "API", "ENERGY"))]


def test_f10_a_file_that_takes_too_long_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    # Without any seconds more the second that it is in is its last.
    path.write_bytes(parquet(300_000))
    with path.open("rb") as file, pytest.raises((FileRefused, FileBroken), match="0 s for some"):
        for _ in confined_rows(file, Start(), cpu_seconds=0):
            pass
