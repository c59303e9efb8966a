"""What asking a cluster can run into; each with the exit code a command or worker ends with.

ClusterError
+-- NoBroker         1  no broker answered
+-- ClusterRefused   1  Kafka refused what was asked
+-- NotReadable      1  a topic could not be read to its end in time
"""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster did not do what was asked."""

    exit_code = 1


class NoBroker(ClusterError):
    """No broker answered; start one, or correct KAFKA_BOOTSTRAP_SERVERS."""


class ClusterRefused(ClusterError):
    """Kafka refused what was asked; its own words say what to change."""


class NotReadable(ClusterError):
    """A topic could not be read to its end in time; look at its leader, then run it again."""
