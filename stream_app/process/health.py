"""`/health`, `/ready` and `/metrics` of a worker, from a thread of its own.

A thread, because liveness must stay true while the event loop folds or recovers.
"""

from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contract.errors import SettingError
from contract.exit_codes import RESTART_ME, of_os_error


def serve(
    host: str,
    port: int,
    not_ready_because: Callable[[], list[str]],
    warnings: Sequence[str] = (),
    single_batches: object = "",
) -> ThreadingHTTPServer:
    """Start the server in a daemon thread. Raises: SettingError where it cannot listen.

    `not_ready_because` returns the reasons why it does not work on all it should; none: ready.
    `warnings` are what the start found at risk: shown, and no reason not to be ready.
    `single_batches` says, as text, whether they are used and if not, why.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/health":
                self._answer(200, "application/json", b'{"status":"alive"}')
            elif self.path == "/ready":
                reasons = not_ready_because()
                found = {
                    "ready": not reasons,
                    "reasons": reasons,
                    "warnings": list(warnings),
                    "single_batches": str(single_batches),
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
                else "set it to an address of this machine, or 0.0.0.0 for all"
            ),
        ) from None
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
