"""Whether compaction leaves a changelog alone for as long as its readers go by.

Where it does not, a reader who is behind is shown what is left of a commit. Reads the topic's
configs; what this login may not see is not held against it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError

from api.view.followed_view import ViewUnusable
from contract.cluster_rules import judge_compaction
from kafka_io.topic_configs import read_configs

log = logging.getLogger("api.view.changelog_follower")

ReadConfigs = Callable[[Mapping[str, Any], str], Awaitable[Mapping[str, str]]]
ask_kafka: ReadConfigs = partial(read_configs, client_id="energy-api-configs")
ANSWER_SECONDS = 5.0
#: A broker that starts answers before it knows all configs.
CERTAIN_SECONDS = 5.0
_PAUSE_SECONDS = 0.5


async def require_compaction_lag(
    connection: Mapping[str, Any], topic: str, configs: ReadConfigs
) -> None:
    """Return where readers are left the time they need, or nobody answers: that proves nothing.

    Raises: ViewUnusable with what to do, once Kafka has said otherwise for some seconds.
    """
    deadline = time.monotonic() + CERTAIN_SECONDS
    while True:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await configs(connection, topic)
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("the configs of %s are unknown: %s", topic, str(error) or type(error).__name__)
            return
        findings = judge_compaction({topic: found}, topic)
        if not findings:
            return
        if time.monotonic() >= deadline:
            raise ViewUnusable(findings[0].line)
        await asyncio.sleep(_PAUSE_SECONDS)
