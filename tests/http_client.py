"""A GET or POST as anybody would send it: plain http.client, one connection for each."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from email.message import Message
from types import MappingProxyType
from typing import NamedTuple


class Answer(NamedTuple):
    """Status 0: nobody answered."""

    status: int
    text: str = ""
    headers: Message = Message()


def get(port: int, path: str, token: str | None = None, *, seconds: float = 10) -> Answer:
    """GET from loopback; whatever goes wrong on the way is no answer."""
    return _ask("GET", port, path, token, seconds=seconds)


def post(
    port: int,
    path: str,
    body: str,
    token: str | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """POST to loopback; whatever goes wrong on the way is no answer."""
    return _ask("POST", port, path, token, body, headers)


def _ask(
    method: str,
    port: int,
    path: str,
    token: str | None,
    body: str | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    seconds: float = 10,
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request(method, path, body, headers={**headers, **authorization})
        found = connection.getresponse()
        return Answer(found.status, found.read().decode(), found.headers)
    except (OSError, http.client.HTTPException):
        return Answer(0)
    finally:
        connection.close()
