"""Rows refused on the way in, as records of the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from api.rows import RowSlice
from contract.quarantine import ImportedRow, encode_quarantined
from contract.reading import Rejected


def refused_records(
    rejected: Sequence[Rejected], rows: RowSlice, import_id: str, file: str | None = None
) -> list[bytes]:
    """Write one record for each place in the rows that is refused."""
    now = datetime.now(UTC)
    return [
        encode_quarantined(
            rows.values[place],
            error,
            ImportedRow(import_id, file, rows.numbers[place]),
            now,
            whole=rows.whole,
        )
        for place, error in rejected
    ]
