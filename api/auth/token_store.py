"""Tokens: who may do what. Stored as SHA-256, never as they are.

Reads and writes `$ENERGY_HOME/tokens.json`, or API_TOKENS_FILE (0600; replaced whole, so a reader
never sees half of it; its bytes: token_file.py) and `$ENERGY_HOME/admin_token`. A file that was
changed is read again at the next request.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from api.auth.bounds import MOST, Bounds
from api.auth.scopes import ADMIN, SCOPES
from api.auth.token_file import Token, decode_tokens, encode_tokens
from contract.errors import echo
from contract.settings import TOKENS_NAME
from contract.validation import device_id_fault, location_fault

__all__ = [
    "ADMIN_TOKEN_NAME",
    "Token",
    "TokenError",
    "TokenStore",
    "ensure_admin_token",
    "replace_private",
]

log = logging.getLogger("api.auth.token_store")

ADMIN_TOKEN_NAME = "admin_token"
#: No secret of ours is longer; what is longer is not even hashed.
SECRET_CHARACTERS = 512
_PREFIX = "et_"


class TokenError(Exception):
    """The token cannot be made or revoked; the text says why."""


class TokenStore:
    """The tokens in one file; any number of processes may read and write it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Store the path; a missing file is a store without tokens."""
        self._path = path
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._trouble: str | None = None
        self._by_digest: dict[bytes, Token] = {}

    # For the server

    def find(self, secret: str) -> Token | None:
        """Return the token of a secret, None if it is unknown or expired.

        A look-up by digest, however many tokens there are. What its time could tell is how
        SHA-256 of a guess begins, which helps nobody to guess 256 random bits.
        """
        self._refresh()
        if len(secret) > SECRET_CHARACTERS:
            return None
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        found = self._by_digest.get(digest)
        return None if found is None or found.is_expired(self._clock()) else found

    def is_valid(self, token: Token) -> bool:
        """Whether a token found before is still what it was: not revoked, expired or changed."""
        self._refresh()
        is_there = self._by_digest.get(bytes.fromhex(token.sha256)) == token
        return is_there and not token.is_expired(self._clock())

    def _refresh(self) -> None:
        """Read the file if it is another one than last time; a broken one changes nothing."""
        seen = None
        try:
            status = os.stat(self._path)
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen == self._seen and self._trouble is None:
                return
            tokens = self._read()
        except FileNotFoundError:
            tokens = ()
        except (OSError, TokenError) as error:
            if str(error) != self._trouble:
                log.error("%s; the tokens that were read last stay valid", error)
            self._trouble = str(error)
            return
        self._seen, self._trouble = seen, None
        self._by_digest = {bytes.fromhex(token.sha256): token for token in tokens}

    def _read(self) -> tuple[Token, ...]:
        content = self._path.read_bytes()
        try:
            tokens = decode_tokens(content)
            for token in tokens:
                if len(bytes.fromhex(token.sha256)) != hashlib.sha256().digest_size:
                    raise ValueError("a digest has the wrong length")
        except (msgspec.DecodeError, ValueError) as error:
            raise TokenError(f"{self._path} is not a token file: {error}") from None
        return tokens

    # For the command line

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        expires_in_days: float | None = None,
        bounds: Bounds | None = None,
    ) -> str:
        """Make a token and return its secret, which is stored nowhere.

        Raises: TokenError for a name in use, an unknown scope, a day in the past, or bounds that
        no reading can have.
        """
        if not name or len(name) > 100 or not name.isprintable():
            raise TokenError("a token's name has 1 to 100 printable characters")
        if not scopes:
            raise TokenError(f"a token needs a scope: {', '.join(SCOPES)}")
        for scope in scopes:
            if scope not in SCOPES:
                raise TokenError(f"unknown scope {echo(scope)}; the scopes are {', '.join(SCOPES)}")
        if expires_in_days is not None and not 0 < expires_in_days <= 36_500:
            raise TokenError("a token can expire in more than 0 and at most 36500 days")
        if bounds is not None:
            _check_bounds(bounds)
        secret = _PREFIX + secrets.token_urlsafe(32)
        now = datetime.fromtimestamp(self._clock(), UTC)
        token = Token(
            name,
            hashlib.sha256(secret.encode()).hexdigest(),
            tuple(dict.fromkeys(scopes)),
            now,
            None if expires_in_days is None else now + timedelta(days=expires_in_days),
            bounds,
        )
        with self._locked():
            tokens = self.list()
            if any(each.name == name for each in tokens):
                raise TokenError(f"a token {echo(name)} exists already; revoke it first")
            self._write((*tokens, token))
        return secret

    def list(self) -> tuple[Token, ...]:
        """Return all tokens, the expired ones too. Raises: TokenError for a broken file."""
        try:
            return self._read()
        except FileNotFoundError:
            return ()

    def revoke(self, name: str) -> None:
        """Make a token invalid at once. Raises: TokenError if there is none of this name."""
        with self._locked():
            tokens = self.list()
            left = tuple(each for each in tokens if each.name != name)
            if len(left) == len(tokens):
                raise TokenError(f"there is no token {echo(name)}")
            self._write(left)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self._path.with_suffix(".lock"), "w", opener=_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, tokens: Sequence[Token]) -> None:
        replace_private(self._path, encode_tokens(tokens))


def _check_bounds(bounds: Bounds) -> None:
    """Raises: TokenError for what no reading can have, for too much and for nothing."""
    if bounds == Bounds():
        raise TokenError("a bound token has devices or locations")
    named = (
        ("device", bounds.devices, device_id_fault),
        ("location", bounds.locations, location_fault),
    )
    for kind, texts, fault_of in named:
        if texts is not None and not 0 < len(texts) <= MOST:
            raise TokenError(f"a bound token has 1 to {MOST} {kind}s")
        for text in texts or ():
            if fault := fault_of(text):
                raise TokenError(f"{kind} {echo(text)}: {fault}")


def ensure_admin_token(home: Path, tokens: Path | None = None) -> str:
    """Return the secret of the admin token in `home`, made now if there is no valid one.

    Writes `admin_token` (0600). A revoked one is replaced by another secret, never revived.
    """
    store, path = TokenStore(tokens or home / TOKENS_NAME), home / ADMIN_TOKEN_NAME
    if path.exists():
        secret = path.read_text(encoding="utf-8").strip()
        token = store.find(secret)
        if token is not None and ADMIN in token.scopes and token.bounds is None:
            return secret
    names = {token.name for token in store.list()}
    name = next(
        f"admin{number}" for number in ("", *range(2, 10_000)) if f"admin{number}" not in names
    )
    secret = store.create(name, [ADMIN])
    replace_private(path, secret.encode() + b"\n")
    return secret


def replace_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb", opener=_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
