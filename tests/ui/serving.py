"""The HTTP server as a process, with a fleet in memory: what is written is read at once.

`python -m tests.ui.serving HOME PORT EVENTS` prints the admin token when it serves, and ends on
SIGTERM. The readings of the file EVENTS are there from the start. Every route is the real one;
only Kafka and the worker are left out.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from api.app import create_app
from api.auth.token_store import ensure_admin_token
from api.home_directory import prepare_home
from api.ingest.publisher import Outcome
from api.listening import bind
from api.logging_setup import set_up_logging
from api.query.quarantine_log import QuarantineLog
from api.server import ApiServer
from api.settings import ApiSettings
from api.view.end_offsets import LagWatch
from api.view.series_view import SeriesView
from api.view.totals_view import TotalsView
from contract.changelog import MARKER_KEY, Marker, encode_marker
from contract.decoding import Reading, decode_readings
from contract.device_totals import PartTotals, add_stored, fold, keys_of
from tests.api_doubles import HandmadeLive, changelog_chunk, filled_view
from tests.quarantine_double import MemoryLog, quarantine_record
from tests.series_double import MemorySeries, MemorySource, Sample


class Ends(LagWatch):
    """A log that ends where the fleet has read to."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__({})
        self._fleet = fleet

    def end_offsets(self) -> dict[int, int]:
        return {0: self._fleet.offset + 1}

    async def ends_from_now(self) -> dict[int, int]:
        return self.end_offsets()

    def lag_records(self, applied_offsets: Sequence[int]) -> int:
        return sum(self.end_offsets().values()) - sum(applied_offsets) - len(applied_offsets)


class Fleet:
    """Readings, added up as they come: the worker's part and the follower's in one."""

    problem = None

    def __init__(self, view: TotalsView) -> None:
        self.view = view
        self.series = MemorySeries(applied_offsets=[-1])
        self.quarantine = MemoryLog({0: []})
        self.offset = -1
        self._rows: dict[bytes, bytes | None] = {}
        self._changelog_offset = 0

    def delivery(self) -> Delivery:
        return Delivery(self)

    async def connected(self) -> None:
        """Always."""

    async def close(self, deadline_seconds: float) -> None:
        """Nothing is open."""

    async def add(self, values: Sequence[bytes]) -> None:
        """Count readings."""
        readings, rejected = decode_readings(values)
        assert not rejected
        await self.add_to_totals(readings)
        await self.add_to_series(readings)

    async def add_to_totals(self, readings: Sequence[Reading]) -> None:
        """Count readings in the totals."""
        deltas: PartTotals = {}
        fold(readings, deltas)
        rows = add_stored([(key, self._rows.get(key)) for key in keys_of(deltas)], deltas)
        self._rows.update(rows)
        self.offset += len(readings)
        marker = Marker(self.offset, counted=self.offset + 1, newest_ms=int(time.time() * 1000))
        records = [*rows, (MARKER_KEY, encode_marker(marker))]
        await self.view.apply(changelog_chunk(records, start=self._changelog_offset))
        self._changelog_offset += len(records)

    async def add_to_series(self, readings: Sequence[Reading]) -> None:
        """Count readings by place and time."""
        for each in readings:
            at = datetime.fromisoformat(each.timestamp)
            second = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
            sample = Sample(each.device_id, each.location, second, each.energy_consumed)
            self.series.samples.append(sample)
        self.series.applied_offsets = [self.offset]

    def refuse(self, records: Sequence[bytes]) -> None:
        """Put records into the quarantine."""
        log = self.quarantine._partitions[0]
        log += [quarantine_record(len(log) + n, 1, value=each) for n, each in enumerate(records)]
        self.quarantine._ends = {0: len(log)}


class Delivery:
    """The rows of one body."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._readings = self._refused = 0

    async def readings(self, keys: Sequence[bytes], values: Sequence[bytes]) -> bool:
        await self._fleet.add(values)
        self._readings += len(values)
        return True

    async def quarantined(self, records: Sequence[bytes]) -> bool:
        self._fleet.refuse(records)
        self._refused += len(records)
        return True

    async def finish(self) -> Outcome:
        offsets = {0: self._fleet.offset} if self._readings else {}
        return Outcome(self._readings, self._refused, 0, offsets)


async def serve(settings: ApiSettings, fleet: Fleet, series: SeriesView) -> int:
    """Print the token, and serve a fleet until told to end; returns the exit code."""
    app = create_app(
        settings,
        HandmadeLive(fleet.view, series),
        publisher=fleet,
        lag=Ends(fleet),
        quarantine=QuarantineLog({}, open_reader=fleet.quarantine.open),
    )
    server = ApiServer(app, bind(settings))

    async def tell() -> None:
        print(ensure_admin_token(settings.home), flush=True)

    return await server.run_until_stopped(tell())


def settings_of(home: Path, port: str) -> ApiSettings:
    """Settings of a server on a home and a port."""
    settings = ApiSettings.load({"ENERGY_HOME": str(home), "API_PORT": port})
    return settings.model_copy(update={"home": prepare_home(settings.home)})


def run(serving: Coroutine[Any, Any, int]) -> int:
    """Serve as the API does; returns the exit code."""
    set_up_logging(debug=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serving)


async def _serve(home: Path, port: str, values: Sequence[bytes]) -> int:
    fleet = Fleet(await filled_view({}))
    await fleet.add(values)
    return await serve(settings_of(home, port), fleet, MemorySource(fleet.series))  # type: ignore[arg-type]


if __name__ == "__main__":
    _, home, port, events = sys.argv
    sys.exit(run(_serve(Path(home), port, Path(events).read_bytes().splitlines())))
