"""Looks every few seconds whether the worker may continue: same topics, same view version wanted.

And every few minutes whether topics and brokers still keep what totals need: what a start would
refuse ends the worker, what it would warn of is told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from contract.cluster_rules import Finding
from kafka_io.cluster import Cluster
from kafka_io.errors import ClusterRefused, NoBroker, NotAllowed
from stream_app.changelog.single_batches import refused_by_configs
from stream_app.checks.certainty import certainly
from stream_app.checks.examination import Topics, configs_seen, examine_configs, refuse_or_warn
from stream_app.checks.preflight import (
    Basis,
    check_growth,
    check_unchanged,
    check_wanted,
    examine_topics,
    read_views,
    topics_of,
)
from stream_app.checks.rights import rights_needed
from stream_app.errors import Refusal, RestartNeeded, Suspicion, ViewDropped, WorkerError
from stream_app.process.exit import end_process
from stream_app.settings import WorkerSettings

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
#: Somebody waits for the end of a worker whose version is dropped; the others are in no hurry.
PINNED_INTERVAL_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
#: Three questions, each with its own deadline.
CONFIRM_SECONDS = 30.0
#: Configs are asked for as seldom: it is a question to each broker.
CONFIGS_SECONDS = 120.0


async def confirm(cluster: Cluster, basis: Basis) -> None:
    """Check at a takeover that the topics are the ones the totals were made from.

    `watch` would see it too, but only after seconds in which readings of a new topic would be
    counted on top of the old one's. Raises: Refusal; RestartNeeded when no broker answers, or
    nothing does: a thread that dies for lack of memory never says so.
    """

    async def look() -> None:
        async with asyncio.timeout(CONFIRM_SECONDS):
            check_unchanged(basis, await asyncio.to_thread(topics_of, basis, cluster))

    try:
        await certainly(look)
    except TimeoutError as error:
        raise RestartNeeded(f"no answer about the topics in {CONFIRM_SECONDS:g} s") from error
    except NotAllowed:
        raise
    except (NoBroker, ClusterRefused) as error:
        raise RestartNeeded(str(error)) from error


class Watch:
    """What is looked at again and again, and what was found at risk the last time."""

    def __init__(
        self, settings: WorkerSettings, cluster: Cluster, basis: Basis, warnings: list[str]
    ) -> None:
        """`warnings` is kept up to date: `/ready` shows it."""
        self._settings, self._cluster, self._basis = settings, cluster, basis
        self._warnings = warnings
        self._configs: list[Finding] | None = None
        self._configs_at = time.monotonic()

    async def look(self) -> None:
        """Look once. Raises: Suspicion, RestartNeeded, ViewDropped; what keeps it from looking."""
        basis = self._basis
        needed = rights_needed(basis.view_version, basis.changelogs)
        await asyncio.to_thread(self._cluster.refuse_lacking, needed)
        async with asyncio.timeout(_ANSWER_SECONDS):
            views = await read_views(self._settings)
        nothing_said: list[Finding] = []
        try:
            check_wanted(basis, views)
        except Suspicion as error:
            # Totals are right all the same, and a restart would not find its version.
            nothing_said = [Finding(str(error), refuses=False)]
        # After the views: the topic of a version that was dropped is gone for a reason.
        topics = await asyncio.to_thread(topics_of, basis, self._cluster)
        check_unchanged(basis, topics)
        if not nothing_said:
            check_growth(basis, views, topics)
        if time.monotonic() >= self._configs_at + CONFIGS_SECONDS:
            # At once again where it refuses: the next look believes it or does not.
            self._configs = await asyncio.to_thread(self._judge_configs, topics)
            refuse_or_warn(self._configs)
            self._configs_at = time.monotonic()
        if self._configs is not None:
            self._tell([*self._configs, *nothing_said, *examine_topics(basis, topics)])

    def _judge_configs(self, topics: Topics) -> list[Finding]:
        changelogs = self._basis.changelogs
        seen = configs_seen(self._cluster, topics)
        refused = refused_by_configs(seen.brokers, seen.of(changelogs))
        self._basis.single_batches.configs_judged(refused)
        return examine_configs(seen, topics, changelogs, self._settings)

    def _tell(self, findings: list[Finding]) -> None:
        now = refuse_or_warn(findings)
        for line in now:
            if line not in self._warnings:
                log.warning("%s", line)
        for line in self._warnings:
            if line not in now:
                log.info("no longer so: %s", line)
        self._warnings[:] = now


async def watch(watched: Watch, leave: Callable[[WorkerError], None], *, is_pinned: bool) -> None:
    """Run until cancelled; ends the process where it must not continue.

    Where another view version is wanted it leaves in order: its group gives the partitions to
    others at once, not after a session's timeout. A broker that does not answer proves nothing.
    """
    while True:
        await asyncio.sleep(PINNED_INTERVAL_SECONDS if is_pinned else INTERVAL_SECONDS)
        try:
            await certainly(watched.look)
        except (RestartNeeded, ViewDropped) as end:
            return leave(end)
        except (Refusal, NotAllowed) as error:
            end_process("watch", error)
        except Exception as error:
            log.info("cannot check the topics now, continuing: %s", error)
