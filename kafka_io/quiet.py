"""Keeps librdkafka's own log lines off the terminal; what fails is told by our errors."""

from __future__ import annotations

import logging
from typing import Any

_log = logging.getLogger("stream_app.librdkafka")
_log.addHandler(logging.NullHandler())
_log.propagate = False

#: Part of the configuration of each client here. The level alone is not enough: fatal
#: errors, such as being fenced, have level 0.
QUIET: dict[str, Any] = {"log_level": 0, "logger": _log}
