"""`Content-Encoding`: how a body is inflated as it comes.

producer/files/compression.py inflates. Every member of a body is read: stopping after the first
loses acknowledged rows. The caller is asked between little input, whatever comes out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.errors import BadRequest
from contract.errors import echo
from producer.errors import FileBroken
from producer.files.compression import Deflate, Gzip, Members, Zstd

_CODINGS: dict[str, Callable[[], Members]] = {
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": Deflate,
    "zstd": Zstd,
}


class Inflater:
    """Turns received bytes into the bytes they stand for."""

    def __init__(self, content_encodings: list[str]) -> None:
        """Take the Content-Encoding headers of a body. Raises: BadRequest."""
        codings = [coding.strip().lower() for coding in content_encodings]
        self._members: Members | None = None
        if codings in ([], ["identity"]):
            return
        if len(codings) > 1 or codings[0] not in _CODINGS:
            raise BadRequest(
                f"header Content-Encoding: {echo(', '.join(content_encodings))} is not one of "
                f"identity, {', '.join(_CODINGS)}"
            )
        self._members = _CODINGS[codings[0]]()

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield what comes out, maybe nothing, in bounded pieces. Raises: BadRequest."""
        if self._members is None:
            yield received
            return
        with _bad_request():
            yield from self._members.feed(received)

    def finish(self) -> None:
        """Check that nothing is missing. Raises: BadRequest."""
        if self._members is not None:
            with _bad_request():
                self._members.finish()


@contextmanager
def _bad_request() -> Iterator[None]:
    try:
        yield
    except FileBroken as error:
        raise BadRequest(f"the body's {error}") from None
