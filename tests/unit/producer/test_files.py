"""Files of readings: BAD_INPUT section 5, each row with its id, and what honest files may be."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from contract.quarantine import ImportedRow, decode_quarantined
from producer.errors import FileBroken, FileRefused
from producer.files.cells import Dialect
from producer.files.content import Content, format_of
from producer.files.reading import Place, read_places
from producer.files.rows import SLICE_ROWS, Start

GOOD = b'{"timestamp":"2025-04-30 10:11:21","device_id":"d%d","energy_consumed":%d,"location":"x"}'
FIRST = Start()
HEADER = b"timestamp,device_id,energy_consumed,location\n"


def rows(*numbers: int) -> list[bytes]:
    return [GOOD % (number, number) for number in numbers]


def csv_row(number: int) -> bytes:
    return b"2025-04-30 10:11:21,d%d,%d,x\n" % (number, number)


def places(data: bytes, name: str, start: Start = FIRST, **dialect: Any) -> Iterator[Place]:
    content = Content(io.BytesIO(data), name)
    source = ImportedRow("i", name)
    has_readings = start.position > 0
    return read_places(
        content, format_of(name), start, Dialect(**dialect), source, has_readings=has_readings
    )


class Loaded:
    """All of a file: energies of good rows, (line, value, reason) of bad ones."""

    def __init__(self, data: bytes, name: str, **dialect: Any) -> None:
        self.energies: list[Any] = []
        self.values: list[bytes] = []
        self.bad: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.end = 0
        try:
            for place in places(data, name, **dialect):
                self.end = place.next_position
                self.values += place.batch.values
                self.bad += map(decode_quarantined, place.batch.quarantined)
        except (FileBroken, FileRefused) as error:
            self.error = error
        self.energies = [
            json.loads(value, parse_float=Decimal)["energy_consumed"] for value in self.values
        ]
        self.bad_lines = sorted(record["__line"] for record in self.bad)


def test_f2_an_empty_file_or_a_header_alone_has_no_rows():
    for name in ("a.ndjson", "a.csv", "a.csv.gz", "a.ndjson.zst"):
        loaded = Loaded(b"", name)
        assert (loaded.values, loaded.bad, loaded.error) == ([], [], None)
    for text in (HEADER, HEADER[:-1], HEADER[:-1] + b"\r\n", b"\n\n", b"\xef\xbb\xbf" + HEADER):
        loaded = Loaded(text, "a.csv")
        assert (loaded.values, loaded.bad, loaded.error) == ([], [], None)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


COMPRESSIONS = {".gz": gzip.compress, ".zst": zst}


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_f3_rows_before_the_place_where_a_file_is_cut_off_or_corrupt_count(suffix: str):
    first = COMPRESSIONS[suffix](b"\n".join(rows(1, 2)) + b"\n")
    noise = "".join(hashlib.sha256(b"%d" % number).hexdigest() for number in range(9000))
    second = COMPRESSIONS[suffix](noise.encode())
    assert Loaded(first + second, "a.ndjson" + suffix).error is None
    damaged = bytearray(second)
    damaged[3000:200_000] = b"\x55" * 197_000
    for broken in (second[:-1], second[: len(second) // 2], second[:5], damaged):
        loaded = Loaded(first + broken, "a.ndjson" + suffix)
        assert isinstance(loaded.error, FileBroken)
        assert (loaded.energies, loaded.bad) == ([1, 2], [])


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_f3_the_line_that_is_cut_off_is_no_row(suffix: str):
    """Its beginning can be a good row: `1` of `1000`."""
    text = HEADER + csv_row(1) + b'2025-04-30 10:11:21,d2,1000,"x'
    whole = COMPRESSIONS[suffix](text) + COMPRESSIONS[suffix](b"y" * 99)[:-9]
    loaded = Loaded(whole, "a.csv" + suffix)
    assert isinstance(loaded.error, FileBroken)
    assert (loaded.energies, loaded.bad) == ([1], [])
    whole = COMPRESSIONS[suffix](rows(1)[0] + b"\n" + rows(2)[0])
    whole += COMPRESSIONS[suffix](b"y" * 99)[:-9]
    loaded = Loaded(whole, "a.ndjson" + suffix)
    assert isinstance(loaded.error, FileBroken)
    assert (loaded.energies, loaded.bad) == ([1], [])


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_f4_all_members_of_a_file_are_read(suffix: str):
    parts = [b"\n".join(rows(1, 2)) + b"\n" + rows(3)[0][:20], rows(3)[0][20:], b"", b"\n"]
    data = b"".join(map(COMPRESSIONS[suffix], [*parts, rows(4)[0]]))
    assert Loaded(data, "a.ndjson" + suffix).energies == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.ndjson.gz", b"\n".join(rows(1, 2))),
        ("a.csv.zst", gzip.compress(HEADER + csv_row(1), mtime=0)),
        ("a.csv", gzip.compress(HEADER + csv_row(1), mtime=0)),
        ("a.ndjson", HEADER + csv_row(1)),
        ("a.csv", b"\n".join(rows(1, 2))),
        ("a.ndjson", b"PAR1" + b"\x00" * 99),
        ("a.csv", b"PAR1" + b"\x00" * 99),
        ("a.csv", b"\xff\xfe" + HEADER),
        ("a.parquet", HEADER + csv_row(1)),
    ],
)
def test_f5_content_that_is_not_what_the_name_says_is_refused(name: str, data: bytes):
    loaded = Loaded(data, name)
    assert isinstance(loaded.error, FileRefused)
    assert (loaded.values, loaded.bad) == ([], [])


MEMORY = """
import resource, sys, zlib
from contract.quarantine import ImportedRow
from producer.files.cells import Dialect
from producer.files.content import Content
from producer.files.reading import read_places
from producer.files.rows import Start
with open(sys.argv[1], "rb") as file:
    bad = good = 0
    name = sys.argv[1]
    form = sys.argv[2]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    content, source = Content(file, name), ImportedRow("i", name)
    for place in read_places(content, form, Start(), Dialect(), source):
        batch = place.batch
        good += len(batch.values); bad += len(batch.quarantined)
print(good, bad, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def read_in_a_process(path: Path, form: str) -> tuple[int, int, int]:
    """Good rows, bad rows, and by how many kB the process grew."""
    run = [sys.executable, "-c", MEMORY, str(path), form]
    found = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    return int(found[0]), int(found[1]), int(found[2])


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_f6_a_line_of_a_gigabyte_out_of_a_bomb_takes_bounded_memory(tmp_path: Path, suffix: str):
    """300 MB in the test; memory does not depend on it."""
    path = tmp_path / f"bomb.ndjson{suffix}"
    bomb = b"".join([COMPRESSIONS[suffix](b"a" * 10_000_000)] * 30)
    first, last = (COMPRESSIONS[suffix](part) for part in (b"\n".join(rows(1, 2)) + b"\n", b"\n"))
    path.write_bytes(first + bomb + last + first)
    good, bad, grown = read_in_a_process(path, "ndjson")
    assert (good, bad) == (4, 1)
    assert grown < 60_000


def test_f6_a_long_line_is_quarantined_with_length_and_sha256():
    long = b"x" * 3_000_000
    data = b"\n".join([*rows(1), long, *rows(2)])
    loaded = Loaded(data, "a.ndjson")
    assert (loaded.energies, loaded.bad_lines) == ([1, 2], [2])
    (record,) = loaded.bad
    assert record["__value"] == "x" * 65_536
    assert record["__value_length"] == 3_000_000
    assert record["__value_sha256"] == hashlib.sha256(long).hexdigest()
    loaded = Loaded(HEADER + csv_row(1) + b'"' + long + b"\n" + csv_row(2), "a.csv")
    assert (loaded.energies, loaded.bad_lines) == ([1, 2], [3])
    assert loaded.bad[0]["__value_length"] == 3_000_001


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.ndjson", [row + b"\n" for row in rows(*range(1, 9))]),
        ("a.csv", [csv_row(number) for number in range(1, 9)]),
    ],
)
def test_f8_a_row_that_is_not_utf8_is_quarantined_with_file_and_line(name: str, lines: list[bytes]):
    lines[4] = lines[4].replace(b"x", b"\xff")
    offset = 1 if name == "a.csv" else 0
    loaded = Loaded((HEADER if offset else b"") + b"".join(lines), name)
    assert loaded.energies == [1, 2, 3, 4, 6, 7, 8]
    (record,) = loaded.bad
    assert (record["__file"], record["__line"]) == (name, 5 + offset)
    assert record["c__import_id"] == "i"
    assert record["__value_base64"] is not None


def test_f9_csv_with_bom_crlf_and_no_final_line_end():
    text = (b"\xef\xbb\xbf" + HEADER + csv_row(1) + csv_row(2)).replace(b"\n", b"\r\n")[:-2]
    loaded = Loaded(text, "a.csv")
    assert (loaded.energies, loaded.bad) == ([1, 2], [])
    assert json.loads(loaded.values[1])["location"] == "x"


def test_f10_columns_in_another_order_and_columns_more():
    text = b"note,location,energy_consumed,device_id,timestamp\n,x,5,d,2025-04-30 10:11:21\n"
    assert Loaded(text, "a.csv").energies == [5]
    order = ("location", "energy_consumed", "device_id", "timestamp")
    loaded = Loaded(b"x,5,d,2025-04-30 10:11:21\n", "a.csv", columns=order)
    assert loaded.energies == [5]
    assert Loaded(csv_row(1) + csv_row(2), "a.csv").energies == [1, 2]
    text = (HEADER + csv_row(7)).replace(b",", b";")
    assert Loaded(text, "a.csv", delimiter=";").energies == [7]


@pytest.mark.parametrize(
    ("header", "match"),
    [
        (b"timestamp,device_id,location\n", "lacks energy_consumed"),
        (b"timestamp,device_id,energy_consumed,Place\n", "lacks location"),
        (HEADER[:-1] + b",device_id\n", "names twice device_id"),
        (HEADER.replace(b",", b";"), "1 cells"),
        (b"a,b,c\n", "3 cells"),
    ],
)
def test_f10_a_header_that_does_not_say_the_columns_is_refused(header: bytes, match: str):
    loaded = Loaded(header + csv_row(1), "a.csv")
    assert loaded.error is not None
    assert match in str(loaded.error)
    assert loaded.values == loaded.bad == []


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("is_last", [False, True])
def test_f11_an_open_quote_costs_its_own_row_alone(quoted: bool, is_last: bool):
    lines = [csv_row(number) for number in range(1, 9)]
    if quoted:
        lines = [b'"' + line[:-1].replace(b",", b'","') + b'"\n' for line in lines]
    broken = 7 if is_last else 4
    lines[broken] = lines[broken].replace(b"x", b"x\n" if quoted else b'"x').replace(b'\n"', b"\n")
    loaded = Loaded(HEADER + b"".join(lines), "a.csv")
    assert loaded.energies == [n for n in range(1, 9) if n != broken + 1]
    assert loaded.bad_lines == [broken + 2]


def test_f11_a_location_may_go_over_lines_and_hold_quotes():
    text = b'2025-04-30 10:11:21,d1,1,"a ""b"",\r\nc"\r\n' + csv_row(2)
    loaded = Loaded(HEADER + text, "a.csv")
    assert [json.loads(value)["location"] for value in loaded.values] == ['a "b",\r\nc', "x"]
    assert loaded.bad == []
    loaded = Loaded(HEADER + csv_row(1).replace(b"x", b"a\\,b"), "a.csv", escape="\\")
    assert json.loads(loaded.values[0])["location"] == "a,b"


@pytest.mark.parametrize(
    "bad",
    [
        b"2025-04-30 10:11:21,d\n",
        b"2025-04-30 10:11:21,d,1,x,y\n",
        b"2025-04-30 10:11:21,d,1," + b"x" * 200_000 + b"\n",
        b"2025-04-30 10:11:21,d,1,x\x00\n",
        b'2025-04-30 10:11:21,d,1,"x"y\n',
        b"2025-04-30 10:11:21,d,1,x\ry\n",
    ],
)
def test_f12_a_row_that_is_short_long_or_has_a_nul_is_quarantined(bad: bytes):
    loaded = Loaded(HEADER + csv_row(1) + bad + csv_row(2), "a.csv")
    assert (loaded.energies, loaded.bad_lines) == ([1, 2], [3])


@pytest.mark.parametrize("cell", [b"", rb"\N", b" 1", b'"1,5"', b"1_0", b"nan", b"+1", b"0x1"])
def test_f13_a_cell_that_is_no_number_is_quarantined(cell: bytes):
    bad = b"2025-04-30 10:11:21,d," + cell + b",x\n"
    loaded = Loaded(HEADER + csv_row(1) + bad + csv_row(2), "a.csv")
    assert (loaded.energies, loaded.bad_lines) == ([1, 2], [3])
    assert loaded.bad[0]["c__error_column"] == ["energy_consumed"]
    assert loaded.bad[0]["device_id"] == "d"


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    count = len(next(iter(columns.values())))
    table = {
        "timestamp": ["2025-04-30 10:11:21"] * count,
        "device_id": [f"d{n}" for n in range(count)],
        "location": ["x"] * count,
        **columns,
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"PAR1 this is none PAR1",
        parquet({"energy_consumed": [1, 2]})[:-40],
        parquet({"energy": [1]}),
        parquet({"energy_consumed": [True]}),
        parquet({"energy_consumed": [1], "device_id": [5]}),
        parquet({"energy_consumed": [[1]]}),
    ],
)
def test_f15_parquet_that_cannot_be_read_or_lacks_a_column_is_refused(data: bytes):
    loaded = Loaded(data, "a.parquet")
    assert isinstance(loaded.error, FileRefused)
    assert loaded.values == loaded.bad == []


def test_f15_a_page_that_is_corrupt_breaks_off_behind_the_rows_before():
    numbers = [n * 7919 for n in range(200_000)]
    data = bytearray(
        parquet({"energy_consumed": numbers}, row_group_size=20_000, compression="zstd")
    )
    middle = len(data) // 2
    data[middle : middle + 20_000] = b"\x55" * 20_000
    loaded = Loaded(bytes(data), "a.parquet")
    assert isinstance(loaded.error, FileBroken)
    assert loaded.energies == numbers[: len(loaded.energies)]
    assert len(loaded.energies) >= 20_000


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([2**63 - 1, -5]), ["9223372036854775807", "-5"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([Decimal("1.50"), Decimal("0.01")]), ["1.50", "0.01"]),
        (pa.array([Decimal("1E-30")], pa.decimal256(60, 30)), ["1E-30"]),
        (pa.array([0.1, 1e22, 5e-324, 100.0]), ["0.1", "1e+22", "5e-324", "100"]),
        (pa.array([0.1, 16777216.0], pa.float32()), ["0.1", "16777216"]),
        (pa.array(["0.75", "1e3"]), ["0.75", "1e3"]),
        (pa.array(["7", "8", "7"]).dictionary_encode(), ["7", "8", "7"]),
    ],
)
def test_f16_numbers_of_parquet_are_exact_or_the_shortest_of_their_type(
    array: pa.Array[Any], expected: list[str]
):
    loaded = Loaded(parquet({"energy_consumed": array}), "a.parquet")
    assert loaded.bad == []
    found = [json.loads(v, parse_int=str, parse_float=str) for v in loaded.values]
    assert [value["energy_consumed"] for value in found] == expected


def test_f16_nan_and_null_are_quarantined_with_their_row():
    numbers = [1.5, float("nan"), None, float("inf"), 2.5]
    loaded = Loaded(parquet({"energy_consumed": numbers}), "a.parquet")
    assert loaded.energies == [Decimal("1.5"), Decimal("2.5")]
    assert loaded.bad_lines == [2, 3, 4]
    loaded = Loaded(parquet({"energy_consumed": [1, 2], "device_id": [None, "d"]}), "a.parquet")
    assert [record["c__error_column"] for record in loaded.bad] == [["device_id"]]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_f16_timestamps_of_parquet_are_instants(unit: str, zone: str | None):
    second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    stamps = pa.array([1_746_007_881 * second], pa.timestamp(unit, zone))
    loaded = Loaded(parquet({"energy_consumed": [1], "timestamp": stamps}), "a.parquet")
    (value,) = loaded.values
    assert json.loads(value)["timestamp"].startswith("2025-04-30 10:11:21")
    assert json.loads(value)["timestamp"].endswith("Z") is (zone is not None)


def test_f16_a_row_group_of_any_size_takes_bounded_memory(tmp_path: Path):
    """300,000 rows of some 70 MB in the test; memory does not depend on it."""
    path = tmp_path / "large.parquet"
    count = 300_000
    columns = {
        "energy_consumed": pa.array(range(count)),
        "location": pa.array([f"{n * 7919:0200}" for n in range(count)]),
    }
    path.write_bytes(
        parquet(columns, row_group_size=count, use_dictionary=False, compression="none")
    )
    assert path.stat().st_size > 50_000_000
    good, bad, grown = read_in_a_process(path, "parquet")
    assert (good, bad) == (count, 0)
    assert grown < 60_000


MIXED: dict[str, Callable[[], bytes]] = {
    "a.ndjson": lambda: b"\n".join([*rows(*range(12_000)), b"", b"bad", b"x" * 200_000, *rows(1)]),
    "a.csv": lambda: (
        HEADER
        + b"".join(map(csv_row, range(12_000)))
        + b'2025-04-30 10:11:21,d1,1,"a\nb"\n"open\n'
        + csv_row(5)
    ),
    "a.csv.gz": lambda: gzip.compress(HEADER + b"".join(map(csv_row, range(12_000))), 1),
    "a.parquet": lambda: parquet({"energy_consumed": range(12_000)}, row_group_size=5500),
}


@pytest.mark.parametrize("name", MIXED)
def test_f18_from_every_place_it_goes_on_with_exactly_the_rest(name: str):
    data = MIXED[name]()
    whole = list(places(data, name))
    assert len(whole) > 2
    assert max(len(p.batch.values) + len(p.batch.quarantined) for p in whole) <= SLICE_ROWS

    def content(found: list[Place]) -> list[Any]:
        lines = [json.loads(q)["__line"] for p in found for q in p.batch.quarantined]
        return [[v for p in found for v in p.batch.values], lines]

    for place, stopped in enumerate(whole):
        rest = list(places(data, name, Start(stopped.next_position, stopped.next_line)))
        assert content(rest) == content(whole[place + 1 :])


def test_formats_are_told_by_names():
    names = ["a.csv", "a.b.csv.gz", "a.jsonl.zst", "a.NDJSON", "a.gz", "a", "-", "a.parquet"]
    found = [format_of(name) for name in names]
    assert found == ["csv", "csv", "ndjson", None, None, None, None, "parquet"]
