"""NDJSON: each line that is not blank is one value, judged alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from producer.errors import FileRefused
from producer.files.lines import BLANKS, rows_of, split_lines
from producer.files.rows import Start
from producer.judging import Rows


def ndjson_rows(pieces: Iterable[bytes], start: Start) -> Iterator[Rows]:
    """Yield the values of a file.

    Raises: FileRefused if of its first lines, when there are several, none begins an object:
    before anything is yielded; FileBroken.
    """
    is_checked = start.position > 0
    for rows in map(rows_of, split_lines(pieces, start)):
        if not is_checked and len(rows.values) > 1:
            is_checked = True
            if not any(value.lstrip(BLANKS).startswith(b"{") for value in rows.values):
                raise FileRefused(
                    f"none of the first {rows.total} lines is a JSON object: this is not NDJSON"
                )
        yield rows
