"""The error tree of the contract; each class says what to do next.

ContractError
+-- InvalidReading    a value that is no reading: quarantine it
|   +-- NotPermitted      a reading that its sender may not write: quarantine it too
+-- CorruptRecord     bytes in one of our own topics that we did not write: exit code 3
|   +-- DoesNotFollow     a commit by a writer that had lost its partition
+-- SettingError      a setting that is missing or out of range: exit code 2
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

#: An echo of hostile input in a message is cut to this many characters.
ECHO_CHARACTERS = 64


class Fault(NamedTuple):
    """One reason why a value is no reading.

    Shape: `column` is one of the four fields, or "" for the value as a whole.
    """

    column: str
    reason: str


class ContractError(Exception):
    """Something does not keep the contract."""

    exit_code: ClassVar[int] = 1


class InvalidReading(ContractError):
    """The value is no reading; quarantine it with its faults.

    `received` maps each of the four columns to its text as received, None where it is absent.
    """

    def __init__(self, faults: tuple[Fault, ...], received: dict[str, str | None]) -> None:
        super().__init__(faults, received)
        self.faults = faults
        self.received = received

    def __str__(self) -> str:
        # Written only when it is read: in a flood of bad records nobody does.
        return "; ".join(f"{fault.column or 'value'}: {fault.reason}" for fault in self.faults)


class NotPermitted(InvalidReading):
    """The value is a reading, of another device or place than its sender may write for."""


class CorruptRecord(ContractError):
    """A record in one of our own topics has bytes we did not write; do not go on from it."""

    exit_code = 3


class DoesNotFollow(CorruptRecord):
    """A commit does not continue from the one before it; build a new view version."""


class SettingError(ContractError):
    """A setting is missing or out of range; correct the variable and start again."""

    exit_code = 2

    def __init__(self, name: str, problem: str, *, value: str | None = None) -> None:
        """Name the variable, what is wrong and, unless it is a secret, its value."""
        shown = "" if value is None else f" (it is {echo(value)})"
        super().__init__(f"{name}: {problem}{shown}")
        self.name = name
        self.problem = problem


def echo(text: str) -> str:
    """Escape and cut hostile text so that it can stand in a message or a log line."""
    cut = text if len(text) <= ECHO_CHARACTERS else text[:ECHO_CHARACTERS] + "..."
    return ascii(cut)


def text_of(error: BaseException) -> str:
    """Return what an error says; where it says nothing, what it is."""
    return str(error) or type(error).__name__
