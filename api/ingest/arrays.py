"""Cutting JSON into its elements without building them: bytes as received, each judged alone.

Finds where an element ends by its brackets and strings only. Whether it is JSON, and whether it
is a reading, is judged afterwards; in valid JSON the two always agree on where it ends.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from typing import NamedTuple

from contract.validation import NESTING_LEVELS

Text = bytes | mmap.mmap

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BLANKS = rb"[ \t\r\n]*+"
_FLAT_OBJECT = rb'\{[^{}\[\]"]*+(?:' + _STRING + rb'[^{}\[\]"]*+)*+\}'
_blanks = re.compile(_BLANKS).match
#: An object without further brackets (nearly every reading), and what stands behind it.
flat_element = re.compile(
    _BLANKS + b"(" + _FLAT_OBJECT + b")" + _BLANKS + rb"([,\]])", re.DOTALL
).match
#: What has a meaning between elements and inside them; brackets in runs, since a hostile element
#: is nothing else. A string without its end has no group.
_token = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(")?|[\[{]++|[\]}]++|,', re.DOTALL)
#: Tokens looked at before other tasks get their turn: about 5 ms.
_TURN_TOKENS = 20_000

_OPENING, _CLOSING, _COMMA, _QUOTE = b"[{", b"]}", ord(","), ord('"')


class Cut(NamedTuple):
    """Where an element ends: `end` is behind it and the blanks that follow it.

    `levels` is how deep it nests; `is_whole` is False where a bracket or string never closes.
    """

    end: int
    levels: int
    is_whole: bool

    @property
    def is_deep(self) -> bool:
        """Whether it nests deeper than any reading may."""
        return self.levels > NESTING_LEVELS


def cut_element(text: Text, start: int, end: int) -> Iterator[Cut | None]:
    """Find the end of the element that begins at `start`, blanks before it included.

    An object or array ends with its bracket; anything else before the next comma or bracket.
    Nothing behind `end` is looked at: an element that is not over there is not whole. Yields
    None now and then, so that others get their turn, and at last the Cut.
    """
    depth = levels = 0
    for count, token in enumerate(_token.finditer(text, start, end)):
        if count % _TURN_TOKENS == _TURN_TOKENS - 1:
            yield None
        mark = token[0][0]
        if mark in _OPENING:
            depth += token.end() - token.start()
            levels = max(levels, depth)
        elif mark in _CLOSING:
            if depth == 0:
                yield Cut(token.start(), levels, True)
                return
            if token.start() + depth <= token.end():
                yield Cut(_behind_blanks(text, token.start() + depth, end), levels, True)
                return
            depth -= token.end() - token.start()
        elif mark == _COMMA and depth == 0:
            yield Cut(token.start(), levels, True)
            return
        elif mark == _QUOTE and token[1] is None:
            break
    yield Cut(min(end, len(text)), levels, False)


def _behind_blanks(text: Text, start: int, end: int) -> int:
    found = _blanks(text, start, end)
    return found.end() if found else start
