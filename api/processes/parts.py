"""The parts of one server: how each is started, what they have together, and that none stays.

Each holds one end of a pipe, the leash. Its other end is only the process's that started them:
when that is gone, however it ended, all who hold the leash see it and end too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from api.processes.keeping import Kept
from api.processes.part import Part, feed_address
from api.view.feed.receiver import short_address

FOLLOWER = "follower"


class Parts:
    """Makes the parts of a server whose copies, feed and numbers are in one directory."""

    def __init__(
        self,
        stack: ExitStack,
        directory: Path,
        environ: Mapping[str, str],
        on_end: Callable[[str, bool], None],
        *,
        debug: bool,
    ) -> None:
        """Open what they share, until the stack is left.

        `on_end` is told the name of a part that has ended, and whether it is started again.
        """
        self._directory, self._environ, self._debug = directory, environ, debug
        self._on_end = on_end
        self._listener = stack.enter_context(_feed_listener(feed_address(directory)))
        self._leash, held = os.pipe()
        stack.callback(os.close, held)
        stack.callback(os.close, self._leash)

    def follower(self, first: Callable[[Part], int] | None = None) -> Kept:
        """Return the part that follows the changelogs; the server ends where it cannot start.

        `first`: what it does when it is started first, in a fork; else in a Python of its own.
        """
        return self._kept(FOLLOWER, self._listener.fileno(), first)

    def http(self, number: int) -> Kept:
        """Return one of the parts that serve."""
        return self._kept(f"http-{number}")

    def _kept(
        self,
        name: str,
        listener: int | None = None,
        first: Callable[[Part], int] | None = None,
    ) -> Kept:
        def part(*, is_again: bool = False) -> Part:
            directory = str(self._directory)
            return Part(name, directory, self._leash, listener, is_again, self._debug)

        return Kept(
            name,
            lambda is_again: part(is_again=is_again).arguments(),
            self._environ,
            [self._leash] if listener is None else [self._leash, listener],
            must_start=listener is not None,
            first=None if first is None else partial(first, part()),
            on_end=partial(self._on_end, name),
        )


@contextmanager
def _feed_listener(address: Path) -> Iterator[socket.socket]:
    """Give where HTTP processes come for the feed, whether a follower runs or not."""
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, short_address(address) as short:
        listener.bind(short)
        os.chmod(address, 0o600)
        listener.listen(128)
        listener.setblocking(False)
        yield listener
    address.unlink(missing_ok=True)
