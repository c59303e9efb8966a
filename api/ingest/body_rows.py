"""From a body to its rows: one object, lines of objects, or an array of them.

Rows are bytes as received, in slices; each row is judged alone afterwards. What the body is, is
decided before its first row is handed out:

    [ ...        a JSON array, or BadRequest
    { ... }      one object over all lines: one row
    otherwise    lines split at LF, without blank ones; BadRequest where there are several
                 and none of them is a JSON object

A byte order mark before all that is passed over. Nothing is scanned, parsed or copied in one go
that is longer than ELEMENT_BYTES: others wait for the event loop meanwhile.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import msgspec

from api.errors import BadRequest, BodyTooLarge
from api.ingest.arrays import COMMA, Cut, Text, cut_elements
from contract.decoding import BYTE_ORDER_MARK
from producer.files.lines import BLANKS, LineSplitter, rows_of
from producer.files.rows import Start
from producer.judging import Rows

#: Bytes of lines split at once.
WINDOW_BYTES = 128 * 1024
#: The elements of an array that is not larger are kept until its end is seen.
KEPT_BYTES = 1024 * 1024
#: A longer element of an array is refused, and a longer object over several lines not looked for.
ELEMENT_BYTES = 8 * 1024 * 1024
#: Rows handed out at once, so that a slice of the worst rows takes some 10 ms to judge.
SLICE_ROWS = 1_000

_CLOSE = ord("]")
_first_in = re.compile(rb"[^ \t\r\n]").search
_surrogates = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


async def split_rows(body: Text) -> AsyncIterator[Rows]:
    """Yield all rows of a body. Raises: BadRequest, BodyTooLarge, before the first slice."""
    begin = len(BYTE_ORDER_MARK) if body[: len(BYTE_ORDER_MARK)] == BYTE_ORDER_MARK else 0
    start = await _not_blank(body, begin)
    if start is None:
        raise BadRequest("the body is empty")
    if body[start] == 0x5B:
        # Cut to its end before the first element is handed out; a large one is cut twice.
        kept = [rows async for rows in _array_slices(body, start) if len(body) <= KEPT_BYTES]
        for rows in kept:
            yield rows
        if len(body) > KEPT_BYTES:
            async for rows in _array_slices(body, start):
                yield rows
        return
    if body[start] == 0x7B and (row := await _single_object(body, start)) is not None:
        yield Rows.numbered([row], 1)
        return
    await _refuse_lines_without_object(body, begin)
    async for rows in _line_slices(body, begin):
        yield rows


async def _not_blank(body: Text, start: int) -> int | None:
    """Return the place of the first byte that is not blank, None if there is none."""
    for at in range(start, len(body), WINDOW_BYTES):
        if at > start:
            await asyncio.sleep(0)
        if found := _first_in(body, at, at + WINDOW_BYTES):
            return found.start()
    return None


def is_object(text: bytes) -> bool:
    """Whether the text is a JSON object by its grammar, however deep."""
    if not text.lstrip(BLANKS).startswith(b"{"):
        return False
    try:
        return _elements(text) == 1
    except RecursionError:
        return True


def _elements(text: bytes) -> int:
    """Return how many elements there are in an array of this text, -1 if that is no JSON."""
    array = b"[" + text + b"]"
    try:
        return len(_raws(array))
    except msgspec.DecodeError:
        pass
    if b"\\u" not in text:
        return -1
    try:
        # msgspec refuses half of a surrogate pair, which JSON's grammar does not.
        return len(_raws(_surrogates.sub(rb"\\u0041", array)))
    except msgspec.DecodeError:
        return -1


async def _single_object(body: Text, start: int) -> bytes | None:
    """Return the object that is the whole body, None if the body is something else."""
    row = body[start : start + WINDOW_BYTES]
    if len(body) <= start + WINDOW_BYTES:
        row = row.rstrip(BLANKS)
        try:
            return row if _elements(row) == 1 else None
        except RecursionError:
            # Too deep for the parser. On one line it is that line; else its brackets say.
            if b"\n" not in row:
                return None
    end = await _end_of_object(body, start)
    if end is None or await _not_blank(body, end) is not None:
        return None
    row = body[start:end]
    return row if is_object(row) else None


async def _refuse_lines_without_object(body: Text, start: int) -> None:
    lines = 0
    async for rows in _line_slices(body, start):
        # What is too long to be parsed is taken for what it begins as.
        if any(row.raw.lstrip(BLANKS).startswith(b"{") for row in rows.bad):
            return
        if any(map(is_object, rows.values)):
            return
        lines += rows.total
    if lines > 1:
        raise BadRequest(
            f"the body has {lines} lines and none is a JSON object; nothing was written"
        )


async def _line_slices(body: Text, start: int) -> AsyncIterator[Rows]:
    splitter = LineSplitter(Start(), most_rows=SLICE_ROWS, most_bytes=WINDOW_BYTES)
    for at in range(start, len(body), WINDOW_BYTES):
        for rows in map(rows_of, splitter.feed(body[at : at + WINDOW_BYTES])):
            if rows.total:
                yield rows
            else:
                await asyncio.sleep(0)
        if at + WINDOW_BYTES < len(body):
            await asyncio.sleep(0)
    for rows in map(rows_of, splitter.rest()):
        if rows.total:
            yield rows


async def _array_slices(body: Text, start: int) -> AsyncIterator[Rows]:
    """Cut an array into its elements. Raises: BadRequest where it is none, BodyTooLarge."""
    position, number, mark = start + 1, 1, COMMA
    first = await _not_blank(body, position)
    if first is not None and body[first] == _CLOSE:
        position, mark = first + 1, _CLOSE
    while mark == COMMA:
        values, mark, end = await _cut(body, position)
        if not values and position + ELEMENT_BYTES <= len(body):
            raise BodyTooLarge(
                f"element {number} of the array is longer than {ELEMENT_BYTES} bytes; nothing was"
                " written: send NDJSON, where only the row itself is refused"
            )
        if not values or not _are_elements(values):
            raise _no_array(number)
        yield Rows.numbered(values, number)
        position, number = end, number + len(values)
        await asyncio.sleep(0)
    if mark != _CLOSE or await _not_blank(body, position) is not None:
        raise _no_array(number)


def _are_elements(values: list[bytes]) -> bool:
    """Whether these elements of an array, in a row, are JSON.

    Joined they are the text of the array itself, so what stands beside an element cannot hide
    what is wrong with it. One that is nested too deep for a parser is left to the validator.
    """
    try:
        return _elements(b",".join(values)) == len(values)
    except RecursionError:
        if len(values) > 1:
            return all(_are_elements([value]) for value in values)
        return values[0][:1] in (b"[", b"{") and values[0][-1:] in (b"]", b"}")


def _no_array(number: int) -> BadRequest:
    return BadRequest(
        f"the body begins with [ but is not a JSON array: see element {number} or what follows it; "
        "nothing was written"
    )


async def _end_of_object(body: Text, start: int) -> int | None:
    """Return where the object that begins at `start` ends, None if it is too long or never."""
    position, mark = start + 1, COMMA
    while mark == COMMA:
        values, mark, position = await _cut(body, position)
        if not values or position > start + ELEMENT_BYTES:
            return None
    return position


async def _cut(body: Text, start: int) -> Cut:
    window, end = start + WINDOW_BYTES, start + ELEMENT_BYTES
    for cut in cut_elements(body, start, window, end, SLICE_ROWS):
        if cut is not None:
            return cut
        await asyncio.sleep(0)
    raise AssertionError("cut_elements ends with a Cut")
