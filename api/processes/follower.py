"""`python -m api.processes.follower PART`: follows the changelogs for those that serve.

It alone writes the copies on disk, and tells how they stand (api/view/feed/).
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop

from api.logging_setup import set_up_logging
from api.preflight import check_kafka
from api.preparation import exit_code_of, prepared
from api.processes.part import AT_ONCE, Part, end_with_parent, part_of
from api.settings import ApiSettings
from api.view.copy.copies import Copies
from api.view.feed.sender import FeedSender
from api.view.live_version import LiveView
from contract.exit_codes import DONE, INTERRUPTED

#: For the copies to be closed.
STOP_SECONDS = 3.0


def run(part: Part) -> int:
    """Follow until stopped; returns the exit code. Raises: SettingError, StartRefused, OSError."""
    # It has nothing in flight, and the next server wants its copies.
    end_with_parent(part.leash, AT_ONCE)
    settings = prepared(os.environ).model_copy(update={"view_dir": Path(part.directory)})
    assert part.listener is not None
    with socket.socket(fileno=part.listener) as listener:
        return uvloop.run(_follow(settings, listener, is_again=part.is_again))


async def _follow(settings: ApiSettings, listener: socket.socket, *, is_again: bool) -> int:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    loop.add_signal_handler(signal.SIGTERM, end, DONE)
    loop.add_signal_handler(signal.SIGINT, end, INTERRUPTED)
    if not is_again:
        # Later, what is missing is waited for, as a server that runs does.
        checking = asyncio.create_task(check_kafka(settings))
        first: list[asyncio.Future[Any]] = [checking, ended]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            checking.cancel()
            return ended.result()
        checking.result()
    assert settings.view_dir is not None
    copies = Copies(settings.view_dir, settings.view_max_bytes)
    live = LiveView(settings.for_aiokafka(), copies)
    forgetting: set[asyncio.Task[None]] = set()

    def forget() -> None:
        task = asyncio.create_task(live.forget_dead_readers())
        forgetting.add(task)
        task.add_done_callback(forgetting.discard)

    sender = FeedSender(live, on_lost=forget)
    live.on_change = sender.changed
    follows = (live.run(), live.books.run(), sender.run(listener))
    works = [asyncio.create_task(each) for each in follows]
    running: list[asyncio.Future[Any]] = [*works, ended]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for work in works:
            if work.done():
                # None of them ends by itself: what it raised is nobody's plan.
                work.result()
        return ended.result()
    finally:
        for work in works:
            work.cancel()
        await asyncio.wait(works, timeout=STOP_SECONDS)


def main(part: Part) -> int:
    """Follow until stopped; returns the exit code of the contract."""
    set_up_logging(debug=part.debug, process=part.name)
    return exit_code_of(lambda: run(part))


if __name__ == "__main__":
    sys.exit(main(part_of(sys.argv)))
