"""A TCP proxy before a broker that knows which request of Kafka's it carries.

A request is `int32 size, int16 api_key, int16 version, int32 correlation_id, ...`; an answer has
the size and the correlation_id only, so that each connection remembers what it asked. Clients
come back through it where a listener of the broker advertises its port.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress

HOST = "127.0.0.1"
PRODUCE, FETCH, OFFSET_COMMIT, HEARTBEAT = 0, 1, 8, 12
ADD_PARTITIONS, END_TRANSACTION = 24, 26
_CONNECT_SECONDS = 5
_SLICES_A_SECOND = 50
_LARGEST_FRAME = 256 << 20


class Proxy:
    """Passes everything on until it is told otherwise; safe to tell from any thread."""

    def __init__(self, broker_port: int) -> None:
        self.broker_port = broker_port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        #: Answers by api_key that were kept from their client, its connection reset instead.
        self.lost: Counter[int] = Counter()
        self._to_lose: Counter[int] = Counter()
        self._delays: dict[int, float] = {}
        self._held: dict[int, threading.Event] = {}
        #: Requests by api_key that were kept from the broker, for good or until healed.
        self.held: Counter[int] = Counter()
        self._bytes_per_second: int | None = None
        self._requests_pass, self._answers_pass = threading.Event(), threading.Event()
        self._is_cut = False
        self._closed = False
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.heal()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, and each new one."""
        self._is_cut = True
        self._reset_all()

    def silence(self, *, requests: bool = True, answers: bool = True) -> None:
        """Pass nothing on, one way or both, without a word: as a cable that is pulled."""
        if requests:
            self._requests_pass.clear()
        if answers:
            self._answers_pass.clear()

    def heal(self) -> None:
        """Pass everything on again; what was silenced arrives late."""
        self._is_cut = False
        self._delays.clear()
        self._bytes_per_second = None
        with self._lock:
            self._to_lose.clear()
            held, self._held = self._held, {}
        for event in held.values():
            event.set()
        self._requests_pass.set()
        self._answers_pass.set()

    def lose_answers(self, api_key: int, count: int = 1) -> None:
        """Let the broker do what the next ones ask, and reset the connection in place of it."""
        with self._lock:
            self._to_lose[api_key] += count

    def delay(self, api_key: int, seconds: float) -> None:
        """Hold each such request, and what follows on its connection, for so long."""
        self._delays[api_key] = seconds

    def hold(self, api_key: int) -> None:
        """Keep each such request until healed, and what follows on its connection.

        But no abort: its transaction may be empty, nothing that Kafka would give up.
        """
        with self._lock:
            self._held.setdefault(api_key, threading.Event())

    def throttle(self, bytes_per_second: int) -> None:
        """Let each connection's answers trickle, in slices."""
        self._bytes_per_second = bytes_per_second

    def close(self) -> None:
        self._closed = True
        self._listener.close()
        self.heal()
        self._reset_all()

    def _reset_all(self) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for each in sockets:
            _reset(each)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._is_cut:
                    raise ConnectionResetError
                broker = socket.create_connection((HOST, self.broker_port), _CONNECT_SECONDS)
            except OSError:
                _reset(client)
                continue
            broker.settimeout(None)
            for each in (client, broker):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {client, broker}
            asked: dict[int, int] = {}
            for way in (self._pass_requests, self._pass_answers):
                threading.Thread(target=self._pump, args=(way, client, broker, asked)).start()

    def _pump(
        self, way: object, client: socket.socket, broker: socket.socket, asked: dict[int, int]
    ) -> None:
        assert callable(way)
        try:
            with suppress(OSError):
                way(client, broker, asked)
        finally:
            with self._lock:
                self._sockets -= {client, broker}
            _reset(client)
            _reset(broker)

    def _pass_requests(
        self, client: socket.socket, broker: socket.socket, asked: dict[int, int]
    ) -> None:
        while (frame := _read_frame(client)) is not None:
            api_key, _, correlation_id = struct.unpack_from(">hhi", frame, 4)
            asked[correlation_id] = api_key
            if api_key in self._delays:
                time.sleep(self._delays[api_key])
            with self._lock:
                held = self._held.get(api_key)
            if held is not None and not _is_abort(frame):
                self.held[api_key] += 1
                held.wait()
            self._requests_pass.wait()
            broker.sendall(frame)

    def _pass_answers(
        self, client: socket.socket, broker: socket.socket, asked: dict[int, int]
    ) -> None:
        while (frame := _read_frame(broker)) is not None:
            (correlation_id,) = struct.unpack_from(">i", frame, 4)
            api_key = asked.pop(correlation_id, -1)
            with self._lock:
                if self._to_lose[api_key] > 0:
                    self._to_lose[api_key] -= 1
                    self.lost[api_key] += 1
                    return
            self._answers_pass.wait()
            self._trickle(client, frame)

    def _trickle(self, client: socket.socket, frame: bytes) -> None:
        """Send at once, or in slices as long as the link is slow."""
        start = 0
        while (rate := self._bytes_per_second) is not None and start < len(frame):
            end = start + max(1, rate // _SLICES_A_SECOND)
            client.sendall(frame[start:end])
            start = end
            time.sleep(1 / _SLICES_A_SECOND)
        client.sendall(frame[start:])


def _is_abort(frame: bytes) -> bool:
    """Whether it is an EndTxn that aborts: up to version 2 its last byte says so."""
    api_key, version = struct.unpack_from(">hh", frame, 4)
    if api_key != END_TRANSACTION:
        return False
    assert version <= 2, version
    return frame[-1] == 0


def _read_frame(source: socket.socket) -> bytes | None:
    """The next message with its size in front; None at the end of the connection."""
    head = _read(source, 4)
    if head is None:
        return None
    (size,) = struct.unpack(">i", head)
    assert 0 < size <= _LARGEST_FRAME, size
    body = _read(source, size)
    return None if body is None else head + body


def _read(source: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = source.recv(size - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _reset(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
