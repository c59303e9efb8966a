"""What can go wrong in an operation on a running installation.

Each class docstring is the default message and ends with what to do next; `exit_code` is what
the `energy` command ends with (CONTRACT: 1 failed, 2 wrong use, setting or missing part).

    OperationError
    +-- Refused          3  what was found there must be looked at by a person
"""

from typing import ClassVar


class OperationError(Exception):
    """An operation could not be done; see the message."""

    default_exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", exit_code: int | None = None) -> None:
        self.message = message or " ".join((type(self).__doc__ or "").split())
        self.exit_code = self.default_exit_code if exit_code is None else exit_code
        super().__init__(self.message)


class Refused(OperationError):
    """What was found does not fit together; a person must look at it before anything goes on."""

    default_exit_code = 3
