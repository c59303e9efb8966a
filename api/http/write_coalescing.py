"""How an answer is written: head and body in one packet, and only to clients that read.

uvicorn writes the head first, and uvloop sends each write at once: two system calls, and two
packets of which the first wakes a client that cannot use it alone. Guarantees of JoinedWrites:
bytes keep their order, and none waits for longer than this turn of the event loop. Not
thread-safe: one event loop.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

#: Longer than any head of ours; what is larger is a piece of a body, and goes at once.
SHORT_BYTES = 4 * 1024
#: A reader who takes this much each second is served, however long the answer is.
BYTES_PER_SECOND = 10_000
LOOK_SECONDS = 1.0
#: `tcpi_bytes_acked`, an unsigned 64-bit number in Linux' struct tcp_info (linux/tcp.h).
_ACKED = slice(120, 128)


class JoinedWrites:
    """A transport around another one; all writes must come through it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with nothing kept."""
        self._transport = transport
        self._loop = loop
        self._kept: Any = b""
        self.is_closing = transport.is_closing
        self.get_write_buffer_size = transport.get_write_buffer_size

    def __getattr__(self, name: str) -> Any:
        """Be the other one in all else; nothing overtakes what is kept."""
        self.flush()
        return getattr(self._transport, name)

    def write(self, data: Any) -> None:
        """Send what is kept and this together, or keep this for the rest of the turn."""
        if self._kept:
            kept, self._kept = self._kept, b""
            self._transport.writelines((kept, data))
        elif len(data) <= SHORT_BYTES:
            self._kept = data
            self._loop.call_soon(self.flush)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is kept: nothing comes that belongs to it."""
        kept, self._kept = self._kept, b""
        if kept and not self.is_closing():
            self._transport.write(kept)


class Progress:
    """Cuts a client off that takes too little of what waits for it.

    Each byte that it takes buys time, at BYTES_PER_SECOND and up to the whole time-out: who
    takes nothing for that long is cut off, who is steady at this rate never is. What counts is
    what its side has acknowledged: the kernel may hold megabytes of an answer for it, so that
    the buffer here stands still for minutes while it reads.
    """

    def __init__(
        self, transport: Any, loop: asyncio.AbstractEventLoop, timeout_seconds: float
    ) -> None:
        """Begin without a watch."""
        self._transport = transport
        self._loop = loop
        self._timeout = timeout_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._taken = 0
        self._ends_at = 0.0

    def watch(self) -> None:
        """Look from now on, until all is sent; a watch that runs goes on."""
        if self._timer is None and self._transport.get_write_buffer_size():
            self._taken = self._acknowledged()
            self._ends_at = self._loop.time() + self._timeout
            self._look()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if not self._transport.get_write_buffer_size():
            return
        now, taken = self._loop.time(), self._acknowledged()
        bought = (taken - self._taken) / BYTES_PER_SECOND
        self._taken = taken
        self._ends_at = min(self._ends_at + bought, now + self._timeout)
        if now >= self._ends_at:
            self._transport.abort()
        else:
            self._timer = self._loop.call_at(min(now + LOOK_SECONDS, self._ends_at), self._look)

    def _acknowledged(self) -> int:
        """Return how much the client's side has acknowledged, or grows with it."""
        connection = self._transport.get_extra_info("socket")
        if not hasattr(socket, "TCP_INFO"):
            return -int(self._transport.get_write_buffer_size())
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.stop)
        return int.from_bytes(info[_ACKED], sys.byteorder)
