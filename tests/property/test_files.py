"""Readers of files against slow, plain ones: any bytes, in any pieces, from any place."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from producer.files.cells import Dialect
from producer.files.delimited import csv_rows
from producer.files.lines import split_lines
from producer.files.row_ends import RowEnds
from producer.files.rows import Start
from producer.judging import Rows

HEADER = b"timestamp,device_id,energy_consumed,location\n"
CELLS = [b"a", b"", b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\x00", b"\xff", b"7", "é".encode()]
#: Mostly rows as they should be, so that what is wrong stands among what is right.
ROW = st.sampled_from([b"t,d,7,x\n", b't,"d",7,"x"\n', b't,d,7,"x\ny"\n', b't,d,7,"x""y"\r\n'])
NOISE = st.lists(st.sampled_from(CELLS), max_size=6).map(b"".join)
TEXT = st.lists(st.one_of(ROW, NOISE), max_size=8).map(b"".join)


def in_pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        yield data[start:end]


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"\r", b"x" * 70_000])), st.data())
def test_lines_are_those_between_line_feeds(parts: list[bytes], data: st.DataObject):
    text = b"".join(parts)
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    begins = [sum(len(line) + 1 for line in lines[:place]) for place in range(len(lines))]
    begins.append(len(text))
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=5))
    keep_cr = data.draw(st.booleans())
    place = 0
    for some in split_lines(in_pieces(text, cuts), Start(), keep_cr=keep_cr):
        assert (some.first_line, some.position) == (place + 1, begins[place])
        expected = lines[place : place + (some.next_line - some.first_line)]
        place += len(expected)
        assert (some.next_line, some.next_position) == (place + 1, begins[place])
        if some.whole is not None:
            assert some.whole.length == len(expected[0]) > 65_536
            assert some.lines == [expected[0][:65_537]]
        elif some.blank:
            assert (some.lines, some.blank.split(b"\n")) == ([], [*expected, b""])
            assert not some.blank.strip()
        else:
            assert some.lines == [e if keep_cr else e.removesuffix(b"\r") for e in expected]
    assert place == len(lines)


def cells_by_hand(row: str) -> list[str] | None:
    """The cells of one row by the strict rules, character by character; None if it is none."""
    cells, cell, state = [], "", "begin"
    place = 0
    while place < len(row):
        character = row[place]
        place += 1
        if state == "quoted":
            if character == '"':
                state = "closing"
            else:
                cell += character
        elif character == '"' and state == "closing":
            cell, state = cell + '"', "quoted"
        elif character == '"' and state == "begin":
            state = "quoted"
        elif character == ",":
            cells.append(cell)
            cell, state = "", "begin"
        elif character in "\r\n":
            if row[place:].strip("\r\n"):
                return None
            place = len(row)
        elif state == "closing":
            return None
        else:
            cell, state = cell + character, "plain"
    if state == "quoted":
        return None
    return [*cells, cell] if row.strip("\r\n") else []


def not_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False


def by_hand(data: bytes) -> list[tuple[int, list[str] | None]]:
    """(line, cells or None for a bad row) of each row that is not blank."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    found: list[tuple[int, list[str] | None]] = []
    place = 0
    while place < len(lines):
        cells, taken = None, 1
        for count in range(1, len(lines) - place + 1):
            raw = b"\n".join(lines[place : place + count])
            if b"\x00" in raw or not_utf8(raw):
                break
            cells = cells_by_hand(raw.decode())
            if cells is not None:
                cells, taken = (cells, count) if len(cells) in (0, 4) else (None, 1)
                break
        if cells is None or cells:
            found.append((place + 2, cells))
        place += taken
    return found


def read(data: bytes, cuts: list[int], start: Start) -> list[Rows]:
    return list(csv_rows(data, in_pieces(data, cuts), start, Dialect()))


def content(blocks: list[Rows]) -> list[tuple[int, list[str] | None]]:
    found: list[tuple[int, list[str] | None]] = []
    for rows in blocks:
        for line, value in zip(rows.lines, rows.values, strict=True):
            fields: dict[str, Any] = json.loads(value, parse_int=str, parse_float=str)
            found.append((line, list(fields.values())))
        found += [(bad.line, None) for bad in rows.bad]
    return sorted(found, key=lambda row: row[0])


def ends_by_the_parser(lines: list[bytes], dialect: Dialect) -> list[tuple[int, list[str] | None]]:
    """(lines taken, cells or None for a bad row) of each row, parsed to its end from each line."""
    found: list[tuple[int, list[str] | None]] = []
    place = 0
    while place < len(lines):
        parser = dialect.parse([line.decode() + "\n" for line in lines[place:]])
        try:
            cells = next(parser)
        except csv.Error:
            found.append((1, None))
        else:
            is_row = len(cells) in (0, 4)
            found.append((parser.line_num, cells) if is_row else (1, None))
        place += found[-1][0]
    return found


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(['"', '""', ",", "a", "\\", "\r", "\n", '","', "é"])).map("".join),
    st.sampled_from([None, "\\", "a"]),
)
@example('a","\n' * 3 + '"\n', None)
@example('a"\n,,,"\nb"', "a")
@example('\\\n"\\\n,,,b\n', "\\")
def test_rows_end_where_a_parser_that_begins_at_each_line_says(text: str, escape: str | None):
    lines = text.encode().split(b"\n")
    dialect = Dialect(escape=escape)
    ends = RowEnds(lines, dialect, 4, is_last=True)
    place = 0
    for taken, cells in ends_by_the_parser(lines, dialect):
        row = ends.row(place)
        assert (row[0], None if isinstance(row[1], str) else row[1]) == (taken, cells)
        # Where more lines may come, only what they could change is left open.
        first = RowEnds(lines[: place + taken], dialect, 4, is_last=False).row(place)
        assert first == row or (first is None and cells is None)
        place += taken


@given(TEXT, st.lists(st.integers(0, 200), max_size=4))
@example(b't,d,7,"open\nt,d,7,x\nt,d,7,"x"\n', [])
@example(b'x"y,"open\nt,d,7,x\n', [])
@example(b'a"t,d,7,x\nt,d,7,x\n', [])
@example(b'a"t,d,7,x\nb"t,d,7,x\nfew\n', [])
@example(b't,d,7,"x\n\xff\n"\nt,d,7,x\n', [])
def test_csv_is_read_as_by_hand(text: bytes, cuts: list[int]):
    assert content(read(HEADER + text, cuts, Start())) == by_hand(text)


@given(TEXT, st.lists(st.integers(0, 200), max_size=4))
def test_csv_goes_on_from_every_place(text: bytes, cuts: list[int]):
    data = HEADER + text
    whole = read(data, cuts, Start())
    for place, rows in enumerate(whole):
        rest = read(data, [], Start(rows.next_position, rows.next_line))
        assert content(rest) == content(whole[place + 1 :])
