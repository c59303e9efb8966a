"""What a worker's user must be allowed to do; deploy/kafka/acls.md has it for people."""

from __future__ import annotations

from collections.abc import Iterable

from contract.topics import QUARANTINE, READINGS, VIEWS, app_id
from kafka_io.rights import Right, read, write


def rights_needed(view_version: int, changelogs: Iterable[str]) -> list[Right]:
    """Return what a worker must be allowed to do, beside what a first use of its ids tells."""
    needed = [*of_every_version(), Right("READ", "group", app_id(view_version))]
    return needed + [right for name in changelogs for right in (read(name), write(name))]


def of_every_version() -> list[Right]:
    """Return what it must be allowed to do before it knows which view version is live."""
    return [read(READINGS.name), read(VIEWS.name), write(QUARANTINE.name)]
