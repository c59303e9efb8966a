"""What can go wrong while the parts are put together and run.

Each class docstring is the default message and ends with what to do next; `exit_code` is what
the `energy` command ends with (CONTRACT: 1 failed, 2 wrong use, setting or missing part).

    DeployError
    +-- MissingPart      2  no Java, Java too old, no jars
    +-- PortInUse        2  somebody listens there already
    +-- DirectoryLocked  2  another broker runs on the data directory
    +-- BrokerFailed     1  the broker ended, or did not get ready in time
    +-- NotReadable      1  a topic could not be read to its end in time
    +-- Refused          3  what was found there must be looked at by a person
"""

from typing import ClassVar


class DeployError(Exception):
    """A part of the stack could not be started; see the message."""

    default_exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", exit_code: int | None = None) -> None:
        self.message = message or " ".join((type(self).__doc__ or "").split())
        self.exit_code = self.default_exit_code if exit_code is None else exit_code
        super().__init__(self.message)


class MissingPart(DeployError):
    """A program or file the local broker needs is missing; run `make run`, which fetches it."""

    default_exit_code = 2


class PortInUse(DeployError):
    """The port is taken; stop what listens there or set ENERGY_BROKER_PORT to a free one."""

    default_exit_code = 2


class DirectoryLocked(DeployError):
    """Another broker runs on this data directory; stop it, or set ENERGY_HOME to another."""

    default_exit_code = 2


class BrokerFailed(DeployError):
    """The local broker does not run; its last lines are in broker.log of its data directory."""


class NotReadable(DeployError):
    """A topic could not be read to its end in time; look at its leader, then run it again."""


class Refused(DeployError):
    """What was found does not fit together; a person must look at it before anything goes on."""

    default_exit_code = 3
