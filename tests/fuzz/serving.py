"""The HTTP server as a process of its own, over a view made by hand and a log that only counts.

`python -m tests.fuzz.serving HOME` prints one line of JSON, `{"port": ..., "token": ...}`, when
it serves, and ends on SIGTERM. Settings come from the environment, as for `energy api`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from api.app import create_app
from api.auth.token_store import ensure_admin_token
from api.home_directory import prepare_home
from api.ingest.idempotency import KeyedWrites
from api.ingest.publisher import Outcome
from api.listening import bind
from api.logging_setup import set_up_logging
from api.query.quarantine_log import QuarantineLog
from api.server import ApiServer
from api.settings import ApiSettings
from api.view.end_offsets import LagWatch
from tests.api_doubles import HandmadeLive, filled_view
from tests.imports_double import MemoryImports
from tests.quarantine_double import MemoryLog
from tests.series_double import MemorySeries, MemorySource, Sample

#: Listings have more than one piece.
DEVICES = int(os.environ.get("FUZZ_DEVICES", "2000"))
PARTITIONS = 2


class StandingEnds(LagWatch):
    """A log to which nothing is added, and whose ends are always known."""

    def end_offsets(self) -> dict[int, int]:
        return self._ends

    async def ends_from_now(self) -> dict[int, int]:
        return self._ends


class CountingPublisher:
    """Acknowledges every row and keeps none."""

    problem = None

    def delivery(self) -> CountingDelivery:
        return CountingDelivery()

    async def connected(self) -> None:
        """Always."""

    async def close(self, deadline_seconds: float) -> None:
        """Nothing is open."""


class CountingDelivery:
    """The rows of one body."""

    def __init__(self) -> None:
        self._readings = self._quarantined = 0

    async def readings(self, keys: Sequence[bytes], values: Sequence[bytes]) -> bool:
        assert len(keys) == len(values)
        self._readings += len(values)
        return True

    async def quarantined(self, records: Sequence[bytes]) -> bool:
        for record in records:
            json.loads(record)
        self._quarantined += len(records)
        return True

    async def finish(self) -> Outcome:
        # Offset 0 is applied already, so `wait=true` does not wait.
        return Outcome(self._readings, self._quarantined, 0, {0: 0} if self._readings else {})


async def _serve(home: Path) -> int:
    settings = ApiSettings.load({**os.environ, "ENERGY_HOME": str(home)})
    settings = settings.model_copy(update={"home": prepare_home(settings.home)})
    totals = {f"device_{n}": (n * 7 % 5_003, 1) for n in range(DEVICES)}
    view = await filled_view({"a": (5, 1), "a/b": (1, 1)}, totals)
    samples = [Sample(f"device_{n}", "Hall" * (n % 2), 900 * n, n) for n in range(50)]
    lag = StandingEnds({})
    lag.saw({0: 10, 1: 10})
    imports = MemoryImports()
    keyed = KeyedWrites(
        settings,
        settings.idempotency_keys,
        keys=imports.keys(),  # type: ignore[arg-type]
        writer_of=imports.writer,  # type: ignore[arg-type,return-value]
    )
    app = create_app(
        settings,
        HandmadeLive(view, MemorySource(MemorySeries(samples))),
        publisher=CountingPublisher(),
        lag=lag,
        quarantine=QuarantineLog({}, open_reader=MemoryLog({0: []}).open),
        keyed=keyed,
    )
    listener = bind(settings)
    server = ApiServer(app, listener)

    async def tell() -> None:
        port = listener.getsockname()[1]
        print(json.dumps({"port": port, "token": ensure_admin_token(settings.home)}), flush=True)

    return await server.run_until_stopped(tell())


if __name__ == "__main__":
    set_up_logging(debug=True)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_serve(Path(sys.argv[1]))))
