"""Who may use a route: the token of a request, and the scopes it needs."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from api.auth.scopes import granting
from api.auth.token_store import Token, TokenStore
from api.errors import ApiError, BadRequest, Forbidden
from api.http.parameters import parse_query

_WHOLE = "the token is limited to some devices or places, and this request is about other rows too"
_NO_TOKEN = "no valid token: send `Authorization: Bearer TOKEN`, or ?token=TOKEN"


def require(
    store: TokenStore,
    headers: Iterable[tuple[bytes, bytes]],
    token_parameters: list[str] | None,
    needed: Iterable[str] = (),
    *,
    within_bounds: bool = False,
) -> Token:
    """Let a request pass that has a token with all of these scopes; returns the token.

    `within_bounds`: the route keeps to the token's bounds; another one is closed to a token that
    has any. Raises: what `admit` raises, and Forbidden for a token that may not do it.
    """
    token = admit(store, headers, token_parameters)
    for scope in needed:
        if granting(scope).isdisjoint(token.scopes):
            one_of = ", ".join(sorted(granting(scope)))
            raise Forbidden(f"the token has none of the scopes {one_of}")
    if token.bounds is not None and not within_bounds:
        raise Forbidden(_WHOLE)
    return token


def admit(
    store: TokenStore,
    headers: Iterable[tuple[bytes, bytes]],
    token_parameters: list[str] | None,
) -> Token:
    """Let a request pass that has a valid token, whatever its scopes; returns the token.

    A header counts more than a parameter. Raises: BadRequest for two of the same kind,
    Forbidden with the same text for whatever is wrong with the token.
    """
    token = store.find(_secret(headers, token_parameters))
    if token is None:
        raise Forbidden(_NO_TOKEN)
    return token


def token_of(store: TokenStore, scope: MutableMapping[str, Any]) -> Token | None:
    """Return the token a request names, None if it has no valid one."""
    try:
        parameters = parse_query(scope["query_string"]).get("token")
        return store.find(_secret(scope["headers"], parameters))
    except ApiError:
        return None


def _secret(headers: Iterable[tuple[bytes, bytes]], parameters: list[str] | None) -> str:
    authorizations = [value for name, value in headers if name == b"authorization"]
    if len(authorizations) > 1:
        raise BadRequest("header Authorization: given more than once")
    if authorizations:
        words = authorizations[0].split()
        if len(words) != 2 or words[0].lower() != b"bearer":
            raise Forbidden(_NO_TOKEN)
        return words[1].decode("utf-8", "surrogateescape")
    if parameters is None:
        raise Forbidden(_NO_TOKEN)
    if len(parameters) > 1:
        raise BadRequest("parameter token: given more than once")
    return parameters[0]
