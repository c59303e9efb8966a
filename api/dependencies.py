"""The parts of a running server: one object, from which routes take what they need."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.auth.token_store import TokenStore
from api.http.allowance import Budget
from api.ingest.append import Append
from api.ingest.events import Events
from api.ingest.intake import SHARE, Intake
from api.query.by_device import TotalsPipe
from api.query.quarantine import QuarantinePipe
from api.query.quarantine_log import QuarantineLog
from api.query.snapshot_answers import SnapshotAnswers
from api.query.streams.hub import Hub
from api.view.series_copy.snapshot import SeriesSnapshot

#: Forms of parameters: what only readers send, so it takes nothing that writers need.
FORMS_BYTES = 16 * 1024 * 1024
#: Questions of a series that wait, are made or are read.
QUESTIONS = 64
#: Of them made at a time, each by a thread and with up to 40 MB of sums.
QUESTION_MAKERS = 2


@dataclass(kw_only=True)
class Services(Intake):
    """All parts, those that writers use among them."""

    tokens: TokenStore
    quarantine: QuarantineLog
    #: Set when the server is asked to stop: from then on `/ready` is 503.
    is_draining: bool = False
    forms: Budget = field(init=False)
    answers: Budget = field(init=False)
    events: Events = field(init=False)
    append: Append = field(init=False)
    totals: TotalsPipe = field(init=False)
    series: SnapshotAnswers[SeriesSnapshot] = field(init=False)
    quarantine_pages: QuarantinePipe = field(init=False)
    streams: Hub = field(init=False)

    def __post_init__(self) -> None:
        """Make the budgets that the settings say, and what works within them."""
        super().__post_init__()
        settings, directory = self.settings, self.spool_directory
        self.forms = Budget(FORMS_BYTES, SHARE, "bytes of forms")
        self.answers = Budget(settings.max_answers_bytes, SHARE, "bytes of long answers")
        self.events = Events(self)
        self.append = Append(self)
        self.totals = TotalsPipe(directory, self.answers)
        self.series = SnapshotAnswers(
            directory,
            self.answers,
            what="questions of place and time",
            answers=QUESTIONS,
            makers=QUESTION_MAKERS,
            has_read_all=True,
        )
        self.streams = Hub(
            self.live,
            self.lag,
            self.tokens,
            self.metrics,
            settings.max_streams,
            should_stop=lambda: self.is_stopping,
        )
        page_bytes = settings.quarantine_answer_bytes
        self.quarantine_pages = QuarantinePipe(directory, self.answers, page_bytes)
