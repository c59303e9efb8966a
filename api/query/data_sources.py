"""What the data source is: its columns, and how many rows it has."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from api.view.totals_view import TotalsView
from contract.decoding import COLUMNS
from contract.topics import DATA_SOURCE

_TYPES = dict(zip(COLUMNS, ("DateTime64(9)", "String", "Float64", "String"), strict=True))


class DataColumn(BaseModel):
    """A column of a data source."""

    name: str
    type: str
    nullable: bool


class RowCounts(BaseModel):
    """How many rows a data source has."""

    row_count: int
    quarantined_row_count: int


class DataSourceSchema(BaseModel):
    """A data source."""

    name: str
    columns: list[DataColumn]
    statistics: RowCounts


def described(view: TotalsView) -> dict[str, Any]:
    """Return the fields of a DataSourceSchema; the counts are those of a running view."""
    markers = [partition.marker for partition in view.partitions]
    return {
        "name": DATA_SOURCE,
        "columns": [
            {"name": name, "type": kind, "nullable": False} for name, kind in _TYPES.items()
        ],
        "statistics": {
            "row_count": sum(marker.counted for marker in markers),
            "quarantined_row_count": sum(marker.quarantined for marker in markers),
        },
    }
