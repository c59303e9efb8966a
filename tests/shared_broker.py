"""One real broker for all tests of a run, also for the worker processes of pytest-xdist.

The first process that needs it starts it and writes down where it is; the others join. Each
holds a shared lock on `users` while it uses the broker; the starter stops it once it gets that
lock alone, so nobody loses the broker under a running test. The kernel drops the lock of a
process that dies.

A machine that cannot fetch Kafka fails the tests; it never skips them.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_stack.broker.java import check_broker_parts
from local_stack.broker.process import LocalBroker
from local_stack.broker.properties import DATA_DIRECTORY

READY_SECONDS = 60
"""A loaded CI machine may take ten times the usual 2 s."""

QUICK_PROPERTIES = {
    # Tests wait for compaction, retention and lost members: soon, not in minutes.
    "group.min.session.timeout.ms": "500",
    "log.cleaner.backoff.ms": "200",
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "500",
    "log.segment.delete.delay.ms": "500",
}


@contextmanager
def shared_broker(directory: Path) -> Iterator[str]:
    """Join or start the broker of this run; gives its bootstrap servers."""
    address = directory / "bootstrap_servers"
    broker: LocalBroker | None = None
    with (directory / "users").open("a") as users:
        with locked(directory / "starting"):
            # Waits while a former starter stops its broker; it removes the address first.
            fcntl.flock(users, fcntl.LOCK_SH)
            if not address.exists():
                broker = start_broker(directory / "broker", QUICK_PROPERTIES)
                address.write_text(broker.bootstrap_servers, encoding="ascii")
        try:
            yield address.read_text(encoding="ascii")
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            if broker is not None:
                fcntl.flock(users, fcntl.LOCK_EX)
                address.unlink()
                broker.stop()
                shutil.rmtree(broker.data_dir / DATA_DIRECTORY)


def start_broker(directory: Path, properties: dict[str, str]) -> LocalBroker:
    """A ready broker on a free port. The caller stops it."""
    check_broker_parts(print)
    broker = LocalBroker(directory, 0, properties=properties)
    broker.start()
    try:
        broker.wait_ready(READY_SECONDS)
    except BaseException:
        broker.kill()
        raise
    return broker


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock among processes."""
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
