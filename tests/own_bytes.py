"""Writes one sample of each kind of bytes that leave the program, for those who compare them.

`python -m tests.own_bytes` prints one line of JSON for each kind. What differs between two
surroundings (zone, locale, level of optimization) stands in its line.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from api.query.formats.catalogue import FORMATS
from api.query.formats.writer import Summary
from api.query.totals import TOTALS, Row
from contract.decimals import nearest_float
from contract.decoding import decode_readings
from contract.device_totals import PartTotals, add_stored, fold
from contract.quarantine import ImportedRow, Origin, decode_quarantined, encode_quarantined
from producer.files.cells import Dialect
from producer.files.content import Content
from producer.files.reading import read_places
from producer.files.rows import Start
from producer.fleet.fleet import Fleet

AT = datetime(2025, 7, 30, 23, 59, 59, tzinfo=UTC)
CSV = 'timestamp,device_id,energy_consumed,location\n2025-07-01 00:00:00,ü,"1.5",Küche\n'
CSV += '2025-02-30 00:00:00,ü,"1,5",Küche\n'


def samples() -> Iterator[tuple[str, bytes]]:
    """Yield (kind, bytes)."""
    made = Fleet(devices=50, seed=1, readings=500, bad=0.1).take(1_000)
    yield "fleet", b"\n".join(value or b"" for value in made.values)
    readings, rejected = decode_readings(made.values)
    totals: PartTotals = {}
    fold(readings, totals)
    records = add_stored(((device.encode(), None) for device in totals), totals)
    yield "changelog", b"\n".join(key + value for key, value in records)
    for place, error in rejected:
        origin = Origin("energy_consumption", 0, place, 1_751_328_000_000, made.keys[place])
        yield "quarantine", encode_quarantined(made.values[place], error, origin, AT)
    rows = [Row(device, nearest_float(part[0])) for device, part in totals.items()]
    rows.append(Row("Küche 2", 1234567.5))
    for name, form in FORMATS.items():
        writer = form.writer(TOTALS)
        written = writer.head() + writer.rows(rows)
        yield name, written + writer.tail(Summary(len(rows), len(rows), len(rows), 1, 0.25))
    content = Content(io.BytesIO(CSV.encode()), "a.csv")
    source = ImportedRow("i", "Küche.csv")
    for place in read_places(content, "csv", Start(), Dialect(), source):
        batch = place.batch  # type: ignore[attr-defined]
        yield "file", b"\n".join(batch.values)
        for record in batch.quarantined:
            row = {**decode_quarantined(record), "insertion_date": None}
            yield "refused row", json.dumps(row).encode()


if __name__ == "__main__":
    for kind, sample in samples():
        sys.stdout.write(json.dumps({kind: sample.decode("latin-1")}) + "\n")
