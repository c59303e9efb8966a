"""`python -m api`, the same as `energy api`: environment, signals, exit code."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import ssl
import sys
from collections.abc import Mapping, Sequence

import uvloop

from api.app import create_app
from api.errors import StartRefused
from api.home_directory import prepare_home, prepare_spool, spool_directory
from api.http.server import ApiServer, bind
from api.logging_setup import set_up_logging
from api.preflight import check_ground
from api.settings import ApiSettings
from contract.errors import SettingError
from contract.exit_codes import of_os_error, os_error_line


def main(environ: Mapping[str, str] = os.environ, *, debug: bool = False) -> int:
    """Run the server until it is stopped; returns the exit code of the contract."""
    set_up_logging(debug=debug)
    try:
        settings = ApiSettings.load(environ)
        home = prepare_home(settings.home)
        spool = prepare_spool(settings.spool_dir or spool_directory(home))
        settings = settings.model_copy(update={"home": home, "spool_dir": spool})
        server = ApiServer(create_app(settings), bind(settings))
        # A million devices are not searched for cycles again and again: there are none.
        gc.freeze()
        gc.set_threshold(100_000, 50, 1_000)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(server.run_until_stopped(_until_ground(settings)))
    except SettingError as error:
        return _refused(str(error), 2)
    except ssl.SSLError as error:
        return _refused(f"KAFKA_SSL_CA_FILE, _CERT_FILE or _KEY_FILE: {error}", 2)
    except StartRefused as error:
        return _refused(str(error), error.exit_code)
    except OSError as error:
        return _refused(os_error_line(error), of_os_error(error))
    except KeyboardInterrupt:
        return 130


async def _until_ground(settings: ApiSettings) -> None:
    await check_ground(settings)
    logging.getLogger("api").info("serving on http://%s:%d", settings.host, settings.port)


def _refused(text: str, exit_code: int) -> int:
    print(f"energy api: {text}", file=sys.stderr)
    return exit_code


def is_debug(arguments: Sequence[str] | None = None) -> bool:
    """Read the command line; ends with help (0) or for an unknown argument (2)."""
    parser = argparse.ArgumentParser(
        "python -m api",
        description="Run the HTTP server until Ctrl-C; the same as `energy api`.",
        epilog="Settings are environment variables. Example: "
        "API_HOST=0.0.0.0 API_PORT=8000 python -m api",
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return bool(parser.parse_args(arguments).debug)


if __name__ == "__main__":
    sys.exit(main(debug=is_debug()))
