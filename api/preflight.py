"""What must be there before the server serves, each missing part named in one line.

Reads Kafka's metadata and `energy_views`, writes nothing. Waits a little for a broker or a view
that is just being made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from api.errors import StartRefused
from api.settings import ApiSettings
from contract.cluster_rules import Finding, judge_compaction
from contract.device_totals import DEVICE_TOTALS
from contract.errors import CorruptRecord, text_of
from contract.topics import IMPORTS, QUARANTINE, READINGS, VIEWS
from contract.view import View
from contract.view_versions import Views, ViewVersion
from contract.views import is_known, views_of
from kafka_io.batches.reader import read_all
from kafka_io.cluster import Cluster
from kafka_io.errors import ClusterError, ClusterRefused, NotAllowed
from kafka_io.rights import Right, not_allowed, read, write
from kafka_io.threads import in_thread

#: The contract gives 15 s in all.
PATIENCE_SECONDS = 11.0
ASK_AGAIN_SECONDS = 0.5
RIGHTS_SECONDS = 3.0

log = logging.getLogger(__name__)


async def check_kafka(settings: ApiSettings) -> None:
    """Return once Kafka is there with all the server reads. Raises: StartRefused."""
    missing: StartRefused | None = StartRefused(f"no Kafka at {settings.bootstrap_servers}")
    log_line = _LastLine()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    with log_line.listening():
                        missing = await _missing(settings)
                except (KafkaError, OSError) as error:
                    missing = StartRefused(
                        f"no Kafka at {settings.bootstrap_servers} accepts this login: "
                        f"{log_line.text or text_of(error)}"
                    )
                except NotAllowed:
                    raise
                except ClusterError as error:
                    missing = StartRefused(str(error))
                if missing is None:
                    return
                await asyncio.sleep(ASK_AGAIN_SECONDS)
    except TimeoutError:
        assert missing is not None
        raise missing from None
    except NotAllowed as error:
        # Nobody is just about to give it.
        raise StartRefused(str(error)) from None
    except CorruptRecord as error:
        raise StartRefused(f"{VIEWS.name}: {error}", exit_code=3) from None


class _LastLine(logging.Handler):
    """Keeps what aiokafka said last: its exceptions say that it failed, its log says why."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, as one line."""
        self.text = " ".join(record.getMessage().split())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear all that it says meanwhile, so that nobody else does."""
        logger = logging.getLogger("aiokafka")
        logger.addHandler(self)
        logger.propagate = False
        try:
            yield
        finally:
            logger.propagate = True
            logger.removeHandler(self)


async def _missing(settings: ApiSettings) -> StartRefused | None:
    """Say what is missing, nothing if all is there as it must be."""
    connection = settings.for_aiokafka()
    consumer = AIOKafkaConsumer(**connection, client_id="energy-api-start", group_id=None)
    try:
        await consumer.start()
        topics = await consumer.topics()
    finally:
        await consumer.stop()
    cluster = await in_thread(lambda: Cluster(settings, RIGHTS_SECONDS))
    needed = [Right("DESCRIBE", "topic", READINGS.name), read(VIEWS.name)]
    if hidden := await in_thread(lambda: cluster.lacking(needed)):
        hidden += await in_thread(lambda: cluster.lacking(_rights_of_some_requests()))
        raise NotAllowed(not_allowed(hidden))
    for topic in (READINGS, QUARANTINE, VIEWS):
        if topic.name not in topics:
            return StartRefused(
                f"there is no topic {topic.name}{settings.in_sight}; create it with"
                " `energy topics create`"
            )
    views = Views()
    async for chunk in read_all(connection, VIEWS.name, client_id="energy-api-start"):
        for record in chunk.records:
            views.apply(record.key, record.value)
    if views.live is None or views.live not in views.versions:
        return StartRefused(
            f"{VIEWS.name} names no live view version; create one with `energy topics create`"
        )
    name = DEVICE_TOTALS.changelog(views.live).name
    if name not in topics:
        await in_thread(lambda: cluster.refuse_lacking([read(name)]))
        return StartRefused(
            f"there is no topic {name}, the changelog of the live view version {views.live}"
        )
    changelogs = [view.changelog(views.live).name for view in _views(views.versions[views.live])]
    findings = await in_thread(lambda: _judge(cluster, [n for n in changelogs if n in topics]))
    if refusing := [finding.line for finding in findings if finding.refuses]:
        return StartRefused("; ".join(refusing), exit_code=3)
    for finding in findings:
        log.warning("%s", finding.line)
    unused = await in_thread(lambda: cluster.lacking(_rights_of_some_requests()))
    if unused:
        log.warning("%s: requests that need this right are refused", not_allowed(unused))
    return None


def _views(version: ViewVersion) -> tuple[View, ...]:
    return views_of(version.rules_id) if is_known(version.rules_id) else (DEVICE_TOTALS,)


def _judge(cluster: Cluster, changelogs: list[str]) -> list[Finding]:
    """Judge whether compaction waits for readers; what is not shown is not held against it."""
    needed = [Right("DESCRIBE_CONFIGS", "topic", name) for name in changelogs]
    try:
        cluster.refuse_lacking(needed)
        configs = cluster.configs(changelogs)
    except ClusterRefused as error:
        line = f"{error}: whether changelogs are compacted too early was not checked"
        return [Finding(line, refuses=False)]
    return [finding for name in changelogs for finding in judge_compaction(configs, name)]


def _rights_of_some_requests() -> list[Right]:
    """Return what an API that only serves totals can do without."""
    return [write(READINGS.name)] + [
        right for topic in (QUARANTINE, IMPORTS) for right in (read(topic.name), write(topic.name))
    ]
