"""The HTTP server put together: routes, the table error -> status, what runs beside them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from api.auth.rate_limit import RateLimit
from api.auth.token_store import TokenStore
from api.dependencies import Services
from api.errors import (
    ApiError,
    BadRequest,
    BodyTooLarge,
    Forbidden,
    KeyReused,
    MethodNotAllowed,
    NotFound,
    PartlyWritten,
    RequestTimeout,
    TooLongTarget,
    TooManyHeaders,
    TooManyRequests,
    Unavailable,
)
from api.home_directory import spool_directory
from api.http.cors import Cors
from api.http.middleware import Front
from api.http.routing import PlainRoute, Route
from api.ingest.datasources import Datasources
from api.ingest.events import Events
from api.ingest.idempotency import KeyedWrites
from api.ingest.kafka_publisher import KafkaPublisher
from api.ingest.publisher import Publisher
from api.openapi.routes import Documentation
from api.query.by_device import TotalsPipe
from api.query.device import Devices
from api.query.health import Health
from api.query.quarantine import Quarantine
from api.query.quarantine_log import QuarantineLog
from api.settings import ApiSettings
from api.view.end_offsets import LagWatch
from api.view.live_version import LiveView
from producer.client.reading_producer import ReadingProducer

#: Every failure a client can meet, and its status; a subclass not listed has its parent's.
STATUS: dict[type[ApiError], int] = {
    BadRequest: 400,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    RequestTimeout: 408,
    BodyTooLarge: 413,
    TooLongTarget: 414,
    KeyReused: 422,
    TooManyRequests: 429,
    TooManyHeaders: 431,
    Unavailable: 503,
    PartlyWritten: 504,
}

#: Its spans would have the query of each request, and with it a token, in clear.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}

#: How long a thread that reads a file may keep Python from the event loop (5 ms otherwise).
SWITCH_SECONDS = 0.001
#: For what is under way to Kafka when the server stops, and again for the readers.
STOP_SECONDS = 1.0


class _App(FastAPI):
    """FastAPI with only our front before its routes.

    What it puts there by itself (error pages, telemetry, limits of bodies, exit stacks) our front
    and our routes do themselves or have no use for, and a request pays for each.
    """

    front: Front

    def build_middleware_stack(self) -> ASGIApp:
        """Return what a request goes through."""
        return self.front


def create_app(
    settings: ApiSettings,
    *,
    publisher: Publisher | None = None,
    live: LiveView | None = None,
    lag: LagWatch | None = None,
    quarantine: QuarantineLog | None = None,
    keyed: KeyedWrites | None = None,
) -> FastAPI:
    """Build the server; nothing is read, connected or started before its lifespan begins.

    Tests hand in their doubles; what is handed in is neither run nor closed here.
    """
    connection = settings.for_aiokafka()
    services = Services(
        settings,
        TokenStore(settings.tokens_path(settings.home)),
        live or LiveView(connection),
        lag or LagWatch(connection),
        settings.spool_dir or spool_directory(settings.home),
        quarantine or QuarantineLog(connection),
        publisher=publisher,
        keyed=keyed,
    )
    budgets = (services.bodies, services.spool, services.answers)
    services.metrics.watch(services.live, services.lag, budgets)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(SWITCH_SECONDS)
        beside = []
        if live is None:
            beside.append(asyncio.create_task(services.live.run()))
        if lag is None:
            beside.append(asyncio.create_task(services.lag.run()))
        if publisher is None:
            services.publisher = KafkaPublisher(
                ReadingProducer(
                    settings,
                    on_given_up=services.metrics.producers_replaced.inc,
                    on_not_renewed=services.metrics.producers_not_made.inc,
                )
            )
        if keyed is None and publisher is None:
            services.keyed = KeyedWrites(
                settings,
                settings.idempotency_keys,
                should_stop=lambda: services.is_stopping,
                on_unreadable=services.metrics.unreadable_notes.inc,
            )
        try:
            yield
        finally:
            services.is_stopping = True
            for task in beside:
                task.cancel()
            if publisher is None and services.publisher is not None:
                await services.publisher.close(STOP_SECONDS)
            if keyed is None and services.keyed is not None:
                await services.keyed.close(STOP_SECONDS)
            if beside:
                await asyncio.wait(beside, timeout=STOP_SECONDS)

    app = _App(
        title="Energy totals",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    app.state.services = services
    app.router.routes += [PlainRoute(route) for route in _routes(services)]
    per_second = settings.rate_limit_per_second
    app.front = Front(
        app.router,
        statuses=STATUS,
        metrics=services.metrics,
        cors=Cors(settings.cors_origins),
        rates=RateLimit(per_second, services.tokens) if per_second else None,
    )
    return app


def _routes(services: Services) -> Iterator[Route]:
    """All there is to ask for; each part of the server says what it does.

    A request is held against one path after the other: what is asked most comes first.
    """
    for part in (Devices, Events, TotalsPipe, Quarantine, Datasources, Documentation, Health):
        yield from part(services).routes()
