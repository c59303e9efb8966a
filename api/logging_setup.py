"""The server's log: one line an event, no flood while a broker is away, no traceback unasked.

No request is logged, so no token in a URL can be.
"""

from __future__ import annotations

import logging
import sys
import time

#: Lines of one statement let through in each interval, however they are worded.
LINES = 3
INTERVAL_SECONDS = 10.0


class Moderation(logging.Filter):
    """Lets few lines of a kind through, and each as one line."""

    def __init__(self, *, with_tracebacks: bool) -> None:
        super().__init__()
        self._with_tracebacks = with_tracebacks
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written."""
        kind, now = (record.pathname, record.lineno), time.monotonic()
        began, count = self._seen.get(kind, (-INTERVAL_SECONDS, 0))
        if now - began >= INTERVAL_SECONDS:
            began, count = now, 0
        self._seen[kind] = (began, count + 1)
        if not self._with_tracebacks and record.exc_info:
            record.msg = f"{record.getMessage()} [{record.exc_info[1]!r}]"
            record.args, record.exc_info, record.exc_text = (), None, None
        return count < LINES


def set_up_logging(*, debug: bool, process: str | None = None) -> None:
    """Write our lines at INFO and the libraries' at WARNING to stderr.

    Where the server has several processes, each line names its `process`.
    """
    handler = logging.StreamHandler(sys.stderr)
    named = "" if process is None else f" [{process}]"
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s %(levelname)s{named} %(name)s: %(message)s")
    )
    handler.addFilter(Moderation(with_tracebacks=debug))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("api").setLevel(logging.DEBUG if debug else logging.INFO)
    # Says "Invalid HTTP request received" for each stranger who sends bytes.
    logging.getLogger("uvicorn").setLevel(logging.INFO if debug else logging.ERROR)
