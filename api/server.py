"""uvicorn, told how we want it: parser, limits, and how it ends.

What uvicorn has no limit for is left to a protocol class of our own later: a head that trickles
in (no timeout), the size of a head (httptools takes any; a request over our bounds is refused
only once it is read), and the number of connections.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.errors import StartRefused
from api.services import Services
from api.settings import ApiSettings

EXIT_INTERRUPTED = 130
#: Requests under way may go on for so long after a signal.
GRACE_SECONDS = 6
#: The contract gives a stop 10 s; a restart is safe at every point.
STOP_SECONDS = 9.0
KEEP_ALIVE_SECONDS = 10
BACKLOG = 2_048


def bind(settings: ApiSettings) -> socket.socket:
    """Take the port. Raises: StartRefused, exit code 2."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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


class ApiServer(uvicorn.Server):
    """uvicorn's server; a signal ends it in order, and is remembered for the exit code."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        """Configure uvicorn; nothing runs before `run_until_stopped`."""
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._listener = listener
        self._services: Services = app.state.services

    async def run_until_stopped(self, first: Coroutine[Any, Any, None]) -> int:
        """Do what comes first, then serve until a signal; returns the exit code."""
        with self.capture_signals():
            begun = asyncio.create_task(first)
            while not begun.done() and not self.should_exit:
                await asyncio.wait([begun], timeout=0.1)
            if begun.done():
                begun.result()
                await self._serve(sockets=[self._listener])
            else:
                begun.cancel()
                await asyncio.wait([begun], timeout=1.0)
        return EXIT_INTERRUPTED if signal.SIGINT in self._captured_signals else 0

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle SIGINT and SIGTERM; unlike uvicorn's, does not raise them again."""
        former = {each: signal.signal(each, self.handle_exit) for each in _SIGNALS}
        try:
            yield
        finally:
            for each, handler in former.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second Ctrl-C waits for nobody."""
        if not self._captured_signals:
            threading.Thread(target=self._end_late, daemon=True).start()
        self._services.is_stopping = True
        super().handle_exit(sig, frame)

    def _end_late(self) -> None:
        threading.Event().wait(STOP_SECONDS)
        os._exit(EXIT_INTERRUPTED if signal.SIGINT in self._captured_signals else 0)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
