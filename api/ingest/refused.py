"""Rows refused on the way in, as records of the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from api.ingest.body_rows import RowSlice
from contract.decoding import Rejected
from contract.quarantine import ImportedRow, encode_quarantined


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
