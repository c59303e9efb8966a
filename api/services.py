"""What the handlers share: one object per server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from api.bodies import BodyBudget
from api.idempotency import KeyedWrites
from api.lag import LagWatch
from api.live import LiveView
from api.metrics import Metrics
from api.publishing import Publisher
from api.quarantine_log import QuarantineLog
from api.settings import ApiSettings
from api.tokens import TokenStore


@dataclass
class Services:
    """The parts of a running server; `publisher` is there once the server has started."""

    settings: ApiSettings
    tokens: TokenStore
    live: LiveView
    lag: LagWatch
    bodies: BodyBudget
    spool_directory: Path
    quarantine: QuarantineLog
    metrics: Metrics = field(default_factory=Metrics)
    publisher: Publisher | None = None
    keyed: KeyedWrites | None = None
    #: Set when the server is asked to stop: who waits long gives up.
    is_stopping: bool = False
