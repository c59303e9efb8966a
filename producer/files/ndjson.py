"""NDJSON: each line that is not blank is one value, judged alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from contract.decoding import VALUE_BYTES
from producer.errors import FileRefused
from producer.files.lines import BLANKS, split_lines, without_blanks
from producer.files.rows import BadRow, Rows, Start, unreadable


def ndjson_rows(pieces: Iterable[bytes], start: Start) -> Iterator[Rows]:
    """Yield the values of a file.

    Raises: FileRefused if of its first lines, when there are several, none begins an object:
    before anything is yielded; FileBroken.
    """
    is_checked = start.position > 0
    for some in split_lines(pieces, start):
        if some.whole is not None:
            error = unreadable(f"more than {VALUE_BYTES} bytes")
            bad = BadRow(some.first_line, some.lines[0], error, some.whole)
            yield Rows((), (), (bad,), some.next_position, some.next_line)
            continue
        numbers, values = without_blanks(some)
        if not is_checked and len(values) > 1:
            is_checked = True
            if not any(value.lstrip(BLANKS).startswith(b"{") for value in values):
                raise FileRefused(
                    f"none of the first {len(values)} lines is a JSON object: this is no NDJSON"
                )
        yield Rows(values, numbers, (), some.next_position, some.next_line)
