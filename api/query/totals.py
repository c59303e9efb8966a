"""A row of the listing of totals, and the table of such rows."""

from __future__ import annotations

import msgspec

from api.query.table import Table
from api.view.device_totals import Served


class Row(msgspec.Struct, gc=False, frozen=True):
    """A row as it is served: the columns of TOTALS, in their order."""

    device_id: str
    total_energy_consumed: Served


TOTALS = Table(
    {"device_id": "String", "total_energy_consumed": "Float64"},
    explained="Energy consumed by a device, all readings added.",
)
