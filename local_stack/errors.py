"""What can go wrong while the parts of a stack on this machine are started and run.

OperationError
+-- MissingPart      2  no Java, Java too old, no jars
+-- PortInUse        2  somebody listens there already
+-- DirectoryLocked  2  another broker runs on the data directory
+-- BrokerFailed     1  the broker ended, or did not get ready in time
"""

from __future__ import annotations

from operations.errors import OperationError


class MissingPart(OperationError):
    """A program or file the local broker needs is missing; run `make run`, which fetches it."""

    exit_code = 2


class PortInUse(OperationError):
    """The port is taken; stop what listens there or set ENERGY_BROKER_PORT to a free one."""

    exit_code = 2


class DirectoryLocked(OperationError):
    """Another broker runs on this data directory; stop it, or set ENERGY_HOME to another."""

    exit_code = 2


class BrokerFailed(OperationError):
    """The local broker does not run; its last lines are in broker.log of its data directory."""
