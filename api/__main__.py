"""`python -m api`, the same as `energy api`: environment, signals, exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from api.home_directory import own_view_directory, view_directory
from api.logging_setup import set_up_logging
from api.preparation import exit_code_of, prepared
from contract.command_line import is_debug


def main(environ: Mapping[str, str] = os.environ, *, debug: bool = False) -> int:
    """Run the server until it is stopped; returns the exit code of the contract."""
    return exit_code_of(lambda: _run(environ, debug=debug))


def _run(environ: Mapping[str, str], *, debug: bool) -> int:
    set_up_logging(debug=debug)
    settings = prepared(environ)
    with own_view_directory(settings.view_dir or view_directory(settings.home)) as own:
        settings = settings.model_copy(update={"view_dir": own})
        if settings.processes == 1:
            from api.processes.one_server import run
        else:
            # The parent serves nothing, and shall not have all of it in memory.
            from api.processes.parent import run
        return run(settings, environ, debug=debug)


if __name__ == "__main__":
    sys.exit(
        main(
            debug=is_debug(
                "api",
                "Run the HTTP server until Ctrl-C; the same as `energy api`."
                " API_PROCESSES=N serves with N processes.",
                "API_HOST=0.0.0.0 API_PORT=8000",
            )
        )
    )
