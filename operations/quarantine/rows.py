"""Reads the quarantine: rows of the live view version, and those refused on the way in.

Reads: all of `energy_consumption_quarantine`, committed records only, without a group, one row
after the other. Writes: nothing. Skips records that this program did not write.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from contract.errors import CorruptRecord
from contract.quarantine import VIEW_VERSION_HEADER, decode_quarantined
from contract.topics import QUARANTINE, READINGS
from kafka_io.cluster import Cluster
from kafka_io.log_reader import Record, read_to_end, read_views, reader
from producer.errors import TopicMissing
from producer.settings import ProducerSettings

#: How the value as a whole is called where a column is asked for.
WHOLE_VALUE = "value"


class QuarantinedRow(NamedTuple):
    """A quarantine record: where it is, Kafka's timestamp, and its columns."""

    partition: int
    offset: int
    timestamp_ms: int
    columns: dict[str, Any]
    #: Kafka's id of each topic, by its name.
    topic_ids: Mapping[str, str]

    @property
    def origin(self) -> str:
        """Name what was refused: the reading's own place, the same in each view version.

        A row refused on the way in has none: there it is the place of its quarantine record.
        """
        return "/".join(map(str, self._place))

    @property
    def mark(self) -> str:
        """Name it forever: in a topic that was deleted and made again, places come again."""
        topic, partition, offset = self._place
        return f"{self.topic_ids[topic]}/{partition}/{offset}"

    @property
    def _place(self) -> tuple[str, int, int]:
        if self.columns.get("__topic") == READINGS.name:
            return READINGS.name, self.columns["__partition"], self.columns["__offset"]
        return QUARANTINE.name, self.partition, self.offset

    @property
    def value(self) -> bytes | None:
        """Return the value as received, or as much of it as was kept."""
        text, encoded = self.columns.get("__value"), self.columns.get("__value_base64")
        if text is None:
            return None if encoded is None else b64decode(encoded)
        return str(text).encode()

    @property
    def is_cut(self) -> bool:
        """Return whether only the beginning of the value was kept."""
        return self.columns.get("__value_length") is not None

    @property
    def faults(self) -> list[tuple[str, str]]:
        """Return (column, reason) of each fault; the whole value is `value`."""
        pairs = zip(self.columns["c__error_column"], self.columns["c__error"], strict=True)
        return [(column or WHOLE_VALUE, reason) for column, reason in pairs]


@dataclass(frozen=True)
class Choice:
    """Which rows; what is None or empty leaves nothing out.

    `since` and `until` (not included) are compared with `insertion_date`, as it is written.
    """

    field: str | None = None
    reason: str | None = None
    device_id: str | None = None
    import_id: str | None = None
    since: str | None = None
    until: str | None = None
    origins: frozenset[str] = frozenset()

    def takes(self, row: QuarantinedRow) -> bool:
        """Return whether the row is one of those."""
        columns = row.columns
        inserted = columns["insertion_date"]
        return (
            (self.field is None or any(self.field == column for column, _ in row.faults))
            and (self.reason is None or any(self.reason in why for _, why in row.faults))
            and self.device_id in (None, columns["device_id"])
            and self.import_id in (None, columns["c__import_id"])
            and (self.since is None or inserted >= self.since)
            and (self.until is None or inserted < self.until)
            and (not self.origins or row.origin in self.origins)
        )


def read_rows(settings: ProducerSettings, choice: Choice) -> Iterator[QuarantinedRow]:
    """Yield the chosen rows in the order of each partition, up to the present end.

    Raises: TopicMissing, NotReadable.
    """
    cluster = Cluster(settings)
    cluster.brokers()
    topics = cluster.topics([QUARANTINE.name, READINGS.name])
    for name in (QUARANTINE.name, READINGS.name):
        if name not in topics:
            raise TopicMissing(name, settings.in_sight)
    ids = {name: topic.topic_id for name, topic in topics.items()}
    live = read_views(settings).live
    starts = dict.fromkeys(range(topics[QUARANTINE.name].partitions), 0)
    with reader(settings) as consumer:
        for record in read_to_end(consumer, QUARANTINE.name, starts):
            row = _row(record, b"%d" % (live or 0), ids)
            if row is not None and choice.takes(row):
                yield row


def _row(
    record: Record, live_version: bytes, topic_ids: Mapping[str, str]
) -> QuarantinedRow | None:
    for name, value in record.headers:
        if name == VIEW_VERSION_HEADER and value != live_version:
            return None
    try:
        columns = decode_quarantined(record.value)
        row = QuarantinedRow(
            record.partition, record.offset, record.timestamp_ms, columns, topic_ids
        )
        is_ours = {"device_id", "c__import_id", "insertion_date"} <= columns.keys()
        texts = [row.mark, columns.get("insertion_date"), *chain.from_iterable(row.faults)]
        return row if is_ours and all(isinstance(text, str) for text in texts) else None
    except (CorruptRecord, KeyError, TypeError, ValueError):
        return None
