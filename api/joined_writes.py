"""A connection's transport that sends the head of an answer together with its body.

uvicorn writes one after the other, and uvloop sends each write at once: two system calls, and
two packets of which the first wakes a client that cannot go on with it. Here a short write is
kept for the next one of the same turn of the event loop. Guarantees: bytes keep their order, and
none waits for longer than this turn. Not thread-safe: one event loop.
"""

from __future__ import annotations

import asyncio
from typing import Any

#: Longer than any head of ours; what is larger is a piece of a body, and goes at once.
SHORT_BYTES = 4 * 1024
#: To copy this much costs more than a system call.
LONG_BYTES = 128 * 1024


class JoinedWrites(asyncio.Transport):
    """A transport around another one; all writes must come through it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with nothing kept."""
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._kept: Any = b""

    def write(self, data: Any) -> None:
        """Send what is kept and this together, or keep this for the rest of the turn."""
        if self._kept:
            kept, self._kept = self._kept, b""
            if len(data) > LONG_BYTES:
                self._transport.write(kept)
            else:
                data = kept + data
        elif len(data) <= SHORT_BYTES:
            self._kept = data
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send what is kept: nothing comes that belongs to it."""
        kept, self._kept = self._kept, b""
        if kept and not self._transport.is_closing():
            self._transport.write(kept)

    def write_eof(self) -> None:
        """Send what is kept, and then the end."""
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Send what is kept, then close in order."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what is kept is as lost as all that is buffered."""
        self._kept = b""
        self._transport.abort()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent yet."""
        return len(self._kept) + self._transport.get_write_buffer_size()

    # The other one's, as they are

    def can_write_eof(self) -> bool:
        """Whether the end can be sent while the client may go on."""
        return self._transport.can_write_eof()

    def is_closing(self) -> bool:
        """Whether it is closed or being closed."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Receive nothing for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the socket."""
        return self._transport.get_extra_info(name, default)
