"""What Kafka acknowledged of a simulated fleet, by plain addition: totals, and sums of quarters.

Knows nothing of the pipeline that it is held against.
"""

from __future__ import annotations

import json
import os
import tempfile
from decimal import localcontext
from pathlib import Path
from typing import Any

from contract.decimals import EXACT, Number, canonical
from producer.fleet.simulated import Simulated


class Oracle:
    """Exact totals of the acknowledged readings by device; if wanted, sums by quarter too."""

    def __init__(self, *, with_quarters: bool = False) -> None:
        self._totals: dict[bytes, Number] = {}
        #: Device, location, quarter as text -> exact sum and number of readings.
        self._quarters: dict[tuple[str, str, str], tuple[Number, int]] | None = (
            {} if with_quarters else None
        )

    def add(self, sent: Simulated, failed: list[bytes | None]) -> int:
        """Add what was sent but for the failed values; returns how many bad ones were among it."""
        left_out: dict[bytes | None, int] = {}
        for value in failed:
            left_out[value] = left_out.get(value, 0) + 1
        bad = 0
        totals = self._totals
        with localcontext(EXACT):
            for value, key, energy in zip(*sent, strict=True):
                if left_out and left_out.get(value, 0):
                    left_out[value] -= 1
                elif energy is None:
                    bad += 1
                else:
                    totals[key] = totals.get(key, 0) + energy
                    if self._quarters is not None:
                        _add(self._quarters, json.loads(value or b""), energy)
        return bad

    def write(self, path: Path) -> None:
        """Write `{"device": "exact decimal total", ...}`, complete or not at all."""
        totals = {key.decode(): canonical(total) for key, total in sorted(self._totals.items())}
        _write(path, totals)

    def write_quarters(self, path: Path) -> None:
        """Write `{"device": {"location": {"2025-04-30T10:15Z": ["exact sum", readings]}}}`.

        Complete or not at all.
        """
        nested: dict[str, dict[str, dict[str, list[Any]]]] = {}
        for (device, location, quarter), (total, count) in sorted((self._quarters or {}).items()):
            places = nested.setdefault(device, {})
            places.setdefault(location, {})[quarter] = [canonical(total), count]
        _write(path, nested)


def _add(
    quarters: dict[tuple[str, str, str], tuple[Number, int]],
    reading: dict[str, Any],
    energy: Number,
) -> None:
    # A simulated timestamp is `2025-04-30 10:11:21`, in UTC.
    stamp = reading["timestamp"]
    quarter = f"{stamp[:10]}T{stamp[11:13]}:{int(stamp[14:16]) // 15 * 15:02}Z"
    key = reading["device_id"], reading["location"], quarter
    total, count = quarters.get(key, (0, 0))
    quarters[key] = total + energy, count + 1


def _write(path: Path, content: Any) -> None:
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=0)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
