"""Which databases the copy has. Private: another format, another copy.

A device_id of 256 bytes, and its rank before it, are less than the 511 that a key may have.
"""

from __future__ import annotations

from typing import Any, NamedTuple

#: Raise it with every change of what is written.
FORMAT = 1


class Databases(NamedTuple):
    """The copy's databases."""

    #: Identity and format, positions, markers, births.
    about: Any
    #: device_id -> StoredTotal (api/view/stored_total.py).
    rows: Any
    #: Rank of the total and device_id -> nothing.
    by_total: Any
