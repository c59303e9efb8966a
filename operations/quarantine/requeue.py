"""Publishes repaired rows of the quarantine into the readings topic, each origin once forever.

Reads: the quarantine, twice: once to show what would happen, once to do it. Writes: the readings,
and one position in `energy_imports` for each origin, in one transaction. Guarantees: an origin
that has a position is never published again, whoever is killed, or runs beside it. Never touches
the quarantine: its rows stay, and are marked as requeued where they are listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from contract.errors import InvalidReading, echo
from contract.import_positions import import_prefix
from operations.progress import OnProgress
from operations.quarantine.repair import Repaired, repair
from operations.quarantine.rows import WHOLE_VALUE, Choice, QuarantinedRow, read_rows
from producer.imports.importer import Advance, Importer
from producer.imports.position_log import PositionLog
from producer.judging import BATCH_BYTES, Batch
from producer.settings import ProducerSettings

KIND, IMPORT_ID = "requeue", "origins"
#: Each row is two records of its transaction: the reading, and the position of its origin.
ROWS_AT_ONCE = 2_500
EXAMPLES = 5
#: Beyond these, reasons are counted together: a reason may hold the place of a byte.
_REASONS = 100


class Example(NamedTuple):
    """One row, and what becomes of it: the value to publish, or the faults that are left."""

    origin: str
    received: str
    result: str


@dataclass
class Preview:
    """What a requeue would do; `next_offsets` is how far the quarantine was read."""

    matching: int = 0
    valid: int = 0
    already: int = 0
    invalid: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    failing: list[Example] = field(default_factory=list)
    next_offsets: dict[int, int] = field(default_factory=dict)


def requeued_marks(settings: ProducerSettings) -> set[str]:
    """Return the marks of the rows that have been published. Raises: ProducerError."""
    prefix = import_prefix(KIND, IMPORT_ID)
    with PositionLog(settings, prefix) as log:
        return {key[len(prefix) :].decode() for key in log.read()}


def preview(
    settings: ProducerSettings,
    choice: Choice,
    changes: Mapping[str, msgspec.Raw],
    on_progress: OnProgress,
) -> Preview:
    """Show what a requeue would do; writes nothing. Raises: ProducerError, OperationError."""
    found = Preview()
    done = requeued_marks(settings)
    for row in read_rows(settings, choice):
        found.matching += 1
        found.next_offsets[row.partition] = row.offset + 1
        on_progress(found.matching, None)
        if row.mark in done:
            found.already += 1
            continue
        result = repair(row, changes)
        if isinstance(result, Repaired):
            found.valid += 1
            _add_example(found.examples, row, result.value)
        else:
            found.invalid += 1
            _count_reasons(found.reasons, result)
            _add_example(found.failing, row, str(result).encode())
    return found


def requeue(
    settings: ProducerSettings,
    choice: Choice,
    changes: Mapping[str, msgspec.Raw],
    seen: Preview,
    on_progress: OnProgress,
) -> int:
    """Publish what the preview has shown, and nothing newer; returns how many readings.

    Raises: ProducerError, OperationError; what is committed by then stays, the next run continues.
    """
    with Importer(settings, KIND, IMPORT_ID) as importer:
        # Read behind the fence: nobody else can add to them any more.
        done = set(importer.positions)
        before = len(done)
        for rows in _portions(_wanted(settings, choice, changes, seen, done)):
            batch = Batch([each.key for each in rows.values()], [r.value for r in rows.values()])
            importer.write_all(batch, dict.fromkeys(rows, Advance(1, 1)))
            done.update(rows)
            on_progress(len(done) - before, seen.valid)
        return len(done) - before


def _wanted(
    settings: ProducerSettings,
    choice: Choice,
    changes: Mapping[str, msgspec.Raw],
    seen: Preview,
    done: Collection[str],
) -> Iterator[tuple[str, Repaired]]:
    for row in read_rows(settings, choice):
        is_seen = row.offset < seen.next_offsets.get(row.partition, 0)
        if is_seen and row.mark not in done:
            result = repair(row, changes)
            if isinstance(result, Repaired):
                yield row.mark, result


def _portions(wanted: Iterator[tuple[str, Repaired]]) -> Iterator[dict[str, Repaired]]:
    """Yield what goes into one transaction, by its mark."""
    rows: dict[str, Repaired] = {}
    size = 0
    for mark, mended in wanted:
        rows[mark] = mended
        size += len(mended.value)
        if len(rows) >= ROWS_AT_ONCE or size >= BATCH_BYTES:
            yield rows
            rows, size = {}, 0
    if rows:
        yield rows


def _add_example(examples: list[Example], row: QuarantinedRow, result: bytes) -> None:
    if len(examples) < EXAMPLES:
        received = (row.value or b"").decode(errors="backslashreplace")
        examples.append(Example(row.origin, received, result.decode()))


def _count_reasons(reasons: Counter[str], error: InvalidReading) -> None:
    for column, reason in error.faults:
        text = f"{column or WHOLE_VALUE}: {echo(reason)[1:-1]}"
        reasons[text if text in reasons or len(reasons) < _REASONS else "other"] += 1
