"""NDJSON: each line that is not blank is one value, judged alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from contract.reading import VALUE_BYTES
from producer.errors import FileRefused
from producer.files.lines import split_lines
from producer.files.rows import BadRow, Rows, Start, unreadable

_BLANKS = b" \t\r\n"


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
        values: list[bytes] = some.lines
        numbers: Sequence[int] = range(some.first_line, some.next_line)
        if not all(map(bytes.strip, values)):
            kept = [(n, v) for n, v in zip(numbers, values, strict=True) if v.strip(_BLANKS)]
            numbers, values = [n for n, _ in kept], [v for _, v in kept]
        if not is_checked and len(values) > 1:
            is_checked = True
            if not any(value.lstrip(_BLANKS).startswith(b"{") for value in values):
                raise FileRefused(
                    f"none of the first {len(values)} lines is a JSON object: this is no NDJSON"
                )
        yield Rows(values, numbers, (), some.next_position, some.next_line)
