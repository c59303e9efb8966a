"""Builds the Faust app of one worker from its settings and what it found in the cluster."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable

from faust import SASLCredentials, SSLCredentials
from faust.auth import OAuthCredentials
from faust.types.auth import SASLMechanism

from contract.topics import READINGS, app_id
from contract.view import View
from kafka_io.batches.reader import ChunkReader
from kafka_io.cluster import Cluster
from kafka_io.lag_seconds import LagSeconds
from stream_app import metrics
from stream_app.agent import fold_readings
from stream_app.changelog.lineage import Lineage
from stream_app.changelog.recovery import ChangelogRecovery
from stream_app.changelog.writer import TransactionWriter
from stream_app.checks.preflight import Basis
from stream_app.checks.progress_watchdog import end_when_stuck
from stream_app.checks.version_watcher import Watch, confirm, watch
from stream_app.errors import Refusal, WorkerError
from stream_app.faust_adapter.app import ChunkApp, ChunkSchema
from stream_app.faust_adapter.assignor import KnownTopicsAssignor
from stream_app.faust_adapter.table import ViewTable
from stream_app.ownership.all_views import AllViews
from stream_app.ownership.assignment import Ownership
from stream_app.ownership.processor import PartitionProcessor
from stream_app.ownership.set_aside import leave_if_alone
from stream_app.partition.commit_policy import Backlog
from stream_app.process.member import client_id
from stream_app.process.rate_limiter import Pace
from stream_app.settings import WorkerSettings

log = logging.getLogger(__name__)

#: Chunks that wait between Faust's fetcher and the agent: each can be megabytes.
BUFFERED_CHUNKS = 8
#: How long the group waits for a member; its answer to one that joins takes as long, and a broker
#: that hangs is given up after a little more.
REBALANCE_SECONDS = 20.0


def create_app(settings: WorkerSettings, basis: Basis) -> ChunkApp:
    """Return the app; nothing is connected yet."""
    app = ChunkApp(
        app_id(basis.view_version),
        broker=[f"kafka://{server}" for server in settings.first_servers],
        broker_credentials=_credentials(settings),
        broker_client_id=client_id(os.getpid()),
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=min(1.0, settings.session_timeout_seconds / 3),
        broker_rebalance_timeout=REBALANCE_SECONDS,
        broker_request_timeout=max(REBALANCE_SECONDS, settings.session_timeout_seconds) + 5.0,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=settings.fetch_bytes,
        store="rocksdb://",
        datadir=str(settings.view_directory(basis.view_version)),
        stream_buffer_maxsize=BUFFERED_CHUNKS,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        table_standby_replicas=0,
        topic_partitions=basis.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
        PartitionAssignor=KnownTopicsAssignor,
        Table=ViewTable,
        version=1,
    )
    app.settings = settings
    app.warnings = list(basis.warnings)
    app.single_batches = basis.single_batches
    app.source_topic = READINGS.name
    cluster = Cluster(settings)
    lineage = _lineage(settings)
    app.recoveries = []

    def leave(reason: WorkerError) -> None:
        level = logging.ERROR if isinstance(reason, Refusal) else logging.INFO
        log.log(level, "%s (exit %d)", reason, reason.exit_code)
        if app.left_with is None:
            app.left_with = reason.exit_code
            os.kill(os.getpid(), signal.SIGTERM)

    def nothing_left(reason: Refusal) -> None:
        def is_so() -> bool:
            return app.ownership.refuses_all()

        def members() -> list[str]:
            return cluster.members(app_id(basis.view_version))

        app.add_future(leave_if_alone(is_so, members, lambda: leave(reason)))

    backlog = Backlog(settings.target_readings, settings.transaction_timeout_seconds)
    owned = {}
    for view in basis.views:
        recovery = _recovery(app, view, basis, lineage)
        owned[view] = _ownership(
            view, settings, basis, cluster, recovery, lineage, backlog, nothing_left
        )
    app.ownership = AllViews(owned)
    readings = app.topic(READINGS.name, schema=ChunkSchema(), partitions=basis.partitions)
    app.agent(readings, name="fold_readings")(fold_readings(app.ownership, Pace(settings.max_rate)))

    async def watch_cluster() -> None:
        watched = Watch(settings, cluster, basis, app.warnings)
        await watch(watched, leave, is_pinned=basis.is_pinned)

    async def watch_progress() -> None:
        seconds = max(settings.stuck_seconds, settings.transaction_timeout_seconds)
        await end_when_stuck(app.ownership, Cluster(settings), basis.partitions, seconds)

    async def watch_lag() -> None:
        lag = LagSeconds(
            settings.for_aiokafka(),
            READINGS.name,
            app.ownership.applied_offsets,
            client_id="energy-worker-lag",
        )
        metrics.LAG.show(lag.seconds)
        await lag.run()

    async def roll_up() -> None:
        await app.ownership.roll_up()

    app.task(watch_cluster)
    app.task(roll_up)
    if settings.http_port:
        app.task(watch_lag)
    # At a bounded rate one chunk may rightly take longer than that.
    if settings.max_rate is None:
        app.task(watch_progress)
    return app


def _lineage(settings: WorkerSettings) -> Lineage:
    def new_reader() -> ChunkReader:
        # At least one batch is given, however large; more are not wanted.
        return ChunkReader(
            settings.for_aiokafka(),
            READINGS.name,
            read_committed=False,
            fetch_bytes=1,
            client_id="energy-lineage",
        )

    return Lineage(new_reader)


def _recovery(app: ChunkApp, view: View, basis: Basis, lineage: Lineage) -> ChangelogRecovery:
    """Make a view's table, by which Faust assigns its changelog, and what fills its stores."""
    table = app.Table(view.name, partitions=basis.partitions, key_type=bytes, value_type=bytes)
    table.view = view
    recovery = ChangelogRecovery(
        view,
        app.settings.for_aiokafka(),
        view.changelog(basis.view_version).name,
        table.data.open_partition,
        lineage.refusals,
    )
    app.recoveries.append((recovery, table.data.close_partition))
    return recovery


def _ownership(
    view: View,
    settings: WorkerSettings,
    basis: Basis,
    cluster: Cluster,
    recovery: ChangelogRecovery,
    lineage: Lineage,
    backlog: Backlog,
    nothing_left: Callable[[Refusal], None],
) -> Ownership:
    connection = settings.for_aiokafka()

    def new_writer(partition: int) -> TransactionWriter:
        return TransactionWriter(
            view,
            connection,
            basis.view_version,
            partition,
            transaction_timeout_seconds=settings.transaction_timeout_seconds,
            single_batches=basis.single_batches,
        )

    return Ownership(
        view=view,
        new_writer=new_writer,
        new_processor=PartitionProcessor,
        recovery=recovery,
        lineage=lineage,
        confirm_basis=lambda: confirm(cluster, basis),
        nothing_left=nothing_left,
        expected_birth=basis.expected_births[view],
        backlog=backlog,
        accepted=settings.lost_offsets(),
        keep_days=settings.series_days,
    )


def _credentials(
    settings: WorkerSettings,
) -> SASLCredentials | OAuthCredentials | SSLCredentials | None:
    """Map the login to Faust's own classes."""
    protocol = settings.security_protocol
    context = settings.ssl_context() if protocol.endswith("SSL") else None
    if settings.token is not None:
        return OAuthCredentials(oauth_cb=settings.token, ssl_context=context)
    if protocol.startswith("SASL_"):
        return SASLCredentials(
            username=settings.sasl_username,
            password=settings.password(),
            mechanism=SASLMechanism(settings.sasl_mechanism),
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None
