"""Asks for the configs of a topic from an event loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAuthorizationFailedError, for_code

import kafka_io.logins  # noqa: F401 - what its clients log in with

_REQUEST_TIMEOUT_MS = 5_000


async def read_configs(
    connection: Mapping[str, Any], topic: str, *, client_id: str = "energy-reader"
) -> dict[str, str]:
    """Return every config of the topic; nothing where this login may not see them.

    `connection` is KafkaSettings.for_aiokafka(). Raises: KafkaError, OSError.
    """
    admin = AIOKafkaAdminClient(
        **connection, client_id=client_id, request_timeout_ms=_REQUEST_TIMEOUT_MS
    )
    try:
        await admin.start()
        answers: list[Any] = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic)]
        )
    finally:
        await admin.close()
    found: dict[str, str] = {}
    for code, said, _, _, entries in (each for answer in answers for each in answer.resources):
        if code == TopicAuthorizationFailedError.errno:
            return {}
        if code:
            raise for_code(code)(said)
        # A managed cluster may show a name without its value.
        found |= {name: value for name, value, *_ in entries if value is not None}
    return found
