"""The server's publisher over Kafka: deliveries of producer/, awaited in the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from api.errors import NotWritten
from api.ingest.publisher import Outcome
from contract.topics import QUARANTINE, READINGS
from producer.client.delivery import Delivery as Sending
from producer.client.outcome import Outcome as Ended
from producer.client.reading_producer import ReadingProducer
from producer.errors import ProducerStopped, QueueFull

#: How often a full queue is looked at again.
FULL_SECONDS = 0.01
#: A broker that is away for longer than a restart of its connection is said to be away at once.
CONNECT_SECONDS = 1.0
#: All records have ended so long after the delivery timeout, unless the client's thread hangs.
LATE_SECONDS = 10.0


class KafkaPublisher:
    """One producer for all requests."""

    def __init__(self, producer: ReadingProducer) -> None:
        """Take over a producer; `close` stops it."""
        self._producer = producer
        self.patience_seconds = producer.settings.delivery_timeout_seconds

    def delivery(self) -> KafkaDelivery:
        """Begin the rows of one body. Raises: NotWritten when the server stops."""
        try:
            sending = self._producer.open()
        except ProducerStopped:
            raise NotWritten("the server is stopping; nothing was written, try again") from None
        return KafkaDelivery(sending, self)

    async def connected(self) -> None:
        """Wait a moment for a broker. Raises: NotWritten: nothing of a body is handed over."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while not self._producer.is_connected:
            if time.monotonic() > deadline:
                problem = self.problem or "Kafka does not answer"
                raise NotWritten(f"{problem}; nothing was written, try again")
            await asyncio.sleep(FULL_SECONDS)

    @property
    def problem(self) -> str | None:
        """Why no row can be sent, None where nothing is known against it."""
        return self._producer.problem

    async def close(self, deadline_seconds: float) -> None:
        """Wait for what is under way, at most so long, and release the connection."""
        await asyncio.to_thread(self._producer.stop, deadline_seconds)


class KafkaDelivery:
    """The rows of one body on their way to Kafka."""

    def __init__(self, sending: Sending, publisher: KafkaPublisher) -> None:
        """Take over a delivery; a full queue is waited for as long as a record may take."""
        self._sending = sending
        self._publisher = publisher
        self._patience_seconds = publisher.patience_seconds
        self._has_begun = False

    async def readings(self, keys: Sequence[bytes], values: Sequence[bytes]) -> bool:
        """Send readings; False once a row has failed."""
        return await self._send(READINGS.name, values, keys)

    async def quarantined(self, records: Sequence[bytes]) -> bool:
        """Send records of the quarantine topic; False once a row has failed."""
        return await self._send(QUARANTINE.name, records, None)

    async def _send(
        self, topic: str, values: Sequence[bytes], keys: Sequence[bytes] | None
    ) -> bool:
        if not self._has_begun:
            await self._publisher.connected()
            self._has_begun = True
        deadline = time.monotonic() + self._patience_seconds
        while not self._sending.has_failed:
            try:
                self._sending.send(topic, values, keys)
            except ProducerStopped:
                return False
            except QueueFull:
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(FULL_SECONDS)
            else:
                return not self._sending.has_failed
        return False

    async def finish(self) -> Outcome:
        """Wait until each row is acknowledged or given up, which Kafka's client times."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Ended] = loop.create_future()

        def tell(outcome: Ended) -> None:
            loop.call_soon_threadsafe(_set, ended, outcome)

        self._sending.seal(tell)
        try:
            async with asyncio.timeout(self._patience_seconds + LATE_SECONDS):
                outcome = await ended
        except TimeoutError:
            outcome = self._sending.abandon()
        return Outcome(
            outcome.acknowledged.get(READINGS.name, 0),
            outcome.acknowledged.get(QUARANTINE.name, 0),
            outcome.unknown,
            {
                partition: offset
                for (topic, partition), offset in outcome.offsets.items()
                if topic == READINGS.name
            },
        )


def _set(future: asyncio.Future[Ended], outcome: Ended) -> None:
    if not future.done():
        future.set_result(outcome)
