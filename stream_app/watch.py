"""Looks every few seconds whether the worker may go on: same topics, same view version wanted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from stream_app.cluster import Cluster
from stream_app.doctor import Ground, check_unchanged, check_wanted, read_views
from stream_app.ending import end_process
from stream_app.errors import (
    ClusterRefused,
    NoBroker,
    Refusal,
    RestartNeeded,
    ViewDropped,
    WorkerError,
)
from stream_app.settings import WorkerSettings

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
#: Somebody waits for the end of a worker whose version is dropped; the others are in no hurry.
PINNED_INTERVAL_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
#: A takeover believes that a topic is gone when it hears so for this long.
CERTAIN_SECONDS = 5.0
#: Three questions, each with its own deadline.
CONFIRM_SECONDS = 30.0
_PAUSE_SECONDS = 1.0


async def confirm(cluster: Cluster, ground: Ground) -> None:
    """Check at a takeover that the topics are the ones the totals were made from.

    `watch` would see it too, but only after seconds in which readings of a new topic would be
    counted on top of the old one's. Raises: Refusal; RestartNeeded when no broker answers, or
    nothing does: a thread that dies for lack of memory never says so.
    """
    deadline = time.monotonic() + CERTAIN_SECONDS
    while True:
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                return await asyncio.to_thread(check_unchanged, ground, cluster)
        except TimeoutError as error:
            raise RestartNeeded(f"no answer about the topics in {CONFIRM_SECONDS:g} s") from error
        except (NoBroker, ClusterRefused) as error:
            raise RestartNeeded(str(error)) from error
        except Refusal:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def watch(
    settings: WorkerSettings,
    cluster: Cluster,
    ground: Ground,
    leave: Callable[[WorkerError], None],
) -> None:
    """Run until cancelled; ends the process where it must not go on.

    Where another view version is wanted it leaves in order: its group gives the partitions to
    others at once, not after a session's timeout. A broker that does not answer proves nothing,
    and a deleted topic is only believed when it is seen twice: a broker that starts answers
    before it knows all its topics.
    """
    suspicion: str | None = None
    while True:
        await asyncio.sleep(PINNED_INTERVAL_SECONDS if ground.is_pinned else INTERVAL_SECONDS)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                check_wanted(ground, await read_views(settings))
            # After the views: the topic of a version that was dropped is gone for a reason.
            await asyncio.to_thread(check_unchanged, ground, cluster)
            suspicion = None
        except (RestartNeeded, ViewDropped) as end:
            return leave(end)
        except Refusal as error:
            if suspicion == str(error):
                end_process("watch", error)
            suspicion = str(error)
        except Exception as error:
            log.info("cannot look at the topics now, going on: %s", error)
