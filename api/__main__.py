"""`python -m api`, the same as `energy api`: environment, signals, exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import ssl
import sys
from collections.abc import Mapping

import uvloop

from api.app import create_app
from api.errors import StartRefused
from api.home_directory import prepare_home, prepare_spool, spool_directory
from api.logging_setup import set_up_logging
from api.preflight import check_ground
from api.server import ApiServer, bind
from api.settings import ApiSettings
from contract.command_line import is_debug
from contract.errors import SettingError
from contract.exit_codes import INTERRUPTED, end_with
from contract.prefix import use_prefix


def main(environ: Mapping[str, str] = os.environ, *, debug: bool = False) -> int:
    """Run the server until it is stopped; returns the exit code of the contract."""
    set_up_logging(debug=debug)
    try:
        use_prefix(environ)
        settings = ApiSettings.load(environ)
        settings = _with_directories(settings)
        server = ApiServer(create_app(settings), bind(settings))
        # A million devices are not searched for cycles again and again: there are none.
        gc.freeze()
        gc.set_threshold(100_000, 50, 1_000)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(server.run_until_stopped(_until_ground(settings)))
    except ssl.SSLError as error:
        files = "KAFKA_SSL_CA_FILE, _CERT_FILE or _KEY_FILE"
        return end_with(SettingError(files, str(error)), "energy api")
    except (SettingError, StartRefused, OSError) as error:
        return end_with(error, "energy api")
    except KeyboardInterrupt:
        return INTERRUPTED


def _with_directories(settings: ApiSettings) -> ApiSettings:
    """Make and check what the server writes; ENERGY_HOME only where it is used."""
    home = settings.home
    if settings.tokens_file is None or settings.spool_dir is None:
        home = prepare_home(home)
    spool = prepare_spool(settings.spool_dir or spool_directory(home))
    return settings.model_copy(update={"home": home, "spool_dir": spool})


async def _until_ground(settings: ApiSettings) -> None:
    await check_ground(settings)
    logging.getLogger("api").info("serving on http://%s:%d", settings.host, settings.port)


if __name__ == "__main__":
    sys.exit(
        main(
            debug=is_debug(
                "api",
                "Run the HTTP server until Ctrl-C; the same as `energy api`.",
                "API_HOST=0.0.0.0 API_PORT=8000",
            )
        )
    )
