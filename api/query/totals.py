"""A row of the listing of totals, and the table of such rows."""

from __future__ import annotations

import msgspec

from api.query.table import Table
from api.view.device_totals import Served, Total


class Row(msgspec.Struct, gc=False, frozen=True):
    """A row as it is served: the columns of TOTALS, in their order."""

    device_id: str
    total_energy_consumed: Served


#: A row with `exact=true`: the columns of EXACT_TOTALS.
ExactRow = Total

_EXPLAINED = "Energy consumed by a device, all readings added."
TOTALS = Table(
    {"device_id": "String", "total_energy_consumed": "Float64"},
    explained=_EXPLAINED,
)
EXACT_TOTALS = Table(
    {
        "device_id": "String",
        "total_energy_consumed": "Float64",
        "total_energy_consumed_exact": "String",
        "readings": "UInt64",
    },
    explained=_EXPLAINED,
)
