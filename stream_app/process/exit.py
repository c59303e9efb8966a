"""How the process ends: at once, with one line and the exit code of the contract."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

from kafka_io.errors import ClusterError
from kafka_io.rights import refusal
from stream_app.errors import RestartNeeded, WorkerError

log = logging.getLogger(__name__)


def end_process(where: str, error: BaseException) -> NoReturn:
    """End now, without unwinding: nothing may be written or acknowledged after this.

    A WorkerError or ClusterError ends with its own exit code, all else with 75: the outcome is
    unknown or the state is in doubt, and a restart is safe at every point.
    """
    known = error if isinstance(error, (WorkerError, ClusterError)) else refusal(error)
    code = (known or RestartNeeded()).exit_code
    what = str(known) if known else f"{type(error).__name__}: {error}"
    log.critical("%s: %s (exit %d)", where, what, code)
    log.debug("%s", where, exc_info=error)
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
    os._exit(code)
