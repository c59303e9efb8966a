"""What a process of a server is told at its start, besides the settings in its environment."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Part(msgspec.Struct, frozen=True):
    """A process of a server.

    `name` stands in its log lines. `directory` is where copies, feed and metrics are, for this
    server alone. `leash` is a handle that is at its end when the parent is gone, `listener`
    that of the feed, for the follower. `is_again`: it is started in place of one that ended.
    """

    name: str
    directory: str
    leash: int
    listener: int | None = None
    is_again: bool = False
    debug: bool = False

    def arguments(self) -> list[str]:
        """Return what its Python is started with."""
        module = "api.processes.http_process" if self.listener is None else "api.processes.follower"
        # Not what happens to lie in the current directory.
        return [sys.executable, "-P", "-m", module, msgspec.json.encode(self).decode()]


def part_of(arguments: list[str]) -> Part:
    """Read what a process was started with."""
    return msgspec.json.decode(arguments[1], type=Part)


def feed_address(directory: Path) -> Path:
    """Where the follower tells."""
    return directory / "feed"


def metrics_directory(directory: Path) -> Path:
    """Where the numbers of all processes are."""
    return directory / "metrics"


#: The second one waits for no drain.
IN_ORDER = (signal.SIGTERM, signal.SIGTERM)
AT_ONCE = (signal.SIGKILL,)


def end_with_parent(leash: int, signals: Sequence[signal.Signals] = IN_ORDER) -> None:
    """Have this process end once its parent is gone, however that ended."""

    def wait() -> None:
        os.read(leash, 1)
        for each in signals:
            os.kill(os.getpid(), each)

    threading.Thread(target=wait, daemon=True).start()
