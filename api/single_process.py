"""The server as one process: it follows the changelogs and serves."""

from __future__ import annotations

import logging

from api.app import create_app
from api.listening import bind
from api.preflight import check_ground
from api.server import serve
from api.settings import ApiSettings

log = logging.getLogger("api")


def run(settings: ApiSettings) -> int:
    """Serve until stopped; returns the exit code. Raises: StartRefused."""

    async def until_ground() -> None:
        await check_ground(settings)
        log.info("serving on http://%s:%d", settings.host, settings.port)

    return serve(create_app(settings), bind(settings), until_ground())
