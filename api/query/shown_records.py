"""Which quarantine records a reader is shown: of the live view version or of none, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.auth.bounds import Bounds
from contract.errors import CorruptRecord
from contract.quarantine import NOT_PERMITTED, VIEW_VERSION_HEADER, decode_quarantined
from kafka_io.batches.chunk import Record


class ShownRecords:
    """Tells which records are shown, and counts what it was asked about.

    With `bounds` it counts what is shown: how much others have there is not the token's to know.
    """

    def __init__(self, view_version: int, bounds: Bounds | None) -> None:
        self._version = str(view_version).encode()
        self._bounds = bounds
        self.records_read = self.bytes_read = 0

    def has(self, record: Record) -> bool:
        """Whether a record is shown."""
        is_shown = self._is_shown(record)
        if is_shown or self._bounds is None:
            self.records_read += 1
            self.bytes_read += len(record.value or b"")
        return is_shown

    def _is_shown(self, record: Record) -> bool:
        for name, value in record.headers:
            if name == VIEW_VERSION_HEADER and value != self._version:
                return False
        try:
            row = decode_quarantined(record.value)
        except CorruptRecord:
            # Nobody of ours wrote it: it would break the answer.
            return False
        return self._bounds is None or _is_own(row, self._bounds)


def _is_own(row: Mapping[str, Any], bounds: Bounds) -> bool:
    """Whether a row of the quarantine says readably that it is of the token's devices and places.

    What is no string stands as its JSON: the number 7 is not the device "7".
    """
    columns, reasons = row.get("c__error_column"), row.get("c__error")
    if not isinstance(columns, list) or not isinstance(reasons, list):
        return False
    for column, own in (("device_id", bounds.devices), ("location", bounds.locations)):
        text = row.get(column)
        if own is not None and not (
            isinstance(text, str)
            and text in own
            and all(
                reason == NOT_PERMITTED[column]
                for name, reason in zip(columns, reasons, strict=False)
                if name == column
            )
        ):
            return False
    return True
