"""The port of the server: taken by one process, or by several together."""

from __future__ import annotations

import socket

from api.errors import StartRefused
from api.settings import ApiSettings


def bind(settings: ApiSettings) -> socket.socket:
    """Take the port for this process alone. Raises: StartRefused, exit code 2."""
    return _bound(settings, is_shared=False)


def bind_together(settings: ApiSettings) -> socket.socket:
    """Take the port for the processes of one server. Raises: StartRefused, exit code 2.

    The kernel shares connections out among those that listen; who holds it without listening
    gets none. Another server on it is refused first, as `bind` does.
    """
    _bound(settings, is_shared=False).close()
    return _bound(settings, is_shared=True)


def join(settings: ApiSettings) -> socket.socket:
    """Take part in a port that the parent holds. Raises: StartRefused, exit code 2."""
    return _bound(settings, is_shared=True)


def _bound(settings: ApiSettings, *, is_shared: bool) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise StartRefused(
            f"cannot listen on API_HOST {settings.host}, API_PORT {settings.port}: "
            f"{error.strerror}",
            exit_code=2,
        ) from None
    return listener
