"""The server as one process that serves, and its follower: API_PROCESSES=1.

The follower is a process of its own, for it takes most of a core where much is counted, and reads
would wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import ExitStack

from api.listening import bind
from api.processes.keeping import FOLLOWER_SECONDS, Kept
from api.processes.part import Part, feed_address
from api.processes.parts import FOLLOWER, Parts
from api.settings import ApiSettings

log = logging.getLogger("api")

#: How often it is seen whether the follower runs.
LOOK_SECONDS = 0.1


def run(settings: ApiSettings, environ: Mapping[str, str], *, debug: bool = False) -> int:
    """Serve until stopped; returns the exit code. Raises: StartRefused, OSError.

    `settings.view_dir` is this server's alone.
    """
    assert settings.view_dir is not None
    feed = feed_address(settings.view_dir)
    with ExitStack() as stack:
        # Another server on the port is refused before anything runs.
        listener = stack.enter_context(bind(settings))

        def ended(name: str, is_started_again: bool) -> None:
            if is_started_again:
                restarted.labels(name).inc()

        follower = Parts(stack, settings.view_dir, environ, ended, debug=debug).follower(_follow)
        stack.callback(follower.end, FOLLOWER_SECONDS)
        follower.look()

        # While it starts: together they take a second to import.
        from api.app import create_app
        from api.metrics import Metrics
        from api.server import serve
        from api.shared_metrics import restarts
        from api.view.copy.copies import Copies
        from api.view.fed_view import FedView
        from api.view.feed.receiver import first_picture

        metrics = Metrics()
        restarted = restarts(FOLLOWER, registry=metrics.registry)
        fed = FedView(feed, Copies(settings.view_dir, settings.view_max_bytes, of_another=True))

        async def until_followed() -> None:
            await first_picture(feed)
            log.info("serving on http://%s:%d", settings.host, settings.port)

        app = create_app(settings, fed, metrics=metrics)
        return serve(app, listener, until_followed(), _keep(follower))


def _follow(part: Part) -> int:
    """What the follower does in a fork of this process."""
    from api.processes.follower import main

    return main(part)


async def _keep(follower: Kept) -> int:
    """Keep it running; returns what the server ends with, where a start again would not help."""
    while follower.exit_code is None:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(min(LOOK_SECONDS, follower.look()))
    return follower.exit_code
