"""From a body to its rows: one object, lines of objects, or an array of them.

Rows are bytes as received, in slices; each row is judged alone afterwards. What the body is, is
decided before its first row is handed out (CONTRACT section 5, BAD_INPUT section 4):

    [ ...        a JSON array, or BadRequest
    { ... }      one object over all lines: one row
    otherwise    lines split at LF, without blank ones; BadRequest where there are several
                 and none of them is a JSON object
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

import msgspec

from api.arrays import Cut, Text, cut_element, flat_element, flat_object
from api.errors import BadRequest

#: Bytes of lines split at once.
WINDOW_BYTES = 128 * 1024
#: The elements of an array that is not larger are kept until its end is seen.
KEPT_BYTES = 1024 * 1024
#: Rows handed out at once, so that a slice of the worst rows takes some 10 ms to judge.
SLICE_ROWS = 1_000

#: What JSON takes for blank.
BLANKS = b" \t\r\n"
_CLOSE = ord("]")
_not_blank = re.compile(rb"[^ \t\r\n]").search
_surrogates = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


class RowSlice(NamedTuple):
    """Rows of a body; `numbers` are their lines, or places in the array, from 1 on."""

    numbers: Sequence[int]
    values: list[bytes]


async def split_rows(body: Text) -> AsyncIterator[RowSlice]:
    """Yield all rows of a body. Raises: BadRequest, before the first slice."""
    first = _not_blank(body)
    if first is None:
        raise BadRequest("the body is empty")
    start = first.start()
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
        yield RowSlice([1], [row])
        return
    await _refuse_lines_without_object(body)
    for rows in _line_slices(body):
        yield rows


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
    try:
        # msgspec refuses half of a surrogate pair, which JSON's grammar does not.
        return len(_raws(_surrogates.sub(rb"\\u0041", array)))
    except msgspec.DecodeError:
        return -1


async def _single_object(body: Text, start: int) -> bytes | None:
    """Return the object that is the whole body, None if the body is something else."""
    if len(body) > WINDOW_BYTES or not flat_object(body, start):
        cut = await _cut(body, start)
        if not cut.is_whole or cut.end < len(body):
            return None
    row = body[start:].rstrip(BLANKS)
    return row if is_object(row) else None


async def _refuse_lines_without_object(body: Text) -> None:
    lines = 0
    for rows in _line_slices(body):
        if any(map(is_object, rows.values)):
            return
        lines += len(rows.values)
        await asyncio.sleep(0)
    if lines > 1:
        raise BadRequest(
            f"the body has {lines} lines and none is a JSON object; nothing was written"
        )


def _line_slices(body: Text) -> Iterator[RowSlice]:
    """Split at LF only: other line ends may stand in a string."""
    start, number, size = 0, 1, len(body)
    while start < size:
        end = min(start + WINDOW_BYTES, size)
        if end < size:
            end = body.rfind(b"\n", start, end) + 1 or body.find(b"\n", end) + 1 or size
        lines = body[start:end].split(b"\n")
        if not lines[-1]:
            lines.pop()
        for place in range(0, len(lines), SLICE_ROWS):
            some = [line.removesuffix(b"\r") for line in lines[place : place + SLICE_ROWS]]
            numbers: Sequence[int] = range(number + place, number + place + len(some))
            if not all(map(bytes.strip, some)):
                kept = [
                    (n, line) for n, line in zip(numbers, some, strict=True) if line.strip(BLANKS)
                ]
                numbers, some = [n for n, _ in kept], [line for _, line in kept]
            if some:
                yield RowSlice(numbers, some)
        number += len(lines)
        start = end


async def _array_slices(body: Text, start: int) -> AsyncIterator[RowSlice]:
    """Cut an array into its elements. Raises: BadRequest where it is none."""
    position, number, size = start + 1, 1, len(body)
    if (first := _not_blank(body, position)) and body[first.start()] == _CLOSE:
        position = first.end()
    else:
        is_last = False
        while not is_last:
            values: list[bytes] = []
            judged: list[bytes] = []
            end = min(position + WINDOW_BYTES, size)
            while not is_last and len(values) < SLICE_ROWS and (position < end or not values):
                if flat := flat_element(body, position):
                    value, cut_at, is_deep = flat[1], flat.end() - 1, False
                else:
                    cut = await _cut(body, position)
                    value, cut_at, is_deep = (
                        body[position : cut.end].strip(BLANKS),
                        cut.end,
                        cut.is_deep,
                    )
                    if not cut.is_whole or cut_at >= size or body[cut_at] not in b",]":
                        raise _no_array(number + len(values))
                values.append(value)
                if not is_deep:
                    judged.append(value)
                is_last = body[cut_at] == _CLOSE
                position = cut_at + 1
            _refuse_bad_grammar(judged, number)
            yield RowSlice(range(number, number + len(values)), values)
            number += len(values)
            await asyncio.sleep(0)
    if _not_blank(body, position):
        raise _no_array(number)


def _refuse_bad_grammar(values: list[bytes], number: int) -> None:
    """Refuse an array of which these elements, in a row, are not JSON.

    Joined they are the text of the array itself, so what stands beside an element cannot hide
    what is wrong with it. Elements nested too deep for a parser are left to the validator.
    """
    if _elements(b",".join(values)) != len(values):
        raise _no_array(number)


def _no_array(number: int) -> BadRequest:
    return BadRequest(
        f"the body begins with [ but is no JSON array, at element {number} or behind it; "
        "nothing was written"
    )


async def _cut(body: Text, start: int) -> Cut:
    for cut in cut_element(body, start):
        if cut is not None:
            return cut
        await asyncio.sleep(0)
    raise AssertionError("cut_element ends with a Cut")
