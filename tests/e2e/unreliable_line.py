"""A line to the API that refuses the first request of each key, and loses the next answer.

A stream breaks when it is told to.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSED_ON = ("Authorization", "Idempotency-Key", "Content-Type", "Accept", "Last-Event-ID")


class UnreliableLine(ThreadingHTTPServer):
    """Forwards to the API's port; keeps key and body of each POST."""

    daemon_threads = True

    def __init__(self, api_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.api_port = api_port
        self.posts: list[tuple[str, bytes]] = []
        self.asked: Counter[str] = Counter()
        """How often: by key of a POST, by target of a stream."""
        self.resumed: list[str] = []
        """The Last-Event-ID of each stream that was asked for with one."""
        self.breaking = ""
        """What the target of the stream ends with that is to break at its next piece."""

    def breaks(self, target: str) -> bool:
        """Whether this stream is the one to break; it does so once."""
        if not self.breaking or not target.endswith(self.breaking):
            return False
        self.breaking = ""
        return True


class _Request(BaseHTTPRequestHandler):
    server: UnreliableLine

    def do_POST(self) -> None:
        body = self._body()
        key = self.headers["Idempotency-Key"]
        self.server.posts.append((key, body))
        self.server.asked[key] += 1
        if self.server.asked[key] == 1:
            self._away()
        else:
            self._forward(body, is_lost=self.server.asked[key] == 2)

    def do_GET(self) -> None:
        if "/stream" in self.path:
            self.server.asked[self.path] += 1
            if self.server.asked[self.path] == 1:
                self._away()
                return
            if "Last-Event-ID" in self.headers:
                self.server.resumed.append(self.headers["Last-Event-ID"])
        self._forward(None)

    def log_message(self, *message: object) -> None:
        """Nothing: the clients' own output is judged."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _away(self) -> None:
        self.send_response(503)
        self.send_header("Retry-After", "1")
        self.end_headers()

    def _forward(self, body: bytes | None, is_lost: bool = False) -> None:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        api = http.client.HTTPConnection("127.0.0.1", self.server.api_port, timeout=30)
        try:
            api.request(self.command, self.path, body, headers)
            answer = api.getresponse()
            if is_lost:
                answer.read()
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            while (piece := answer.read1()) and not self.server.breaks(self.path):
                self.wfile.write(piece)
        except (OSError, http.client.HTTPException):
            pass  # the client went, or the API stopped
        finally:
            api.close()


@contextmanager
def unreliable_line(api_port: int) -> Iterator[UnreliableLine]:
    """Serve it until the end of the block."""
    with UnreliableLine(api_port) as line:
        serving = threading.Thread(target=line.serve_forever, daemon=True)
        serving.start()
        try:
            yield line
        finally:
            line.shutdown()
            serving.join()
