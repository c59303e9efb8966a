"""The worker's log: one line an event, and no flood while a broker is away."""

from __future__ import annotations

import logging
import sys
import time

#: Lines of one logger and format that are let through in each interval.
_LINES = 3
#: Of ours: each tells of an event (partitions taken over), and rebalances can come in bursts.
_OUR_LINES = 20
_INTERVAL_SECONDS = 10.0
#: Kinds that are known at once: some libraries word each line in another way.
_KINDS = 1_000


class RateLimit(logging.Filter):
    """Lets a few lines of a kind through in each interval; aiokafka wrote 13,200 in 15 s."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written; the next one let through counts what was not."""
        kind = (record.name, str(record.msg))
        is_ours = record.name.startswith("stream_app") and "faust_adapter" not in record.name
        most = _OUR_LINES if is_ours else _LINES
        began, count = self._seen.get(kind, (0.0, 0))
        now = time.monotonic()
        if now - began > _INTERVAL_SECONDS:
            if count > most:
                record.msg = f"{record.msg} ({count - most} more like this before)"
            began, count = now, 0
        if len(self._seen) >= _KINDS and kind not in self._seen:
            self._seen.clear()
        self._seen[kind] = (began, count + 1)
        return count < most


def set_up_logging(*, debug: bool) -> None:
    """Write our lines at INFO and the libraries' at WARNING to stderr, rate limited."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RateLimit())
    if not debug:
        handler.addFilter(_drop_traceback)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    logging.getLogger("stream_app").setLevel(logging.DEBUG if debug else logging.INFO)
    # Classes of ours that extend Faust log under our name what Faust says.
    logging.getLogger("stream_app.faust_adapter").setLevel(
        logging.INFO if debug else logging.WARNING
    )
    logging.getLogger("faust").setLevel(logging.INFO if debug else logging.ERROR)
    logging.getLogger("mode").setLevel(logging.INFO if debug else logging.ERROR)


def _drop_traceback(record: logging.LogRecord) -> bool:
    """Show what happened in the line itself; tracebacks are for --debug."""
    if record.exc_info and record.exc_info[1] is not None:
        record.msg = f"{record.getMessage()} [{record.exc_info[1]!r}]"
        record.args = ()
    record.exc_info = None
    record.exc_text = None
    return True
