"""Numbers of several processes in one scrape: prometheus_client's multiprocess mode.

Each process keeps its numbers in files of its own, named for its place (`http-0`) and not for its
process id: one that is started again continues where the last one ended, so no sum ever falls.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

#: Read by prometheus_client.
DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_numbers(directory: Path, name: str) -> None:
    """Keep all numbers of this process where the others find them; before any metric is made."""
    os.environ[DIRECTORY_VARIABLE] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def numbers_of_all(directory: Path) -> CollectorRegistry:
    """Return a registry of what all processes have counted."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]
    return registry


def restarts(*kinds: str, registry: CollectorRegistry | None = None) -> Counter:
    """Return the count of parts of a server that were started again, at zero for each kind."""
    counter = Counter(
        "api_process_restarts",
        "Times a process of the server was started again: http, follower.",
        ("process",),
        registry=registry,
    )
    for kind in kinds:
        counter.labels(kind)
    return counter


class ParentMetrics:
    """What the parent of several processes counts."""

    def __init__(self, directory: Path) -> None:
        share_numbers(directory, "parent")
        self._directory = directory
        self._restarts = restarts("http", "follower")

    def ended(self, name: str, is_started_again: bool) -> None:
        """Take in that a process has ended: what it held, it holds no more."""
        mark_process_dead(name, str(self._directory))  # type: ignore[no-untyped-call]
        if is_started_again:
            self._restarts.labels(name.split("-", maxsplit=1)[0]).inc()
