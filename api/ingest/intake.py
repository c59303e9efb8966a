"""What all routes that take rows share: the publisher, and budgets for what is received."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from api.http.allowance import Budget, Slices
from api.ingest.idempotency import KeyedWrites
from api.ingest.publisher import Publisher
from api.metrics import Metrics
from api.settings import ApiSettings
from api.view.end_offsets import LagWatch
from api.view.serving import Serving

#: A token's part of what all tokens share, unless a single body or file may be larger.
SHARE = 0.5
#: Files that are received or wait to be read; each is on disk, and costs no core meanwhile.
UPLOADS = 32
UPLOADS_SHARE = 0.25


@dataclass(kw_only=True)
class Intake:
    """The parts of a running server that writers use; `publisher` is there once it has started."""

    settings: ApiSettings
    live: Serving
    lag: LagWatch
    spool_directory: Path
    metrics: Metrics = field(default_factory=Metrics)
    publisher: Publisher | None = None
    keyed: KeyedWrites | None = None
    #: Set when the server stops, after API_DRAIN_SECONDS: long waits end then.
    is_stopping: bool = False
    #: What all tokens share, so that none can stop the others.
    bodies: Budget = field(init=False)
    uploads: Budget = field(init=False)
    spool: Budget = field(init=False)
    slices: Slices = field(default_factory=Slices)

    def __post_init__(self) -> None:
        bodies, spool = self.settings.max_bodies_bytes, self.settings.max_spool_bytes
        body, file = self.settings.max_inflated_bytes, self.settings.max_upload_bytes
        self.bodies = Budget(bodies, max(SHARE, body / bodies), "bytes of bodies")
        self.uploads = Budget(UPLOADS, UPLOADS_SHARE, "files")
        self.spool = Budget(spool, max(SHARE, file / spool), "bytes of files")
