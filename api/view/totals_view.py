"""The totals of one view version, in their copy on disk."""

from __future__ import annotations

from collections.abc import Sequence

from api.errors import Unavailable
from api.view.changed_keys import ChangedKeys
from api.view.copied_view import CopiedView
from api.view.copy.commit import Commit
from api.view.copy.kept_copy import KeptCopy
from api.view.device_totals import Total
from api.view.stored_total import exact_total
from api.view.totals_copy.snapshot import TotalsSnapshot
from contract.device_totals import DEVICE_TOTALS


class TotalsView(CopiedView[TotalsSnapshot]):
    """The view device_totals."""

    def __init__(self, view_version: int, partitions: int, copy: KeptCopy[TotalsSnapshot]) -> None:
        """Begin with nothing shown; `resume` takes up what the copy holds."""
        super().__init__(DEVICE_TOTALS, view_version, partitions, copy)
        #: Kept while somebody follows what changes.
        self.changed: ChangedKeys | None = None

    @property
    def devices(self) -> int:
        """How many devices its copy has, also while it is loaded."""
        try:
            with self.copy.snapshot(lambda: None) as totals:
                return totals.devices
        except Unavailable:
            return 0

    def total(self, device_id: str) -> tuple[Total | None, list[int]]:
        """Return the total of a device, None if it is unknown, and the offsets that it is of.

        Raises: Unavailable.
        """
        device = device_id.encode()
        with self.snapshot() as totals:
            stored, offsets = totals.get(device), self._showing(totals.applied_offsets)
        return None if stored is None else exact_total(device, stored), offsets

    def _written(self, commits: Sequence[Commit]) -> None:
        if self.changed is not None:
            for commit in commits:
                self.changed.note(commit.rows)
