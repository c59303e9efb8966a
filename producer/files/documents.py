"""A JSON document as a file: an array of rows, or objects over several lines each.

What `/v0/events` takes as a body is taken here too. Such a file is looked through to its end
before its first row is handed out, so of one that is broken nothing is; it is read twice, an
element at a time. Positions are numbers of elements.

    [ ...                                  an array, or refused
    { ...   over more than one line        objects, one behind the other, or refused
    { ... } on one line                    no document: NDJSON, each line judged alone
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import NoReturn

from contract.decoding import VALUE_BYTES
from contract.validation import BYTE_ORDER_MARK
from producer.errors import FileBroken, FileRefused, FileTooLarge
from producer.files.rows import SLICE_BYTES, SLICE_ROWS, Start
from producer.judging import Rows

Pieces = Callable[[], Iterator[bytes]]
_not_blank = re.compile(r"[^ \t\r\n]").search


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


#: Only finds where a value ends and that it is JSON; numbers stay what they are, text.
_decode = json.JSONDecoder(
    parse_float=str, parse_int=str, parse_constant=_no_constant, object_pairs_hook=len
).raw_decode


def is_document(head: bytes) -> bool:
    """Tell from the first bytes of a file of JSON whether it is one, or NDJSON.

    Raises: FileRefused for lines with commas between them: an array without its brackets.
    """
    text = head.removeprefix(BYTE_ORDER_MARK).decode(errors="replace").lstrip(" \t\r\n")
    if text.startswith("["):
        return True
    try:
        _, end = _decode(text)
    except (ValueError, RecursionError):
        return False
    if text[end:].lstrip(" \t\r\n").startswith(","):
        raise FileRefused("a comma stands behind the first object: an array without its brackets")
    return "\n" in text[:end]


def document_rows(pieces: Pieces, start: Start) -> Iterator[Rows]:
    """Yield the values of a document; `pieces` gives its bytes, twice.

    Raises: FileRefused, before anything is yielded, where it is broken anywhere.
    """
    try:
        for _ in _elements(pieces()):
            pass
    except FileTooLarge:
        raise
    except FileBroken as error:
        raise FileRefused(f"{error}: nothing is read from a broken JSON document") from error
    values: list[bytes] = []
    size = number = 0
    for value in _elements(pieces()):
        number += 1
        if number <= start.position:
            continue
        values.append(value)
        size += len(value)
        if len(values) >= SLICE_ROWS or size >= SLICE_BYTES:
            yield Rows.numbered(values, number + 1 - len(values))
            values, size = [], 0
    if values:
        yield Rows.numbered(values, number + 1 - len(values))


def _elements(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the text of each element. Raises: FileRefused, FileBroken."""
    text = _Text(pieces)
    is_array = text.character() == "["
    if is_array:
        text.take()
    number = 0
    while (character := text.character()) and not (is_array and character == "]"):
        number += 1
        if number > 1 and is_array:
            if character != ",":
                raise _refused(number, "no comma before it")
            text.take()
            text.character()
        yield text.element(number)
    if is_array:
        if not character:
            raise _refused(number + 1, "the array is cut off")
        text.take()
        if text.character():
            raise FileRefused("text follows the JSON array")


class _Text:
    """The text of a document: a window of it that holds the next element whole."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._window, self._at = "", 0
        self._is_last = False

    def character(self) -> str:
        """Pass over blanks; returns the character behind them, empty at the end."""
        while True:
            self._fill()
            if found := _not_blank(self._window, self._at):
                self._at = found.start()
                self._fill()
                return found[0]
            self._at = len(self._window)
            if self._is_last:
                return ""

    def take(self) -> None:
        """Pass over one character."""
        self._at += 1

    def element(self, number: int) -> bytes:
        """Take the element that begins here. Raises: FileRefused."""
        try:
            _, end = _decode(self._window, self._at)
            value = self._window[self._at : end].encode()
        except (ValueError, RecursionError) as error:
            raise _refused(number, _reason(error)) from error
        if len(value) > VALUE_BYTES:
            raise _refused(number, f"more than {VALUE_BYTES} bytes")
        self._at = end
        return value

    def _fill(self) -> None:
        """Hold more than an element may have, so that a shorter one is never seen in part."""
        while not self._is_last and len(self._window) - self._at <= VALUE_BYTES:
            piece = next(self._pieces, None)
            self._is_last = piece is None
            try:
                more = self._decode(piece or b"", self._is_last)
            except UnicodeDecodeError as error:
                raise FileRefused(f"the JSON document is not UTF-8: {error.reason}") from error
            self._window, self._at = self._window[self._at :] + more, 0


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, or more than {VALUE_BYTES} bytes"
    return str(error)


def _refused(number: int, problem: str) -> FileRefused:
    return FileRefused(f"the JSON document is broken at element {number}: {problem}")
