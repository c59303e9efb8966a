"""What a partition's processor counts of its commits."""

from __future__ import annotations

import time

from contract.hour_rows import SECONDS_OF_AN_HOUR
from stream_app import metrics
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.pending import Pending, Transaction


class ProcessorMetrics:
    """The metrics of one partition of a view."""

    def __init__(self, fold: PartitionFold) -> None:
        view, partition = fold.view, fold.partition
        self._odd_times = metrics.ODD_TIMES.labels(str(partition))
        self._quarantined = metrics.RECORDS_QUARANTINED.labels(str(partition))
        self._folded = metrics.READINGS_FOLDED.of(view, partition)
        self._transactions = metrics.TRANSACTIONS.of(view, partition)
        self._applied = metrics.APPLIED_OFFSET.of(view, partition)
        self.ages = metrics.PUBLISH_TO_COMMIT.of(view, partition)
        #: Of each commit, from its begin.
        self.seconds = metrics.TRANSACTION_SECONDS.of(view)
        self._applied.set(fold.marker.applied_offset)
        labels = view.name, str(partition)
        self._rolled_up = self._cutoff = None
        if fold.roll_up is not None:
            self._rolled_up = metrics.VIEW_ROWS_ROLLED_UP.labels(*labels)
            self._cutoff = metrics.VIEW_CUTOFF_SECONDS.labels(*labels)
            self._cutoff.set(fold.marker.cutoff * SECONDS_OF_AN_HOUR)

    def committed(self, transaction: Transaction, taken: Pending) -> None:
        """Count a commit."""
        marker = transaction.marker
        self._transactions.inc()
        self._folded.inc(taken.counted)
        self.ages.add_since(taken.ages, time.time())
        if taken.odd_times:
            self._odd_times.inc(taken.odd_times)
        if transaction.quarantined:
            self._quarantined.inc(len(transaction.quarantined))
        self._applied.set(marker.applied_offset)
        if self._rolled_up is not None and self._cutoff is not None:
            self._rolled_up.inc(sum(value is None for _, value in transaction.updates))
            self._cutoff.set(marker.cutoff * SECONDS_OF_AN_HOUR)
