"""Bytes of the token file, in a form that builds older than bound tokens keep and refuse.

    {"v": 1, "tokens": [{"name": "...", "sha256": "...", "scopes": ["ADMIN"],
                         "created_at": "2025-04-30T10:11:21Z", "expires_at": null}]}

A token of devices or places has what binds it among its scopes, and each scope with a prefix:
`["BOUND:METRICS:READ", "DEVICE:heater", "LOCATION:Hall"]`. An older build knows none of these, so
such a token may do nothing there, where a field of its own would be passed over and the token be
free. If it writes the file, the texts stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from api.auth.bounds import Bounds

_BOUND, _DEVICE, _LOCATION = "BOUND:", "DEVICE:", "LOCATION:"


class _Stored(msgspec.Struct, frozen=True):
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None


class Token(_Stored, frozen=True):
    """A token without its secret; `expires_at` None: never; `bounds` None: all rows are its own."""

    bounds: Bounds | None = None

    def is_expired(self, now: float) -> bool:
        """Whether the token is past its day; `now` in seconds since 1970."""
        return self.expires_at is not None and self.expires_at.timestamp() <= now


class _File(msgspec.Struct, frozen=True):
    tokens: tuple[_Stored, ...] = ()
    v: Literal[1] = 1


def encode_tokens(tokens: Iterable[Token]) -> bytes:
    """Write the file's content."""
    stored = tuple(
        _Stored(each.name, each.sha256, _texts(each), each.created_at, each.expires_at)
        for each in tokens
    )
    return msgspec.json.format(msgspec.json.encode(_File(stored)), indent=1) + b"\n"


def decode_tokens(content: bytes) -> tuple[Token, ...]:
    """Read the file's content, of any build. Raises: msgspec.DecodeError."""
    return tuple(map(_token, msgspec.json.decode(content, type=_File).tokens))


def _texts(token: Token) -> tuple[str, ...]:
    bounds = token.bounds
    if bounds is None:
        return token.scopes
    return (
        *(_BOUND + scope for scope in token.scopes),
        *(_DEVICE + device for device in sorted(bounds.devices or ())),
        *(_LOCATION + location for location in sorted(bounds.locations or ())),
    )


def _token(stored: _Stored) -> Token:
    texts = stored.scopes
    scopes = tuple(text.removeprefix(_BOUND) for text in texts if not _binds(text))
    devices, locations = _after(_DEVICE, texts), _after(_LOCATION, texts)
    bounds = None
    if devices or locations:
        bounds = Bounds(devices or None, locations or None)
    elif any(text.startswith(_BOUND) for text in texts):
        # Bound to nothing: somebody has taken out what it was bound to.
        bounds = Bounds(frozenset(), frozenset())
    return Token(stored.name, stored.sha256, scopes, stored.created_at, stored.expires_at, bounds)


def _binds(text: str) -> bool:
    return text.startswith((_DEVICE, _LOCATION))


def _after(prefix: str, texts: Sequence[str]) -> frozenset[str]:
    return frozenset(text.removeprefix(prefix) for text in texts if text.startswith(prefix))
