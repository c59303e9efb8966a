"""What can go wrong in an operation on a running installation.

Each class docstring is the default message and ends with what to do next; `exit_code` is what
the `energy` command ends with (contract/exit_codes.py).

    OperationError
    +-- Refused          3  what was found there must be looked at by a person
"""

from typing import ClassVar

NO_LIVE_VERSION = "no view version is live yet; `energy topics create` creates the first"


class OperationError(Exception):
    """An operation could not be done; see the message."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class Refused(OperationError):
    """What was found does not fit together; a person must look at it before anything continues."""

    exit_code = 3
