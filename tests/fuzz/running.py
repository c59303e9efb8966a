"""A server under fire: started, spoken to byte by byte, and judged when all is over."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from local_stack.ports import free_port
from tests.kafka import wait_until
from tests.process_memory import memory_of

ANSWER_SECONDS = 15.0


class RunningServer:
    """One process of tests.fuzz.serving."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        self.log = home.parent / f"{home.name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.serving", str(home)],
                cwd=Path(__file__).parents[2],
                env={**os.environ, "API_PORT": str(free_port()), **environ},
                stdout=subprocess.PIPE,
                stderr=log,
            )
        told = json.loads(self.process.stdout.readline())
        self.port, self.token = int(told["port"]), str(told["token"])
        self.authorization = f"Authorization: Bearer {self.token}\r\n".encode()
        self._pid = psutil.Process(self.process.pid)
        wait_until(self.is_alive, "the server answers")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS)

    def exchange(self, *pieces: bytes) -> bytes:
        """Send bytes and return all that comes back until the server closes."""
        with self.connect() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                # Refused before all was sent; what it said is read below.
                pass
            return read_all(connection)

    def get(self, target: bytes, *more_head: bytes) -> bytes:
        head = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        return self.exchange(head + self.authorization + b"".join(more_head) + b"\r\n")

    def post(self, body: bytes, *more_head: bytes, target: bytes = b"") -> bytes:
        target = target or b"/v0/events?name=energy_consumption"
        head = b"POST " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        head += self.authorization + b"".join(more_head)
        return self.exchange(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def is_alive(self) -> bool:
        try:
            return status(self.get(b"/v0/devices/a")) == 200
        except OSError:
            return False

    def rows(self) -> dict[str, int]:
        """Rows taken in since the start, by what became of them."""
        text = self.get(b"/metrics").decode()
        found = re.findall(r'^api_rows_total\{outcome="(\w+)"\} (\S+)', text, re.MULTILINE)
        return {outcome: int(float(count)) for outcome, count in found}

    def memory(self) -> int:
        """Bytes without page cache."""
        return memory_of(self.process.pid)

    def connections(self) -> int:
        """Connections of clients that the process holds."""
        found = self._pid.net_connections("tcp")
        return sum(1 for each in found if each.status != psutil.CONN_LISTEN)

    def stop(self) -> str:
        """End it in order; returns its log, which tells of nothing unforeseen."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdout.close()
        log = self.log.read_text(encoding="utf-8")
        assert code == 0, log
        assert "Traceback" not in log, log
        assert "unexpected failure" not in log, log
        assert "Exception" not in log, log
        assert self.token not in log
        return log


ServerFactory = Callable[..., RunningServer]


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes; a reset counts as that."""
    received = bytearray()
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        try:
            piece = connection.recv(65_536)
        except ConnectionResetError:
            break
        if not piece:
            return bytes(received)
        received += piece
    else:
        raise AssertionError(f"still open after {ANSWER_SECONDS} s: {bytes(received[:200])!r}")
    return bytes(received)


def status(answer: bytes) -> int:
    """The status of an answer; 0 if the connection was closed without one."""
    if not answer:
        return 0
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found, answer[:200]
    return int(found[1])


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]
