"""Tokens: who may do what. Stored as SHA-256, never as they are.

Reads and writes `$ENERGY_HOME/tokens.json`, or API_TOKENS_FILE (0600; replaced whole, so a reader
never sees half of it) and `$ENERGY_HOME/admin_token`. A file that was changed is read again at the
next request.

    {"v": 1, "tokens": [{"name": "...", "sha256": "...", "scopes": ["ADMIN"],
                         "created_at": "2025-04-30T10:11:21Z", "expires_at": null}]}
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
from typing import Literal

import msgspec

from api.auth.scopes import ADMIN, SCOPES
from contract.errors import echo
from contract.settings import TOKENS_NAME

log = logging.getLogger("api.auth.token_store")

ADMIN_TOKEN_NAME = "admin_token"
#: No secret of ours is longer; what is longer is not even hashed.
SECRET_CHARACTERS = 512
_PREFIX = "et_"


class TokenError(Exception):
    """The token cannot be made or revoked; the text says why."""


class Token(msgspec.Struct, frozen=True):
    """A token as it is stored; `expires_at` None: never."""

    name: str
    sha256: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None

    def is_expired(self, now: float) -> bool:
        """Whether the token is past its day; `now` in seconds since 1970."""
        return self.expires_at is not None and self.expires_at.timestamp() <= now


class _Stored(msgspec.Struct, frozen=True):
    tokens: tuple[Token, ...] = ()
    v: Literal[1] = 1


class TokenStore:
    """The tokens in one file; any number of processes may read and write it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Only keep the path; a missing file is a store without tokens."""
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
                log.error("%s; the tokens read last stay in force", error)
            self._trouble = str(error)
            return
        self._seen, self._trouble = seen, None
        self._by_digest = {bytes.fromhex(token.sha256): token for token in tokens}

    def _read(self) -> tuple[Token, ...]:
        content = self._path.read_bytes()
        try:
            tokens = msgspec.json.decode(content, type=_Stored).tokens
            for token in tokens:
                if len(bytes.fromhex(token.sha256)) != hashlib.sha256().digest_size:
                    raise ValueError("a digest has the wrong length")
        except (msgspec.DecodeError, ValueError) as error:
            raise TokenError(f"{self._path} is no token file: {error}") from None
        return tokens

    # For the command line

    def create(self, name: str, scopes: Sequence[str], expires_in_days: float | None = None) -> str:
        """Make a token and return its secret, which is stored nowhere.

        Raises: TokenError for a name in use, an unknown scope or a day in the past.
        """
        if not name or len(name) > 100 or not name.isprintable():
            raise TokenError("a token's name has 1 to 100 printable characters")
        if not scopes:
            raise TokenError(f"a token needs a scope: {', '.join(SCOPES)}")
        for scope in scopes:
            if scope not in SCOPES:
                raise TokenError(f"no scope {echo(scope)}; there are {', '.join(SCOPES)}")
        if expires_in_days is not None and not 0 < expires_in_days <= 36_500:
            raise TokenError("a token expires in more than 0 and at most 36500 days")
        secret = _PREFIX + secrets.token_urlsafe(32)
        now = datetime.fromtimestamp(self._clock(), UTC)
        token = Token(
            name,
            hashlib.sha256(secret.encode()).hexdigest(),
            tuple(dict.fromkeys(scopes)),
            now,
            None if expires_in_days is None else now + timedelta(days=expires_in_days),
        )
        with self._locked():
            tokens = self.list()
            if any(each.name == name for each in tokens):
                raise TokenError(f"there is a token {echo(name)} already; revoke it first")
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
        stored = msgspec.json.format(msgspec.json.encode(_Stored(tuple(tokens))), indent=1)
        replace_private(self._path, stored + b"\n")


def ensure_admin_token(home: Path, tokens: Path | None = None) -> str:
    """Return the secret of the admin token in `home`, made now if there is no valid one.

    Writes `admin_token` (0600). A revoked one is replaced by another secret, never revived.
    """
    store, path = TokenStore(tokens or home / TOKENS_NAME), home / ADMIN_TOKEN_NAME
    if path.exists():
        secret = path.read_text(encoding="utf-8").strip()
        token = store.find(secret)
        if token is not None and ADMIN in token.scopes:
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
