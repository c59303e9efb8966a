"""What asking a cluster can run into; each with the exit code a command or worker ends with.

ClusterError
+-- NoBroker         1  no broker answered
+-- ClusterRefused   1  Kafka refused what was asked
|   +-- NotAllowed   1  our user has no right to it
|   +-- ConfigRefused 1 a config of a topic that was to be made
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


class NotAllowed(ClusterRefused):
    """Our user lacks a right; grant it (deploy/kafka/acls.md) and start again."""


class ConfigRefused(ClusterRefused):
    """The cluster does not take a config of a new topic; `made` are the others that it made."""

    def __init__(self, message: str, made: frozenset[str]) -> None:
        super().__init__(message)
        self.made = made


class NotReadable(ClusterError):
    """A topic could not be read to its end in time; look at its leader, then run it again."""
