"""Whether the server may be asked for totals, and why not."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from api.view.end_offsets import LagWatch
from api.view.followed_view import ViewState
from api.view.serving import Serving


class Readiness(BaseModel):
    """Whether the server may be asked for totals."""

    status: Literal["ready", "not ready"]
    reasons: list[str]
    view: ViewState
    view_version: int | None
    lag_records: int | None
    freshness_seconds: float | None
    #: Of places and time; null where the view version has none. It may be loaded, or have a
    #: problem, while totals are served: it is no reason not to be ready.
    series: ViewState | None
    series_problem: str | None


def readiness(live: Serving, lag: int | None, reasons: list[str]) -> dict[str, Any]:
    """Return the fields of a Readiness."""
    view, series = live.view, live.series_view
    freshness = view.freshness_seconds() if view is not None else None
    return {
        "status": "not ready" if reasons else "ready",
        "reasons": reasons,
        "view": (view.state if view else ViewState.INITIALIZING).value,
        "view_version": view.view_version if view else None,
        "lag_records": lag,
        "freshness_seconds": None if freshness is None else round(freshness, 3),
        "series": None if series is None else series.state.value,
        "series_problem": None if series is None else series.problem,
    }


def why_not(live: Serving, lag: LagWatch, most: int | None) -> list[str]:
    """Return why totals cannot be asked for, nothing if they can; `most` records of lag."""
    view = live.view
    if view is None:
        return [live.problem or "the live view version is not known yet"]
    if view.state is not ViewState.RUNNING:
        return [view.problem or f"the totals are still being loaded ({view.state.value})"]
    if most is None:
        return []
    if lag.is_silent:
        return ["the lag is unknown: Kafka does not answer"]
    records = lag.lag_records(view.applied_offsets())
    if records is not None and records > most:
        return [f"the lag of {records} records is over API_MAX_LAG_RECORDS ({most})"]
    return []
