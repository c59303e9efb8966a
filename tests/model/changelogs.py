"""What a simulated Kafka has of one view, and what the checks remember of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from contract.changelog import (
    BIRTH_KEY,
    MARKER_KEY,
    Birth,
    Marker,
    encode_birth,
    encode_marker,
)
from contract.view import View
from tests.model.coordinator import Coordinator
from tests.model.kafka_log import COMMITTED, SimLog, SimTransaction

if TYPE_CHECKING:
    from tests.model.committing import AppendRequest
    from tests.model.reader import SimReader

_BIRTH = Birth("cluster", "energy_consumption", "readings-id", "changelog-id", -1, "1")


class Changelogs:
    """The changelogs of a view, one for each partition, born; `place` is the view's."""

    reader: SimReader

    def __init__(self, view: View, place: int, partitions: int, coordinator: Coordinator) -> None:
        self.view = view
        self.place = place
        self.birth = msgspec.structs.replace(_BIRTH, changelog_topic_id=f"changelog-id-{place}")
        self.birth_bytes = encode_birth(msgspec.structs.replace(self.birth, start_offset=0))
        self.logs = [SimLog(view.name, p) for p in range(partitions)]
        #: Kafka refuses what it writes: its quarantine records or, where it has none, everything.
        self.refuses = False
        #: The newest producer that works on what it has read of a changelog, by its order.
        self.has_read: dict[int, int] = {}
        #: Who reads which just now, from its end on: what former owners append meanwhile.
        self.reading: dict[tuple[int, int], list[AppendRequest]] = {}
        #: Partitions with a former owner's batch in them that the log could not refuse: the
        #: order of the owner meanwhile, the batch's first offset, how many records.
        self.stale: dict[int, tuple[int, int, int]] = {}
        #: Changelogs that came back from a backup: stores may be ahead of them.
        self.were_set_back: set[int] = set()
        self.compacted_to = [0] * partitions
        #: The applied offsets that the changelogs had last.
        self.applied = [-1] * partitions
        #: The hours before which all is added up, as the changelogs said last.
        self.cutoffs = [0] * partitions
        for log in self.logs:
            self._bear(log, coordinator)

    def __getitem__(self, partition: int) -> SimLog:
        return self.logs[partition]

    def _bear(self, log: SimLog, coordinator: Coordinator) -> None:
        born = SimTransaction()
        name = self.transactional_id(log.partition)
        coordinator.init(name)
        if log.partition == 0:
            coordinator.use_up(name)
        writer = coordinator.identity(name)
        marker = encode_marker(Marker(applied_offset=-1, writer=writer))
        log.append([(BIRTH_KEY, self.birth_bytes), (MARKER_KEY, marker)], 0, born)
        born.end(COMMITTED)

    def transactional_id(self, partition: int) -> str:
        return self.view.transactional_id(1, partition)
