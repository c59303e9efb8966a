"""The series of one view version, in its copy on disk."""

from __future__ import annotations

import time

from api.view.copied_view import CopiedView
from api.view.copy.kept_copy import KeptCopy
from api.view.series_copy.snapshot import SeriesSnapshot
from contract.energy_series import ENERGY_SERIES

#: Half of Kafka's delete.retention.ms: so long a changelog says which rows were removed. A copy
#: that was not at its end for longer may have missed some.
REMOVALS_SECONDS = 12 * 3600.0
#: Two clocks of one machine, before and after a restart.
SKEW_SECONDS = 60.0


class SeriesView(CopiedView[SeriesSnapshot]):
    """The view energy_series."""

    removes = True

    def __init__(self, view_version: int, partitions: int, copy: KeptCopy[SeriesSnapshot]) -> None:
        """Begin with nothing shown; `resume` takes up what the copy holds."""
        super().__init__(ENERGY_SERIES, view_version, partitions, copy)

    def removed_rows(self) -> list[int]:
        """Return how many rows retention has removed of each partition, also at one offset."""
        markers = [partition.marker for partition in self.partitions]
        return [marker.rolled_up.rows if marker.rolled_up else 0 for marker in markers]

    def saw_end(self) -> None:
        """Take in that all of the changelog up to now is read."""
        self.copy.note_read_up_to_now()

    def may_lack_removals(self) -> bool:
        """Whether the changelog may have forgotten rows that were removed since it was read."""
        age = time.time() - self.copy.read_up_to()
        return not -SKEW_SECONDS <= age <= REMOVALS_SECONDS
