"""`python -m api.processes.http_process PART`: one of several processes that serve."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from api.app import create_app
from api.listening import join
from api.logging_setup import set_up_logging
from api.metrics import Metrics
from api.preparation import exit_code_of, prepared
from api.processes.part import (
    Part,
    end_with_parent,
    feed_address,
    metrics_directory,
    part_of,
)
from api.server import serve
from api.shared_metrics import share_numbers
from api.view.copy.copies import Copies
from api.view.fed_view import FedView
from api.view.feed.receiver import first_picture

log = logging.getLogger("api")


def run(part: Part) -> int:
    """Serve until stopped; returns the exit code. Raises: SettingError, StartRefused, OSError."""
    directory = Path(part.directory)
    end_with_parent(part.leash)
    settings = prepared(os.environ).model_copy(update={"view_dir": directory})
    numbers = metrics_directory(directory)
    share_numbers(numbers, part.name)
    feed = feed_address(directory)
    fed = FedView(feed, Copies(directory, settings.view_max_bytes, of_another=True))
    app = create_app(settings, fed, metrics=Metrics(numbers, part.name))

    async def until_followed() -> None:
        await first_picture(feed)
        log.info("serving on http://%s:%d", settings.host, settings.port)

    return serve(app, join(settings), until_followed())


if __name__ == "__main__":
    _part = part_of(sys.argv)
    set_up_logging(debug=_part.debug, process=_part.name)
    sys.exit(exit_code_of(lambda: run(_part)))
