"""Which inflater reads a body: producer/files/compression.py has them, and what they guarantee.

Every member of a body is read: stopping after the first loses acknowledged rows. The caller is
asked between little input, whatever comes out of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from api.errors import BadRequest
from contract.errors import echo
from producer.errors import FileBroken
from producer.files.compression import Gzip, Members, Zstd


class Inflater(Protocol):
    """Turns received bytes into the bytes they stand for."""

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield what comes out, maybe nothing, in bounded pieces. Raises: BadRequest."""
        ...

    def finish(self) -> None:
        """Check that nothing is missing. Raises: BadRequest."""
        ...


class Identity:
    """No coding at all."""

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield it as it is."""
        yield received

    def finish(self) -> None:
        """Nothing can be missing."""


class Deflate(Gzip):
    """zlib's form, or the bare one that some clients send under the same name."""

    name = "deflate"

    def _window(self, first: bytes) -> int:
        is_zlib = first[0] & 0x0F == 8 and (len(first) < 2 or (first[0] << 8 | first[1]) % 31 == 0)
        return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


class _Coded:
    """A body of members."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def feed(self, received: bytes) -> Iterator[bytes]:
        try:
            yield from self._members.feed(received)
        except FileBroken as error:
            raise BadRequest(f"the body's {error}") from None

    def finish(self) -> None:
        try:
            self._members.finish()
        except FileBroken as error:
            raise BadRequest(f"the body's {error}") from None


_CODINGS: dict[str, Callable[[], Members]] = {
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": Deflate,
    "zstd": Zstd,
}


def inflater(content_encodings: list[str]) -> Inflater:
    """Return what reads a body with these Content-Encoding headers. Raises: BadRequest."""
    codings = [coding.strip().lower() for coding in content_encodings]
    if codings in ([], ["identity"]):
        return Identity()
    if len(codings) > 1 or codings[0] not in _CODINGS:
        raise BadRequest(
            f"header Content-Encoding: {echo(', '.join(content_encodings))} is none of "
            f"identity, {', '.join(_CODINGS)}"
        )
    return _Coded(_CODINGS[codings[0]]())
