"""What a login keeps in files, read again for each new connection: password, token, certificates.

So each may be replaced while a process runs. Whoever replaces a file moves the new one into its
place; of a certificate and a key that do not fit yet the ones before stay in use.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

log = logging.getLogger(__name__)

#: librdkafka asks for a token again after four fifths of its life: no later than so.
TOKEN_SECONDS = 30.0


class FilePassword(str):
    """A password as its file has it now; `again` reads it again."""

    path: Path

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a password, without a final LF."""
        password = cls(path.read_text(encoding="utf-8").rstrip("\r\n"))
        password.path = path
        return password

    def again(self) -> Self:
        """Read it again; a file that is away for a moment leaves what was read before."""
        try:
            return self.of(self.path)
        except OSError as error:
            log.warning("%s cannot be read, using its previous content: %s", self.path, error)
            return self


class TokenFile:
    """A bearer token, as both client libraries ask for it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """Return the token as the file has it now. Raises: OSError."""
        return self._path.read_text(encoding="utf-8").strip()

    async def token(self) -> str:
        """Return the token, for a connection of aiokafka."""
        return self.read()

    def __call__(self, _config: object) -> tuple[str, float]:
        """Return the token and when to ask again (Unix time), for a client of librdkafka."""
        token, soon = self.read(), time.time() + TOKEN_SECONDS
        return token, min(soon, _expires_at(token, soon))


def _expires_at(token: str, otherwise: float) -> float:
    """Read the time from a JSON Web Token; others do not tell."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return otherwise


def fingerprint(paths: Iterable[Path | None]) -> tuple[object, ...]:
    """Return what changes when one of the files is replaced."""
    return tuple(_of(path) for path in paths if path is not None)


def _of(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class ClientContext(ssl.SSLContext):
    """Verifies the broker, shows our certificate; takes its files again where they were replaced.

    Each connection is begun by a context that has the files alone: what one of OpenSSL's has once
    trusted, it trusts for good.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = None
    _current: ssl.SSLContext
    _seen: tuple[object, ...] = ()

    @classmethod
    def of(
        cls,
        ca_file: Path | None,
        cert_file: Path | None,
        key_file: Path | None,
        key_password: str | None,
    ) -> Self:
        """Return a context for clients. Raises: OSError, ssl.SSLError."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.ca_file, context.cert_file, context.key_file = ca_file, cert_file, key_file
        context.key_password = key_password
        context._seen = context._fingerprint()
        context._current = context._read()
        return context

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection, with the files as they are now."""
        now = self._fingerprint()
        if now != self._seen:
            try:
                self._current = self._read()
                self._seen = now
                log.info("certificates were read again")
            except OSError as error:
                log.warning(
                    "certificates cannot be used, continuing with the previous ones: %s", error
                )
        return self._current.wrap_bio(*arguments, **named)

    def _fingerprint(self) -> tuple[object, ...]:
        return fingerprint((self.ca_file, self.cert_file, self.key_file))

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca_file is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(self.ca_file)
        if self.cert_file is not None and self.key_file is not None:
            # A function: without one OpenSSL would ask the terminal.
            context.load_cert_chain(self.cert_file, self.key_file, lambda: self.key_password or "")
        return context
