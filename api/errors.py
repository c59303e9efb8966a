"""What an HTTP request can run into, and the status of each answer.

ApiError                  has a text for the client and extra headers
+-- BadRequest            what was sent cannot be understood
|   +-- BrokenOff         a file cannot be read to its end, rows before are written (RowsWritten)
+-- Forbidden             no token, a bad one, or one without the scope
+-- NotFound
|   +-- NoSeries          the view version served has totals only
+-- MethodNotAllowed
+-- RequestTimeout        head or body do not come
+-- BodyTooLarge
+-- KeyReused             an Idempotency-Key with another body
+-- TooLongTarget         path or query
+-- TooManyHeaders
+-- TooManyRequests       the token has used up its rate
+-- Unavailable           try again later: nothing was done
|   +-- ViewNotRunning    totals are being loaded
|   +-- Busy              too much is in flight
|   +-- SpoolUnusable     the disk for bodies is full, or cannot be written
|   +-- NotWritten        Kafka did not take a single row
+-- PartlyWritten         some rows are in the log, or may be (RowsWritten)
StartRefused              the process cannot start; one line says why
ClientGone                the client cut off; nobody is there to answer
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """The request failed; read the text and correct it."""

    #: Of the answer; a class without one has its parent's.
    status: int
    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, text: str) -> None:
        """Keep the text for the client; hostile names in it are already escaped."""
        super().__init__(text)
        self.text = text

    def details(self) -> dict[str, Any]:
        """Further fields of the error body."""
        return {}


class BadRequest(ApiError):
    """The request cannot be understood; the text names what and where."""

    status = 400


class Forbidden(ApiError):
    """The token is missing, unknown, expired or has no scope for this; use another one."""

    status = 403


class NotFound(ApiError):
    """There is nothing under this name."""

    status = 404


class NoSeries(NotFound):
    """The view version has totals only; a replay builds one that has a series too."""

    def __init__(self, view_version: int) -> None:
        super().__init__(
            f"view version {view_version} has totals only, no series by place and time;"
            " `energy replay start --series on` builds a version with a series"
        )


class MethodNotAllowed(ApiError):
    """No route has this method; the header Allow says which there are."""

    status = 405
    headers = (("Allow", "GET, HEAD, POST, OPTIONS"),)


class RequestTimeout(ApiError):
    """Head or body did not come in time; nothing was written, send it again."""

    status = 408


class BodyTooLarge(ApiError):
    """The body is over the limit; nothing was written, send it in parts."""

    status = 413


class KeyReused(ApiError):
    """The key was used with another body within a day; use a new key for a new body."""

    status = 422


class TooLongTarget(ApiError):
    """Path or query are over the limit; ask for less at once."""

    status = 414


class TooManyHeaders(ApiError):
    """The headers are over the limit."""

    status = 431


class TooManyRequests(ApiError):
    """The token has used up its rate; go on after the seconds in Retry-After."""

    status = 429

    def __init__(self, text: str, headers: tuple[tuple[str, str], ...]) -> None:
        super().__init__(text)
        self.headers = headers


class Unavailable(ApiError):
    """Not now; nothing was done, try again after the seconds in Retry-After."""

    status = 503
    headers = (("Retry-After", "1"),)


class ViewNotRunning(Unavailable):
    """Totals are being loaded; try again after the seconds in Retry-After."""


class Busy(Unavailable):
    """Too much is in flight; try again after the seconds in Retry-After."""


class SpoolUnusable(Unavailable):
    """A body could not be kept: the disk is full; nothing was written, try again later."""

    headers = (("Retry-After", "5"),)


class NotWritten(Unavailable):
    """Kafka took no row of the body; send it again after the seconds in Retry-After."""

    headers = (("Retry-After", "2"),)


class RowsWritten(Exception):
    """Some rows are in the log, or may be: what an ApiError of that kind counts in its body."""

    def __init__(
        self, text: str, *, successful_rows: int, quarantined_rows: int, unknown_rows: int
    ) -> None:
        super().__init__(text)
        self.successful_rows = successful_rows
        self.quarantined_rows = quarantined_rows
        self.unknown_rows = unknown_rows

    def details(self) -> dict[str, Any]:
        """The row counts of the error body."""
        return {
            "successful_rows": self.successful_rows,
            "quarantined_rows": self.quarantined_rows,
            "unknown_rows": self.unknown_rows,
        }


class PartlyWritten(RowsWritten, ApiError):
    """Some rows are in the log or may be; sending the body again counts those twice."""

    status = 504


class BrokenOff(RowsWritten, BadRequest):
    """A file cannot be read to its end; sending it again counts the rows before that twice."""


class StartRefused(Exception):
    """The server cannot start with what it found; the text says what to do.

    `exit_code` is 1 for what may pass (no broker), 2 for wrong use (a port in use), 3 where a
    person must act first.
    """

    def __init__(self, text: str, *, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class ClientGone(Exception):
    """The client cut the connection before its request was complete."""


def echo_all(text: str) -> str:
    """Escape what a file's content brought into an error."""
    return text.encode("ascii", "backslashreplace").decode()
