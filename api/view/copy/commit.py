"""A commit of a changelog, as it is written into a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from contract.changelog import Marker


class Commit(NamedTuple):
    """A commit of a changelog partition: rows by changelog key (None: removed), and its marker.

    `next_position` is the changelog offset to continue at.
    """

    partition: int
    rows: Mapping[bytes, bytes | None]
    marker: Marker
    next_position: int
