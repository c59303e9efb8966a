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
#: `tcpi_bytes_acked`, an unsigned 64-bit number in Linux' struct tcp_info (linux/tcp.h).
_ACKED = slice(120, 128)


class JoinedWrites:
    """A transport around another one; all writes must come through it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._kept: Any = b""
        #: More is read only once this is no longer so.
        self.is_held = False
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

    def hold_reading(self) -> None:
        """Read nothing, whoever resumes it, until `is_held` is False again."""
        self.is_held = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, unless it is held."""
        if not self.is_held:
            self._transport.resume_reading()

    def flush(self) -> None:
        """Send what is kept: nothing comes that belongs to it."""
        kept, self._kept = self._kept, b""
        if kept and not self.is_closing():
            self._transport.write(kept)


class Progress:
    """Tells who takes too little of what waits for it.

    Each byte that a client takes buys time, at BYTES_PER_SECOND and up to the whole time-out: who
    takes nothing for that long has ended, who is steady at this rate never has. What counts is
    what its side has acknowledged: the kernel may hold megabytes of an answer for it, so that
    the buffer here stands still for minutes while it reads.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._taken = 0
        self._ends_at: float | None = None

    def has_ended(self, transport: Any, now: float) -> bool:
        """Return whether it has; to be asked again and again, also while nothing waits."""
        if not transport.get_write_buffer_size():
            self._ends_at = None
            return False
        taken = _acknowledged(transport)
        if self._ends_at is None:
            self._ends_at, self._taken = now + self._timeout, taken
        bought = (taken - self._taken) / BYTES_PER_SECOND
        self._ends_at = min(self._ends_at + bought, now + self._timeout)
        self._taken = taken
        return now >= self._ends_at


def _acknowledged(transport: Any) -> int:
    """Return how much the client's side has acknowledged, or grows with it."""
    if not hasattr(socket, "TCP_INFO"):
        return -int(transport.get_write_buffer_size())
    connection = transport.get_extra_info("socket")
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.stop)
    return int.from_bytes(info[_ACKED], sys.byteorder)
