"""uvicorn, told how we want it: parser, limits, and how it ends.

What uvicorn has no limit for is in connection.py.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI

from api.dependencies import Services
from api.http.connection import LINGERING, Bounds, Connection
from api.http.cors import Cors

log = logging.getLogger("api.server")

EXIT_INTERRUPTED = 130
#: Requests under way may continue for so long after a signal.
GRACE_SECONDS = 6.0
#: Requests cancelled then answer within this time, with the counts of what is in the log.
ANSWER_SECONDS = 1.5
#: The contract gives a stop 10 s; a restart is safe at every point.
STOP_SECONDS = 9.0
BACKLOG = 2_048
#: Of 0.1 s each: how often clients are looked at for being slow.
LOOK_TICKS = 5
#: Files open for all else: Kafka, spooled bodies, the log.
OTHER_FILES = 300


def serve(
    app: FastAPI,
    listener: socket.socket,
    first: Coroutine[Any, Any, None],
    beside: Coroutine[Any, Any, int] | None = None,
) -> int:
    """Do what comes first, then serve until a signal; returns the exit code.

    What runs beside it ends only where the server must end too, with that exit code.
    """
    server = ApiServer(app, listener)
    # A million devices are not searched for cycles again and again: there are none.
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(server.run_until_stopped(first, beside))


class ApiServer(uvicorn.Server):
    """uvicorn's server; a signal ends it in order, and is remembered for the exit code."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        """Configure uvicorn; nothing runs before `run_until_stopped`."""
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=partial(Connection, bounds=_bounds(app.state.services)),  # type: ignore[arg-type]
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=app.state.services.settings.keep_alive_seconds,
            )
        )
        self._listener = listener
        self._services: Services = app.state.services
        self._drained_at = 0.0
        self._exit_code = 0

    async def run_until_stopped(
        self, first: Coroutine[Any, Any, None], beside: Coroutine[Any, Any, int] | None = None
    ) -> int:
        """As `serve` says."""
        with self.capture_signals(), ExitStack() as stack:
            if beside is not None:
                running = asyncio.create_task(beside)
                running.add_done_callback(self._end_with)
                stack.callback(running.cancel)
            begun = asyncio.create_task(first)
            while not begun.done() and not self.should_exit:
                await asyncio.wait([begun], timeout=0.1)
            if begun.done():
                begun.result()
                await self._serve(sockets=[self._listener])
            else:
                begun.cancel()
                await asyncio.wait([begun], timeout=1.0)
            # uvicorn would raise them again.
            self._captured_signals.clear()
        return self._exit_code

    def _end_with(self, beside: asyncio.Task[int]) -> None:
        if not beside.cancelled():
            self._exit_code = beside.result()
            self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal waits for no drain, a second Ctrl-C for nobody."""
        if sig == signal.SIGINT:
            self._exit_code = EXIT_INTERRUPTED
        drain = self._services.settings.drain_seconds
        is_first, self._services.is_draining = not self._services.is_draining, True
        is_drained = not is_first or sig == signal.SIGINT
        self._drained_at = 0.0 if is_drained else time.monotonic() + drain
        if is_first:
            late = threading.Timer(drain + STOP_SECONDS, self._end_late)
            late.daemon = True
            late.start()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Look at all clients; tell whether to stop: after SIGTERM only after the drain."""
        if not counter % LOOK_TICKS:
            now = asyncio.get_running_loop().time()
            for connection in [*self.server_state.connections]:
                connection.look(now)  # type: ignore[union-attr]
        return await super().on_tick(counter) and time.monotonic() >= self._drained_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, give requests their time, and those cancelled time to say what was."""
        self._services.is_stopping = True
        ending = asyncio.create_task(self._end_requests())
        await super().shutdown(sockets)
        ending.cancel()

    async def _end_requests(self) -> None:
        """Unlike uvicorn's timeout_graceful_shutdown, let those who are cancelled answer."""
        await asyncio.sleep(GRACE_SECONDS)
        for task in self.server_state.tasks:
            task.cancel()
        await asyncio.sleep(ANSWER_SECONDS)
        for connection in self.server_state.connections:
            connection.transport.abort()

    def _end_late(self) -> None:
        os._exit(self._exit_code)


def _bounds(services: Services) -> Bounds:
    """Return what connections are held to; raises the limit of open files as far as allowed."""
    settings = services.settings
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connections = settings.max_connections
    possible = most - OTHER_FILES - LINGERING
    if most != resource.RLIM_INFINITY and connections > possible:
        connections = max(1, possible)
        log.warning(
            "%d connections at most, not API_MAX_CONNECTIONS (%d): only %d files may be open",
            connections,
            settings.max_connections,
            most,
        )
    return Bounds(
        connections,
        settings.head_timeout_seconds,
        settings.send_timeout_seconds,
        lambda reason: services.metrics.refused_connections.labels(reason).inc(),
        Cors(settings.cors_origins),
    )
