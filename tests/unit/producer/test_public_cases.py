"""Files that people have: tests/cases, as published, and their near relatives (issue 16, row 10).

Each is read as `energy load` and the uploads read it: what is right is a number of rows, or a
refusal before the first one. What needs a broker (c1, c8) is in tests/broker/test_load.py, what
needs HTTP in test_api_datasources.py.
"""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.quarantine import ImportedRow, decode_quarantined
from producer.errors import FileBroken, FileRefused, NoReading, TooManyRefused
from producer.files.cells import Dialect
from producer.files.content import Content, format_of, looks_like
from producer.files.reading import HELD_ROWS, Place, format_in, read_places
from producer.files.rows import Format, Start

CASES = Path(__file__).parents[2] / "cases"
ROW = '{"timestamp":"2025-04-30 10:11:21","device_id":"d","energy_consumed":%d,"location":"x"}'
HEADER = "timestamp,device_id,energy_consumed,location\n"
CSV_ROW = "2025-04-30 10:11:21,d,%d,x\n"
BOM = "\ufeff"


def gz(data: bytes, level: int = 9) -> bytes:
    # Without the time, which would be in a test's name.
    return gzip.compress(data, level, mtime=0)


def lines(*numbers: int) -> str:
    return "".join(ROW % number + "\n" for number in numbers)


def array(*numbers: int) -> str:
    return "[" + ",".join(ROW % number for number in numbers) + "]"


class Pipe(io.RawIOBase):
    """Bytes that cannot be searched, as standard input's."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(buffer)


def read(
    data: bytes | str, name: str, *, pipe: bool = False, most_refused: int | None = None, **how: Any
) -> Iterator[Place]:
    raw = data.encode() if isinstance(data, str) else data
    file: Any = io.BufferedReader(Pipe(raw)) if pipe else io.BytesIO(raw)
    with closing(Content(file, name)) as content:
        form = format_in(content, how.pop("form", None) or format_of(name))
        source = ImportedRow("i", name)
        yield from read_places(
            content, form, Start(), Dialect(**how), source, most_refused=most_refused
        )


def places(data: bytes | str, name: str, **how: Any) -> list[Place]:
    return list(read(data, name, **how))


def energies(data: bytes | str, name: str, **how: Any) -> list[Any]:
    """The energies of all good rows; there must be no others."""
    found = places(data, name, **how)
    assert not any(place.batch.quarantined for place in found)
    values = [value for place in found for value in place.batch.values]
    return [json.loads(value, parse_float=Decimal)["energy_consumed"] for value in values]


def refusal(data: bytes | str, name: str, **how: Any) -> str:
    """Why a file is refused; nothing of it has been handed out."""
    found: list[Place] = []
    with pytest.raises((FileRefused, FileBroken)) as error:
        found.extend(read(data, name, **how))
    assert not found
    return str(error.value)


# c2: names of columns


def test_c2_other_names_are_refused_with_the_header_and_the_names_wanted() -> None:
    text = refusal((CASES / "columns-other-names.csv").read_bytes(), "columns-other-names.csv")
    assert "'Time,Room,Energy,Meter'" in text
    assert "timestamp, device_id, energy_consumed, location" in text


@pytest.mark.parametrize(
    "header",
    [
        "Timestamp,DEVICE_ID,Energy_Consumed,location",
        "timestamp , device_id ,energy_consumed,  location",
        '"timestamp","Device_Id","energy_consumed","LOCATION"',
        BOM + "TIMESTAMP,device_id,energy_consumed,location\r",
        "\n\r\ntimestamp,device_id,energy_consumed,location",
        'timestamp,device_id,energy_consumed,location,"a note,\nover lines"',
        "timestamp,device_id,energy_consumed,location,2024",
    ],
)
def test_c2_names_compare_without_case_and_the_blanks_around_them(header: str) -> None:
    cells = ",x" if header.endswith(('"a note,\nover lines"', "2024")) else ""
    row = CSV_ROW.replace("\n", cells + "\n")
    assert energies(header + "\n" + row % 1 + row % 2, "a.csv") == [1, 2]


@pytest.mark.parametrize(
    "first",
    [
        "time,device,kwh,place",
        "Time,Room,Energy,Meter",
        "timestamp,device_id,energy_consumed,place",
        "timestamp,device_id,energy_consumed,location,Device_ID",
        "timestamp;device_id;energy_consumed;location",
        "2025-04-30 10:11:21,Kitchen,meter-1,1.5",
        "2025-04-30,d,1,x",
        "2025-04-30 10:11:21,d,1.5 kWh,x",
        "2025-04-30 10:11:21,d,1,x,more",
        "1745999481,d,1,x",
        "d,1,x,2025-04-30 10:11:21",
        ",,,",
        "timestamp",
    ],
)
def test_c2_what_is_neither_a_header_nor_a_row_is_refused_before_row_1(first: str) -> None:
    text = refusal(first + "\n" + CSV_ROW % 1, "a.csv")
    assert "timestamp, device_id, energy_consumed, location" in text


def test_c2_rows_without_a_header_are_read_where_that_is_said_or_plain() -> None:
    assert energies(CSV_ROW % 1 + CSV_ROW % 2, "a.csv") == [1, 2]
    assert energies("2025-04-30 10:11:21,location,1,device_id\n", "a.csv") == [1]
    order = ("device_id", "energy_consumed", "location", "timestamp")
    rows = "d,1,x,2025-04-30 10:11:21\nd,2,x,2025-04-30 10:11:21\n"
    assert energies(rows, "a.csv", columns=order) == [1, 2]
    assert energies("Room,Energy,Meter,Time\n" + rows, "a.csv", columns=order) == [1, 2]
    # Which columns there are is said better by the file.
    assert energies(HEADER + CSV_ROW % 1, "a.csv", columns=order) == [1]
    bad = "d,N/A,x,2025-04-30 10:11:21\n"
    found = places(bad + rows, "a.csv", columns=order)
    assert [len(place.batch.quarantined) for place in found] == [1]


def test_c2_many_blanks_before_a_header_hide_nothing() -> None:
    text = "\n" * 200_000 + "Time,Room,Energy,Meter\n" + CSV_ROW % 1
    assert "blank" in refusal(text, "a.csv")


# c3: JSON documents


@pytest.mark.parametrize("name", ["array-pretty.json", "array-by-lines.json"])
@pytest.mark.parametrize("how", ["file", "pipe", "gzip"])
def test_c3_an_export_as_json_is_read_whole(name: str, how: str) -> None:
    data = (CASES / name).read_bytes()
    if how == "gzip":
        data, name = gz(data), name + ".gz"
    assert energies(data, name, pipe=how == "pipe") == [1, 2]


PRETTY = json.dumps(json.loads(ROW % 1), indent=4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (array(1, 2), [1, 2]),
        (array(), []),
        (BOM + array(1), [1]),
        (" \r\n\t" + array(1, 2) + "\n\n", [1, 2]),
        (array(1, 2).replace(",{", "\n,{"), [1, 2]),
        (array(*range(12_000)), list(range(12_000))),
        (PRETTY, [1]),
        (PRETTY + "\n" + PRETTY.replace(": 1,", ": 2,") + "\n", [1, 2]),
        (PRETTY + PRETTY, [1, 1]),
        (PRETTY + "\n" + lines(5), [1, 5]),
        (lines(1, 2), [1, 2]),
        (lines(1, 2).replace("\n", "\r\n\r\n"), [1, 2]),
        (array(1).replace('"x"', '"[{,\\"é"'), [1]),
        (
            array(1).replace("1,", "100000000000000000000000.5,"),
            [Decimal("100000000000000000000000.5")],
        ),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "noname"])
def test_c3_what_events_takes_is_taken_from_a_file(
    text: str, expected: list[Any], name: str
) -> None:
    assert energies(text, name) == expected


@pytest.mark.parametrize(
    "text",
    [
        array(1, 2)[:-1],
        array(1, 2)[:-9],
        array(1, 2) + "x",
        array(1) + "\n" + array(2),
        array(1, 2).replace(",{", "{"),
        array(1, 2).replace("},", "},,"),
        array(1)[:-1] + ",]",
        array(1, 2)[:-1] + ",NaN]",
        array(1)[:-1] + ',"' + "x" * 70_000 + '"]',
        array(1)[:-1] + "," + "[" * 100_000,
        array(*range(30_000)) + "]",
        PRETTY + "\n" + PRETTY[:-1],
        PRETTY + ",\n" + PRETTY,
        lines(1, 2).replace("}\n", "},\n"),
        PRETTY + "\n" + lines(7) + "{\n",
        "[",
    ],
)
@pytest.mark.parametrize("name", ["a.json", "noname"])
def test_c3_a_document_that_is_broken_anywhere_is_refused_whole(text: str, name: str) -> None:
    refusal(text, name)


def test_c3_one_byte_that_is_not_utf8_in_an_array_refuses_it() -> None:
    refusal(array(1, 2).encode().replace(b'"x"', b'"\xff"'), "a.json")


def test_c3_elements_that_are_no_readings_are_quarantined_with_their_place() -> None:
    found = places(array(1)[:-1] + ',5,{"a":[1]},' + ROW % 2 + "]", "a.json")
    records = [decode_quarantined(q) for place in found for q in place.batch.quarantined]
    assert [record["__line"] for record in records] == [2, 3]
    assert sum(len(place.batch.values) for place in found) == 2


def test_c3_a_first_line_that_is_broken_makes_no_document_of_lines() -> None:
    found = places(ROW[:40] + "\n" + lines(1, 2), "a.ndjson")
    assert [len(place.batch.values) for place in found] == [2]
    assert [len(place.batch.quarantined) for place in found] == [1]


@pytest.mark.parametrize("seed", range(20))
def test_c3_a_document_goes_on_from_every_place_and_in_any_pieces(seed: int) -> None:
    chance = random.Random(seed)
    blanks = ["", " ", "\n\t", " " * chance.randrange(90_000)]
    rows = [
        ROW % n if n % 9 else ROW.replace('"x"', '"' + "é" * 30_000 + '"') % n for n in range(60)
    ]
    parts = [chance.choice(blanks) + row + chance.choice(blanks) for row in rows]
    data = ("[" + ",".join(parts) + "]").encode()
    whole = b""
    while data:
        size = chance.choice([1, 1000, 70_000])
        whole += gz(data[:size], 1)
        data = data[size:]
    content = Content(io.BytesIO(whole), "a.json.gz")
    source = ImportedRow("i", "a")
    found = list(read_places(content, "ndjson", Start(), Dialect(), source))
    assert sum(len(p.batch.values) + len(p.batch.quarantined) for p in found) == 60
    for number, place in enumerate(found):
        start = Start(place.next_position, place.next_line)
        rest = read_places(content, "ndjson", start, Dialect(), source, has_readings=True)
        assert [p.batch.values for p in rest] == [p.batch.values for p in found[number + 1 :]]


# c4: nothing good


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"\x00\x01" * 500, "a.csv", "binary data"),
        (b"PK\x03\x04" + b"\x00" * 99, "a.csv", "Excel"),
        ("<html>\n<body>404</body>\n</html>\n", "a.ndjson", "HTML"),
        ("<html>\n<body>404</body>\n</html>\n", "noname", "HTML"),
        (HEADER.encode("utf-16"), "a.csv", "UTF-16"),
        (lines(1, 2), "a.csv", "JSON objects"),
        (HEADER + CSV_ROW % 1, "a.ndjson", "CSV with commas"),
        (HEADER.replace(",", ";") + (CSV_ROW % 1).replace(",", ";"), "a.csv", "semicolons"),
        (array(1), "a.csv", "a JSON array"),
        (b"PAR1" + b"\x00" * 99, "a.ndjson", "Parquet"),
        (lines(1), "a.parquet", "JSON objects"),
        (HEADER + "2025-04-30 10:11:21,d,1.5 kWh,x\n" * 9, "a.csv", "line 2: energy_consumed"),
        (lines(1, 2).replace("energy_consumed", "kwh"), "a.ndjson", "energy_consumed: missing"),
        (lines(1, 2).replace("2025-04-30 10:11:21", "1745999481"), "a.json", "timestamp"),
        ('{"data":' + array(1, 2) + "}", "a.json", "timestamp: missing"),
        ("[1,2,3]", "a.json", "not a JSON object"),
        ("hello", "a.ndjson", "text"),
        (gz(HEADER.encode() + b"x\n" * 5), "a.csv.gz", "line 2"),
        (gz(lines(1).encode()), "a.ndjson", "gzip"),
        (lines(1), "a.ndjson.gz", "not compressed"),
    ],
)
def test_c4_f5_a_file_without_a_reading_fails_with_reasons_and_what_it_looks_like(
    data: bytes | str, name: str, words: str
) -> None:
    assert words in refusal(data, name)


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet", None])
@pytest.mark.parametrize("data", ["", "\n\n", " \r\n", BOM])
def test_f2_an_empty_file_has_no_rows_whatever_it_is_said_to_be(
    data: str, form: Format | None
) -> None:
    if form == "parquet" and data:
        refusal(data, "a", form=form)
    else:
        assert energies(data, "a", form=form) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (lines(1, 2), [1, 2]),
        (HEADER + CSV_ROW % 1, [1]),
        (CSV_ROW % 1, [1]),
        (gz(array(1, 2).encode()), [1, 2]),
        (gz((HEADER + CSV_ROW % 5).encode()), [5]),
    ],
)
@pytest.mark.parametrize("name", ["noname", "a.txt", "-"])
def test_c4_a_name_that_says_nothing_leaves_it_to_the_content(
    data: bytes | str, expected: list[int], name: str
) -> None:
    assert energies(data, name) == expected
    assert energies(data, name, pipe=True) == expected


def test_c4_bad_rows_before_the_first_good_one_are_quarantined_with_it() -> None:
    found = places("{bad\n" * 6_000 + lines(1), "a.ndjson")
    assert sum(len(place.batch.quarantined) for place in found) == 6_000
    assert sum(len(place.batch.values) for place in found) == 1


def test_c4_more_bad_rows_than_are_held_back_are_handed_on_and_no_success() -> None:
    content = Content(io.BytesIO(b"{bad\n" * (2 * HELD_ROWS)), "a.ndjson")
    found: list[Place] = []
    with pytest.raises(NoReading, match="20000 rows"):
        found.extend(read_places(content, "ndjson", Start(), Dialect(), ImportedRow("i")))
    assert sum(len(place.batch.quarantined) for place in found) == 2 * HELD_ROWS


# Fairness: a stranger's file puts only so many rows into the quarantine


@pytest.mark.parametrize(
    ("data", "good", "refused"),
    [
        (lines(1) + "bad\n" * 30 + lines(2), 1, 10),
        (lines(1) + "bad\n" * 9 + lines(2) + "bad\n" + lines(3) + "bad\n" + lines(4), 3, 10),
        (HEADER + CSV_ROW % 1 + "bad\n" * 30 + CSV_ROW % 2, 1, 10),
    ],
)
def test_a_strangers_file_ends_with_the_last_refused_row_allowed(
    data: str, good: int, refused: int
) -> None:
    content = Content(io.BytesIO(data.encode()), "a")
    source = ImportedRow("i", "a")
    found: list[Place] = []
    read = read_places(content, None, Start(), Dialect(), source, most_refused=10)
    with pytest.raises(TooManyRefused, match="10 rows"):
        found.extend(read)
    assert sum(len(place.batch.values) for place in found) == good
    assert sum(len(place.batch.keys) for place in found) == good
    assert sum(len(place.batch.quarantined) for place in found) == refused


def test_a_strangers_file_with_just_as_many_refused_rows_is_taken() -> None:
    found = places(lines(1) + "bad\n" * 10 + lines(2), "a", most_refused=10)
    assert sum(len(place.batch.values) for place in found) == 2
    with pytest.raises(NoReading):
        places("{bad\n" * 30_000, "a.ndjson", most_refused=10_000)


# c9: Parquet as today's tools write it


def parquet(**columns: Any) -> bytes:
    table: dict[str, Any] = {
        "timestamp": ["2025-04-30 10:11:21"] * 2,
        "device_id": ["d", "d"],
        "energy_consumed": [1, 2],
        "location": ["x", ""],
        **columns,
    }
    buffer = io.BytesIO()
    pq.write_table(
        pa.table({name: each for name, each in table.items() if each is not None}), buffer
    )
    return buffer.getvalue()


TEXTS = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.binary(2),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.uint16(), pa.large_string()),
]


@pytest.mark.parametrize("kind", TEXTS, ids=str)
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_c9_text_of_any_type_is_read(kind: Any, use_dictionary: bool) -> None:
    place = pa.array(["Kü"[:2], "ab"]) if kind != pa.binary(2) else pa.array([b"xy", b"ab"], kind)
    column = place if kind == pa.binary(2) else place.cast(kind)
    buffer = io.BytesIO(parquet(location=column))
    pq.write_table(pq.read_table(buffer), out := io.BytesIO(), use_dictionary=use_dictionary)
    found = places(out.getvalue(), "a.parquet")
    values = [json.loads(value) for each in found for value in each.batch.values]
    expected = ["xy", "ab"] if kind == pa.binary(2) else ["Kü", "ab"]
    assert [value["location"] for value in values] == expected
    assert places(
        parquet(device_id=column, timestamp=None, Timestamp=["2025-04-30T10:11:21Z"] * 2),
        "a.parquet",
    )


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, -2], pa.int8()), [1, -2]),
        (pa.array([1, 2], pa.uint16()), [1, 2]),
        (pa.array([Decimal("1.50"), Decimal("2")], pa.decimal32(5, 2)), [Decimal("1.50"), 2]),
        (pa.array([Decimal("1.50"), Decimal("2")], pa.decimal64(12, 2)), [Decimal("1.50"), 2]),
        (pa.array([1.5, 2.0], pa.float16()), [Decimal("1.5"), 2]),
        (pa.array(["0.1", "2"]).cast(pa.string_view()), [Decimal("0.1"), 2]),
        (pa.array([b"0.1", b"2"], pa.binary_view()), [Decimal("0.1"), 2]),
        (pa.array([7, 7]).dictionary_encode(), [7, 7]),
    ],
    ids=lambda each: str(getattr(each, "type", "")),
)
def test_c9_numbers_of_any_type_are_exact(array: pa.Array[Any], expected: list[Any]) -> None:
    assert energies(parquet(energy_consumed=array), "a.parquet") == expected


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_c9_a_compressed_file_is_read_as_it_is(suffix: str) -> None:
    data = gz(parquet()) if suffix else parquet()
    assert energies(data, "a.parquet" + suffix) == [1, 2]
    assert energies(data, "noname", pipe=True) == [1, 2]
    if suffix:
        refusal(data[:-9], "a.parquet.gz")


def test_c9_text_that_is_not_utf8_is_that_rows_alone() -> None:
    found = places(parquet(location=pa.array([b"\xff", b"x"])), "a.parquet")
    assert [len(place.batch.values) for place in found] == [1]
    assert [len(place.batch.quarantined) for place in found] == [1]


# c10: a byte order mark


def test_c10_a_byte_order_mark_before_ndjson_is_passed_over() -> None:
    assert energies((CASES / "bom.ndjson").read_bytes(), "bom.ndjson") == [1, 2]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (BOM + lines(1, 2), "a.ndjson"),
        (BOM + lines(1, 2), "a.txt"),
        (BOM + "\r\n\n" + lines(1, 2), "a.ndjson"),
        (BOM + HEADER + CSV_ROW % 1 + CSV_ROW % 2, "a.csv"),
        (BOM + CSV_ROW % 1 + CSV_ROW % 2, "a.csv"),
        (BOM + array(1, 2), "a.json"),
        (BOM + "\n" + PRETTY + PRETTY.replace(": 1,", ": 2,"), "a.json"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_c10_before_every_format(text: str, name: str, suffix: str) -> None:
    data = gz(text.encode()) if suffix else text.encode()
    assert energies(data, name + suffix) == [1, 2]


def test_c10_elsewhere_the_reason_names_it() -> None:
    (place,) = places(lines(1) + BOM + lines(2) + lines(3), "a.ndjson")
    (record,) = map(decode_quarantined, place.batch.quarantined)
    assert "byte order mark" in record["c__error"][0]
    assert len(place.batch.values) == 2


@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf", b"[", b"{", b"\xff\xfe", b"\x00", b"PAR1"])
def test_what_it_looks_like_is_always_said(head: bytes) -> None:
    assert looks_like(head)
