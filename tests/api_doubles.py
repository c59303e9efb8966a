"""The HTTP server without Kafka: a view filled by hand, a publisher that follows a script.

`Caller` speaks ASGI as uvicorn does, so that a test decides about each byte of a request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI

from api.app import create_app
from api.auth.bounds import Bounds
from api.auth.token_store import TokenStore
from api.dependencies import Services
from api.errors import NotWritten
from api.home_directory import prepare_home
from api.ingest.idempotency import KeyedWrites
from api.ingest.publisher import Outcome
from api.query.quarantine_log import QuarantineLog
from api.settings import ApiSettings
from api.view.books import Books
from api.view.end_offsets import LagWatch
from api.view.series_view import SeriesView
from api.view.serving import Serving
from api.view.totals_view import TotalsView
from contract.changelog import MARKER_KEY, Marker, encode_marker
from contract.decimals import Number
from contract.device_totals import encode_total
from contract.settings import TOKENS_NAME
from kafka_io.batches.chunk import RecordChunk
from tests.quarantine_double import MemoryLog
from tests.records import HandmadeRecord
from tests.totals_double import FedView, running_view

Totals = Mapping[str, tuple[Number, int]]


def transaction(totals: Totals, applied_offset: int, **marker: Any) -> list[tuple[bytes, bytes]]:
    """Key and value of each record of a worker's transaction, the marker last."""
    records = [(device.encode(), encode_total(*total)) for device, total in totals.items()]
    return [*records, (MARKER_KEY, encode_marker(Marker(applied_offset, **marker)))]


def changelog_chunk(
    records: Iterable[tuple[bytes | None, bytes | None]], *, partition: int = 0, start: int = 0
) -> RecordChunk:
    """A chunk of the changelog, its records at offsets without a gap."""
    made = [HandmadeRecord(start + place, value, key) for place, (key, value) in enumerate(records)]
    return RecordChunk("changelog", partition, start, start + len(made), [made])


async def filled_view(*partitions: Totals, applied_offset: int = 9) -> FedView:
    """A running view; each partition has had one transaction, or none if it is empty."""
    view = await running_view(1, max(1, len(partitions)))
    for partition, totals in enumerate(partitions):
        if totals:
            records = transaction(totals, applied_offset, counted=len(totals))
            await view.apply(changelog_chunk(records, partition=partition))
    return view


async def unseen_configs(*_: object) -> dict[str, str]:
    """A changelog whose configs the cluster does not show: the test compacts it early."""
    return {}


class HandmadeLive(Serving):
    """Serves the view, and the series, that a test puts in its place."""

    def __init__(self, view: TotalsView | None, series: SeriesView | None = None) -> None:
        super().__init__()
        self.books: Books = Books(self)
        self.placed = view
        self.placed_series = series

    def series(self) -> SeriesView:
        if self.placed_series is None:
            return super().series()
        self.running()
        return self.placed_series

    @property
    def view(self) -> TotalsView | None:
        return self.placed

    async def run(self) -> None:
        """Nothing is followed."""

    def has_switched(self) -> None:
        """Nothing is let go."""


@dataclass
class ScriptedPublisher:
    """Keeps what is sent; `takes` rows are acknowledged, the next `unknown` are not known."""

    takes: int | None = None
    unknown: int = 0
    first_offset: int = 0
    is_away: bool = False
    problem: str | None = None
    rows: list[tuple[bytes, bytes]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    finished: int = 0

    def delivery(self) -> ScriptedDelivery:
        return ScriptedDelivery(self)

    async def connected(self) -> None:
        if self.is_away:
            raise NotWritten("Kafka does not answer")

    async def close(self, deadline_seconds: float) -> None:
        """Nothing is open."""

    def left(self) -> int | None:
        return None if self.takes is None else self.takes - len(self.rows) - len(self.refused)


class ScriptedDelivery:
    """The rows of one body."""

    def __init__(self, publisher: ScriptedPublisher) -> None:
        self._publisher = publisher
        self._successful = self._quarantined = self._failed = 0

    async def readings(self, keys: Sequence[bytes], values: Sequence[bytes]) -> bool:
        assert len(keys) == len(values)
        some = self._taken(len(values))
        self._publisher.rows += list(zip(keys[:some], values[:some], strict=True))
        self._successful += some
        await asyncio.sleep(0)
        return not self._failed

    async def quarantined(self, records: Sequence[bytes]) -> bool:
        some = self._taken(len(records))
        self._publisher.refused += [json.loads(record) for record in records[:some]]
        self._quarantined += some
        return not self._failed

    def _taken(self, count: int) -> int:
        left = self._publisher.left()
        some = count if left is None else min(count, left)
        self._failed += count - some
        return some

    async def finish(self) -> Outcome:
        self._publisher.finished += 1
        offsets = {0: self._publisher.first_offset + self._successful - 1}
        return Outcome(
            self._successful,
            self._quarantined,
            min(self._failed, self._publisher.unknown),
            offsets if self._successful else {},
        )


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes
    pieces: int

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        content = self.json()
        assert set(content) >= {"error", "documentation"}
        return str(content["error"])


def counts(answer: Answer) -> tuple[int, int, int]:
    """Status, successful rows, quarantined rows."""
    content = answer.json()
    return answer.status, content["successful_rows"], content["quarantined_rows"]


class Caller:
    """Sends requests to an app, as a server would; `publisher` is where its rows go."""

    def __init__(
        self, app: FastAPI, token: str | None, publisher: ScriptedPublisher | None = None
    ) -> None:
        self.app = app
        self.publisher = publisher or ScriptedPublisher()
        self.services: Services = app.state.services
        self.token = token

    def with_another_token(self) -> Caller:
        return Caller(self.app, self.services.tokens.create("other", ["ADMIN"]))

    async def get(self, target: str, **headers: str) -> Answer:
        return await self.request("GET", target, headers=headers)

    async def post(self, target: str, body: bytes | list[bytes], **headers: str) -> Answer:
        return await self.request("POST", target, headers=headers, body=body)

    async def events(self, body: bytes | list[bytes], query: str = "", **headers: str) -> Answer:
        return await self.post(f"/v0/events?name=energy_consumption{query}", body, **headers)

    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        raw_headers: Iterable[tuple[bytes, bytes]] | None = None,
        body: bytes | list[bytes] = b"",
        is_cut_off: bool = False,
        until: asyncio.Event | None = None,
        before_send: Callable[[], Awaitable[None]] | None = None,
    ) -> Answer:
        """Send a request; `body` as a list comes in pieces, with `is_cut_off` without its end.

        The end is sent once `until` is set. The client takes the next piece of the answer when
        `before_send` returns.
        """
        raw_path, _, query = target.encode("latin-1").partition(b"?")
        if raw_headers is None:
            named = {"host": "localhost"}
            if self.token is not None:
                named["authorization"] = f"Bearer {self.token}"
            named |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
            raw_headers = [(name.encode(), value.encode()) for name, value in named.items()]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(raw_path.decode("latin-1")),
            "raw_path": raw_path,
            "root_path": "",
            "query_string": query,
            "headers": list(raw_headers),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        pieces = [body] if isinstance(body, bytes) else list(body)
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
        ]
        if is_cut_off:
            messages.append({"type": "http.disconnect"})
        else:
            messages.append({"type": "http.request", "body": b"", "more_body": False})
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if len(messages) == 1 and until is not None:
                await until.wait()
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if before_send is not None:
                await before_send()
            sent.append(message)

        await self.app(scope, receive, send)
        if not sent:
            return Answer(0, {}, b"", 0)
        bodies = [message["body"] for message in sent[1:]]
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], answered, b"".join(bodies), len(bodies))


def caller_for(
    home: Path,
    view: TotalsView | None,
    publisher: ScriptedPublisher | None = None,
    *,
    scope: str = "ADMIN",
    end_offsets: Mapping[int, int] | None = None,
    quarantine: MemoryLog | None = None,
    keyed: KeyedWrites | None = None,
    bounds: Bounds | None = None,
    series: SeriesView | None = None,
    **overrides: Any,
) -> Caller:
    """A server with one token, reading from this view and writing to this publisher."""
    home = prepare_home(home / "home")
    token = TokenStore(home / TOKENS_NAME).create("test", [scope], None, bounds)
    lag = LagWatch({})
    if end_offsets is not None:
        lag.saw(end_offsets)
    publisher = publisher or ScriptedPublisher()
    app = create_app(
        ApiSettings(home=home, **overrides),
        HandmadeLive(view, series),
        publisher=publisher,
        lag=lag,
        keyed=keyed,
        quarantine=QuarantineLog({}, open_reader=(quarantine or MemoryLog({0: []})).open),
    )
    return Caller(app, token, publisher)
