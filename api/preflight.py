"""What must be there before the server serves, each missing part told in one line.

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
from contract.device_totals import DEVICE_TOTALS
from contract.errors import CorruptRecord
from contract.topics import QUARANTINE, READINGS, VIEWS
from contract.view_versions import Views
from kafka_io.batches.reader import read_all

#: The contract gives 15 s in all.
PATIENCE_SECONDS = 11.0
ASK_AGAIN_SECONDS = 0.5


async def check_ground(settings: ApiSettings, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Return once Kafka is there with all the server reads. Raises: StartRefused."""
    missing = f"no Kafka at {settings.bootstrap_servers}"
    said = _Said()
    try:
        async with asyncio.timeout(patience_seconds):
            while True:
                try:
                    with said.listening():
                        missing = await _missing(settings)
                except (KafkaError, OSError) as error:
                    missing = (
                        f"no Kafka at {settings.bootstrap_servers} that lets us in: "
                        f"{said.last or str(error) or type(error).__name__}"
                    )
                if not missing:
                    return
                await asyncio.sleep(ASK_AGAIN_SECONDS)
    except TimeoutError:
        raise StartRefused(missing) from None
    except CorruptRecord as error:
        raise StartRefused(f"{VIEWS.name}: {error}", exit_code=3) from None


class _Said(logging.Handler):
    """Keeps what aiokafka said last: its exceptions say that it failed, its log says why."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, as one line."""
        self.last = " ".join(record.getMessage().split())

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


async def _missing(settings: ApiSettings) -> str:
    """Say what is missing, nothing if all is there."""
    connection = settings.for_aiokafka()
    consumer = AIOKafkaConsumer(**connection, client_id="energy-api-start", group_id=None)
    try:
        await consumer.start()
        topics = await consumer.topics()
    finally:
        await consumer.stop()
    for topic in (READINGS, QUARANTINE, VIEWS):
        if topic.name not in topics:
            return (
                f"there is no topic {topic.name}{settings.in_sight}; make it with"
                " `energy topics create`"
            )
    views = Views()
    async for chunk in read_all(connection, VIEWS.name, client_id="energy-api-start"):
        for record in chunk.records:
            views.apply(record.key, record.value)
    if views.live is None or views.live not in views.versions:
        return f"{VIEWS.name} names no live view version; make it with `energy topics create`"
    name = DEVICE_TOTALS.changelog(views.live).name
    if name not in topics:
        return f"there is no topic {name}, the changelog of the live view version {views.live}"
    return ""
