"""`/health`, `/ready` and `/metrics` of a worker, from a thread of its own.

A thread, because liveness must stay true while the event loop folds or recovers.
"""

from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contract.errors import SettingError
from contract.exit_codes import RESTART_ME, of_os_error


class Readiness:
    """What `/ready` says; changed as the start gets on, while the server answers."""

    def __init__(self, reason: str) -> None:
        #: Returns the reasons why it does not work on all it should; none: ready.
        self.not_ready_because: Callable[[], list[str]] = lambda: [reason]
        #: What the start found at risk: shown, and no reason not to be ready.
        self.warnings: Sequence[str] = ()
        #: Says, as text, whether they are used and if not, why.
        self.single_batches: object = ""


@contextmanager
def serving(host: str, port: int, readiness: Readiness) -> Iterator[None]:
    """Serve as long as this lasts; port 0: not at all. Raises: SettingError."""
    if not port:
        yield
        return
    with serve(host, port, readiness) as server:
        try:
            yield
        finally:
            server.shutdown()


def serve(host: str, port: int, readiness: Readiness) -> ThreadingHTTPServer:
    """Start the server in a daemon thread. Raises: SettingError where it cannot listen."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/health":
                self._answer(200, "application/json", b'{"status":"alive"}')
            elif self.path == "/ready":
                reasons = readiness.not_ready_because()
                found = {
                    "ready": not reasons,
                    "reasons": reasons,
                    "warnings": list(readiness.warnings),
                    "single_batches": str(readiness.single_batches),
                }
                body = json.dumps(found).encode()
                self._answer(503 if reasons else 200, "application/json", body)
            elif self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            else:
                self._answer(404, "application/json", b'{"error":"no such page"}')

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep probes out of the log."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: a probe that has gone away is no error of the worker's."""

    try:
        server = Server((host, port), Handler)
    except OSError as error:
        if of_os_error(error) == RESTART_ME:
            raise
        is_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        raise SettingError(
            "STREAM_APP_HTTP_PORT" if is_port else "STREAM_APP_HTTP_HOST",
            f"cannot listen on {host}:{port} ({error.strerror}): "
            + (
                "stop what listens there, or set it to another port"
                if is_port
                else "set it to an address of this machine, or to 0.0.0.0 for all"
            ),
        ) from None
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
