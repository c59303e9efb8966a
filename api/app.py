"""The HTTP server put together: routers, error handlers, middleware, what runs beside them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from itertools import chain
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.telemetry import TelemetryConfig

from api.auth.rate_limit import RateLimit
from api.auth.token_store import TokenStore
from api.dependencies import Services
from api.home_directory import spool_directory
from api.http import error_handlers
from api.http.cors import Cors
from api.ingest.idempotency import KeyedWrites
from api.ingest.kafka_publisher import KafkaPublisher
from api.ingest.publisher import Publisher
from api.metrics import Metrics
from api.middleware import Front
from api.query.quarantine_log import QuarantineLog
from api.routes import (
    datasources,
    devices,
    documentation,
    events,
    health,
    pipes,
    places_and_time,
    streams,
    ui,
)
from api.settings import ApiSettings
from api.view.end_offsets import LagWatch
from api.view.serving import Serving
from contract.topics import READINGS
from kafka_io.lag_seconds import LagSeconds
from producer.client.reading_producer import ReadingProducer

#: Its spans would have the query of each request, and with it a token, in clear.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}

_TITLE, _VERSION = "Energy totals", "0"
_DESCRIPTION = (
    "Readings in, exact totals by device out. A token goes into the header "
    "`Authorization: Bearer TOKEN`, or into the parameter `token`."
)

#: A request is held against one route after the other: what is asked most comes first.
ROUTERS = (
    devices.router,
    events.router,
    pipes.listings,
    pipes.router,
    places_and_time.router,
    streams.router,
    datasources.router,
    documentation.router,
    health.router,
    ui.router,
)
#: How long a thread that reads a file may keep Python from the event loop (5 ms otherwise).
SWITCH_SECONDS = 0.001
#: For what is under way to Kafka when the server stops, and again for the readers.
STOP_SECONDS = 1.0


@cache
def _document() -> dict[str, Any]:
    """Describe all routes: the same in each app, and a quarter of a second to make."""
    whole = get_openapi(
        title=_TITLE,
        version=_VERSION,
        description=_DESCRIPTION,
        routes=[route for router in ROUTERS for route in router.routes],
    )
    # What it does not take is 400 here, and not FastAPI's 422.
    for operation in chain(*(methods.values() for methods in whole["paths"].values())):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        whole["components"]["schemas"].pop(name, None)
    return whole


class _Api(FastAPI):
    """The app, with our document."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, for nobody to change; made once for the process."""
        return _document()


def create_app(
    settings: ApiSettings,
    live: Serving,
    *,
    metrics: Metrics | None = None,
    publisher: Publisher | None = None,
    lag: LagWatch | None = None,
    quarantine: QuarantineLog | None = None,
    keyed: KeyedWrites | None = None,
) -> FastAPI:
    """Build the server; nothing is read, connected or started before its lifespan begins.

    `live` is run with it. Tests hand in doubles of the others, which are neither run nor closed.
    """
    connection = settings.for_aiokafka()
    services = Services(
        settings=settings,
        tokens=TokenStore(settings.tokens_path(settings.home)),
        live=live,
        lag=lag or LagWatch(connection),
        spool_directory=settings.spool_dir or spool_directory(settings.home),
        quarantine=quarantine or QuarantineLog(connection),
        metrics=metrics or Metrics(),
        publisher=publisher,
        keyed=keyed,
    )
    budgets = (services.bodies, services.spool, services.answers)
    waiting = LagSeconds(
        connection, READINGS.name, live.applied_offsets, client_id="energy-api-waiting"
    )
    services.metrics.watch(live, services.lag, waiting, budgets)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(SWITCH_SECONDS)
        beside = [asyncio.create_task(live.run())]
        if lag is None:
            beside.append(asyncio.create_task(services.lag.run()))
            beside.append(asyncio.create_task(waiting.run()))
        if metrics is not None:
            beside.append(asyncio.create_task(metrics.keep_noted()))
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
            await asyncio.wait(beside, timeout=STOP_SECONDS)

    app = _Api(
        title=_TITLE,
        version=_VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        # Both need a token: routes/documentation.py.
        openapi_url=None,
        docs_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    app.state.services = services
    for router in ROUTERS:
        # Not with include_router: FastAPI then makes each route again for each app (3 ms), and
        # holds a request against each twice.
        app.router.routes += router.routes
    error_handlers.register(app)
    per_second = settings.rate_limit_per_second
    app.add_middleware(
        Front,
        metrics=services.metrics,
        cors=Cors(settings.cors_origins),
        rates=RateLimit(per_second, services.tokens) if per_second else None,
    )
    return app
