"""`/health`, `/ready` and `/metrics`: is it alive, may it be asked, what does it say of itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel
from starlette.responses import Response

from api.auth.scopes import READ_METRICS
from api.http.media_types import PROMETHEUS
from api.http.responses import JsonAnswer
from api.http.routing import Router
from api.query.readiness import Readiness, readiness, why_not
from api.routes.access import NO_PARAMETERS, Parts, needs
from api.routes.documented import EVERYWHERE, WITH_TOKEN, content

router = Router(tags=["Server"], responses=EVERYWHERE)


class Alive(BaseModel):
    """The process serves."""

    status: Literal["alive"]


@router.get(
    "/health",
    response_model=Alive,
    summary="Whether the process serves at all",
    response_description="It does",
)
async def alive() -> Response:
    """Answer as long as the process serves at all."""
    return JsonAnswer({"status": "alive"})


@router.get(
    "/ready",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Better not: see the reasons"}},
    summary="Whether it may be asked for totals",
    response_description="It may",
)
async def ready(services: Parts) -> Response:
    """Say whether reads should go elsewhere, and why."""
    view = services.live.view
    lag = None if view is None else services.lag.lag_records(view.applied_offsets())
    reasons = why_not(services.live, services.lag, services.settings.max_lag_records)
    if services.is_draining or services.is_stopping:
        reasons = ["the server is stopping"]
    elif not reasons and services.publisher is not None and services.publisher.problem:
        reasons = [services.publisher.problem]
    if reasons:
        return JsonAnswer(readiness(services.live, lag, reasons), 503, {"Retry-After": "1"})
    return JsonAnswer(readiness(services.live, lag, reasons))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: content(PROMETHEUS, {"type": "string"}), **WITH_TOKEN},
    dependencies=[needs(READ_METRICS), NO_PARAMETERS],
    summary="All metrics, for Prometheus",
    response_description="Prometheus' text format",
)
async def metrics(services: Parts) -> Response:
    """Answer with all metrics."""
    return Response(services.metrics.text(), media_type=PROMETHEUS)
