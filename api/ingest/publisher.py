"""What the server asks of a producer: deliver the rows of one body, and say how each ended.

kafka_publisher.py does it over Kafka; tests have a double. Nothing is sent after `finish`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from api.errors import ApiError, NotWritten, PartlyWritten


class Outcome(NamedTuple):
    """How the rows of one body ended; rows in none of the counts are certainly not in a log."""

    successful_rows: int
    quarantined_rows: int
    unknown_rows: int
    #: Partition of the readings topic -> largest offset acknowledged there; None: unknown.
    offsets: Mapping[int, int] | None

    @property
    def is_written(self) -> bool:
        """Whether any row is in the log, or may be."""
        return bool(self.successful_rows or self.quarantined_rows or self.unknown_rows)

    @property
    def counts(self) -> dict[str, int]:
        """The rows of the answer."""
        return {
            "successful_rows": self.successful_rows,
            "quarantined_rows": self.quarantined_rows,
        }

    def check(
        self, rows: int, failure: BaseException | None = None, *, is_all: bool = True
    ) -> None:
        """Refuse to call so many rows written unless all of them are acknowledged.

        `failure` is what broke the body off. With no row in a log it is raised as it is. `is_all`
        says that there are no more rows.
        Raises: NotWritten, PartlyWritten.
        """
        acknowledged = self.successful_rows + self.quarantined_rows
        if failure is None and is_all and acknowledged == rows:
            return
        is_stopping = isinstance(failure, asyncio.CancelledError)
        if not self.is_written:
            if failure is not None and not is_stopping:
                raise failure
            reason = "the server is stopping" if is_stopping else "Kafka does not answer"
            raise NotWritten(f"{reason}; nothing was written, try again") from None
        if isinstance(failure, ApiError):
            reason = failure.text
        elif is_stopping:
            reason = "the server is stopping"
        else:
            reason = "an unexpected error occurred" if failure else "Kafka stopped answering"
        at_least = "" if is_all else "at least "
        raise PartlyWritten(
            f"{reason}: of {at_least}{rows} rows {acknowledged} are acknowledged, "
            f"{self.unknown_rows} may or may not be in the log, the others are not",
            successful_rows=self.successful_rows,
            quarantined_rows=self.quarantined_rows,
            unknown_rows=self.unknown_rows,
        ) from None


class Delivery(Protocol):
    """The rows of one body on their way."""

    async def readings(self, keys: Sequence[bytes], values: Sequence[bytes]) -> bool:
        """Send readings; waits while too many are under way.

        Returns: False once a row has failed; what comes after it is not worth sending.
        """

    async def quarantined(self, records: Sequence[bytes]) -> bool:
        """Send records of the quarantine topic; like `readings`."""

    async def finish(self) -> Outcome:
        """Wait for all acknowledgements, at most the delivery timeout; then recall the rest."""


class Publisher(Protocol):
    """A producer that lives as long as the server."""

    @property
    def problem(self) -> str | None:
        """Why no row can be sent, None where nothing is known against it."""

    def delivery(self) -> Delivery:
        """Begin the rows of one body."""

    async def connected(self) -> None:
        """Wait a moment for a broker. Raises: NotWritten when none answers."""

    async def close(self, deadline_seconds: float) -> None:
        """Wait for what is under way, at most so long, and release the connection."""
