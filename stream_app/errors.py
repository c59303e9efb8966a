"""Errors of the worker, each with the exit code it ends with; beside them kafka_io/errors.py.

WorkerError
+-- DirectoryInUse      2   another worker has the state directory
+-- Refusal             3   what was found needs a person
|   +-- Suspicion           what one answer says: asked again before it is believed
|   +-- PartitionRefusal    of one partition: it is set aside, the others continue
+-- RestartNeeded      75   fenced, outcome unknown, view switched: a restart is safe
+-- ViewDropped         0   the view version it was pinned to is no longer wanted
"""

from __future__ import annotations

from typing import Literal

#: Why a partition is set aside: the label of a metric.
Reason = Literal[
    "changelog", "log_replaced", "readings_removed", "readings_damaged", "too_large", "quarantine"
]
#: Kafka may take these without a person, so nobody ends for them; damage may pass with a replica.
WAITS_FOR_KAFKA = frozenset({"too_large", "quarantine"})
TRIED_AGAIN = WAITS_FOR_KAFKA | {"readings_damaged"}


class WorkerError(Exception):
    """The worker has to end."""

    exit_code = 1


class DirectoryInUse(WorkerError):
    """Another worker has this state directory; give each its own STREAM_APP_DATADIR."""

    exit_code = 2


class Refusal(WorkerError):
    """What was found cannot be worked on without losing or doubling readings."""

    exit_code = 3


class Suspicion(Refusal):
    """Something is missing or wrong, as far as one answer says; see certainty.py."""


class PartitionRefusal(Refusal):
    """One partition cannot be worked on; it is set aside, and the others continue."""

    def __init__(self, partition: int, reason: Reason, what: str) -> None:
        super().__init__(f"partition {partition}: {what}")
        self.partition, self.reason, self.what = partition, reason, what


class RestartNeeded(WorkerError):
    """Going on is not safe, starting again is."""

    exit_code = 75


class ViewDropped(WorkerError):
    """The view version this worker was pinned to has been dropped: its work is done."""

    exit_code = 0
