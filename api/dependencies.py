"""What the handlers share: one object per server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from api.auth.allowance import Budget, Slices
from api.auth.token_store import TokenStore
from api.ingest.idempotency import KeyedWrites
from api.ingest.publisher import Publisher
from api.metrics import Metrics
from api.query.quarantine_log import QuarantineLog
from api.settings import ApiSettings
from api.view.end_offsets import LagWatch
from api.view.live_version import LiveView

#: A token's part of what all tokens share, unless a single body or file may be larger.
SHARE = 0.5
#: Files that are received or wait to be read; each is on disk, and costs no core meanwhile.
UPLOADS = 32
UPLOADS_SHARE = 0.25
#: Forms of parameters: what only readers send, so it takes nothing that writers need.
FORMS_BYTES = 16 * 1024 * 1024


@dataclass
class Services:
    """The parts of a running server; `publisher` is there once the server has started."""

    settings: ApiSettings
    tokens: TokenStore
    live: LiveView
    lag: LagWatch
    spool_directory: Path
    quarantine: QuarantineLog
    metrics: Metrics = field(default_factory=Metrics)
    publisher: Publisher | None = None
    keyed: KeyedWrites | None = None
    #: Set when the server is asked to stop: from then on `/ready` is 503.
    is_draining: bool = False
    #: Set when it stops, after API_DRAIN_SECONDS: who waits long gives up.
    is_stopping: bool = False
    #: What all tokens share, so that none can stop the others.
    bodies: Budget = field(init=False)
    forms: Budget = field(init=False)
    uploads: Budget = field(init=False)
    spool: Budget = field(init=False)
    answers: Budget = field(init=False)
    slices: Slices = field(default_factory=Slices)

    def __post_init__(self) -> None:
        """Make the budgets that the settings say."""
        bodies, spool = self.settings.max_bodies_bytes, self.settings.max_spool_bytes
        body, file = self.settings.max_inflated_bytes, self.settings.max_upload_bytes
        self.bodies = Budget(bodies, max(SHARE, body / bodies), "bytes of bodies")
        self.forms = Budget(FORMS_BYTES, SHARE, "bytes of forms")
        self.uploads = Budget(UPLOADS, UPLOADS_SHARE, "files")
        self.spool = Budget(spool, max(SHARE, file / spool), "bytes of files")
        self.answers = Budget(self.settings.max_answers_bytes, SHARE, "bytes of long answers")
