"""`/health`, `/ready` and `/metrics`: is it alive, may it be asked, what does it say of itself."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.auth.authorization import READ_METRICS, require
from api.dependencies import Services
from api.http.media_types import PROMETHEUS
from api.http.query_parameters import check_names, parse_query
from api.http.responses import JsonAnswer
from api.http.routing import Route
from api.openapi.operation import NO_TOKEN, STRING, Operation, answer, record
from api.view.version_view import ViewState

_READINESS = record(
    {
        "status": {"type": "string", "enum": ["ready", "not ready"]},
        "reasons": {"type": "array", "items": STRING},
        "view": {"type": "string", "enum": [state.value for state in ViewState]},
        "view_version": {"type": ["integer", "null"]},
        "lag_records": {"type": ["integer", "null"]},
        "freshness_seconds": {"type": ["number", "null"]},
    }
)
ALIVE = Operation(
    "Whether the process serves at all",
    NO_TOKEN,
    {200: answer("It does", record({"status": {"const": "alive"}}))},
)
READY = Operation(
    "Whether it may be asked for totals",
    NO_TOKEN,
    {200: answer("It may", _READINESS), 503: answer("Better not: see the reasons", _READINESS)},
)
METRICS = Operation(
    "All metrics, for Prometheus",
    READ_METRICS,
    {200: answer("Prometheus' text format", STRING, PROMETHEUS)},
)


class Health:
    """Answers for the server itself."""

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services

    def routes(self) -> list[Route]:
        """Return what it answers."""
        return [
            Route("/health", self.alive, {"GET": ALIVE}),
            Route("/ready", self.ready, {"GET": READY}),
            Route("/metrics", self.metrics, {"GET": METRICS}),
        ]

    async def alive(self, request: Request) -> Response:
        """Answer 200 as long as the process serves at all."""
        return JsonAnswer({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Answer 200, or 503 with the reasons why reads should go elsewhere."""
        services = self._services
        view = services.live.view
        lag = None if view is None else services.lag.lag_records(view.applied_offsets())
        freshness = view.freshness_seconds() if view is not None else None
        reasons = self.reasons(lag)
        return JsonAnswer(
            {
                "status": "not ready" if reasons else "ready",
                "reasons": reasons,
                "view": (view.state if view else ViewState.INITIALIZING).value,
                "view_version": view.view_version if view else None,
                "lag_records": lag,
                "freshness_seconds": None if freshness is None else round(freshness, 3),
            },
            503 if reasons else 200,
            {"Retry-After": "1"} if reasons else None,
        )

    def reasons(self, lag: int | None) -> list[str]:
        """Return why the server is not ready, nothing if it is."""
        services = self._services
        if services.is_draining or services.is_stopping:
            return ["the server is stopping"]
        view, most = services.live.view, services.settings.max_lag_records
        if view is None:
            return [services.live.problem or "the live view version is not known yet"]
        if view.state is not ViewState.RUNNING:
            return [view.problem or f"the view is {view.state.value}"]
        if most is not None and services.lag.is_silent:
            return ["the lag is unknown: Kafka does not answer"]
        if most is not None and lag is not None and lag > most:
            return [f"the lag of {lag} records is over API_MAX_LAG_RECORDS ({most})"]
        if services.publisher is not None and (problem := services.publisher.problem):
            return [problem]
        return []

    async def metrics(self, request: Request) -> Response:
        """Answer with all metrics, for Prometheus. Raises: ApiError."""
        parameters = parse_query(request.scope["query_string"])
        headers = request.scope["headers"]
        require(self._services.tokens, headers, parameters.get("token"), READ_METRICS)
        check_names(parameters, ())
        return Response(self._services.metrics.text(), media_type=PROMETHEUS)
