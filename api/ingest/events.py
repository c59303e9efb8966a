"""`POST /v0/events`: readings over HTTP, answered once Kafka has acknowledged every row.

The order within a request:

    1. token, parameters                    what fails here has read no body
    2. the whole body, inflated, checked    what fails here has written nothing
    3. slice by slice: judge, send; good rows to the log, bad ones to the quarantine
    4. wait for the acknowledgements, or recall what is left; nothing is sent afterwards
    5. `wait=true`, `wait=all`: until reads show the rows, for a while
"""

from __future__ import annotations

import asyncio
from typing import Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request

from api.auth.bounds import Bounds
from api.auth.token_store import Token
from api.errors import NotWritten, PartlyWritten
from api.http.parameters import Parameters
from api.http.request_body import Body, Limits, receive_into
from api.ingest.data_source import DataSource
from api.ingest.idempotency_key import Key, key_of
from api.ingest.intake import Intake
from api.ingest.keyed_batches import BodyRows
from api.ingest.publisher import Outcome, Publisher
from api.ingest.sending import note_failure, send_body

#: How often a waiting request looks whether the server stops.
STOP_SECONDS = 0.5


class EventsParameters(Parameters):
    """Where the rows go, and when to answer."""

    name: DataSource = Field(description="The data source")
    wait: Literal["true", "false", "all"] = Field(
        "false",
        description="Whether to answer only once reads show the rows: the totals (`true`), or"
        " `all`, places and time too",
    )
    mode: Literal["append"] = Field("append", description="The only one there is")
    format: Literal["ndjson", "json"] | SkipJsonSchema[None] = Field(
        None, description="Does not matter: what the body is, is seen from the body"
    )


class Events:
    """Takes in events."""

    def __init__(self, services: Intake) -> None:
        self._services = services

    async def write(self, request: Request, token: Token) -> Outcome:
        """Receive and send a body. Raises: ApiError, ClientGone."""
        services, headers = self._services, request.scope["headers"]
        if services.publisher is None:
            raise NotWritten("not connected to Kafka; nothing was written, try again")
        key = key_of(headers)
        with Body(services.bodies, token.name, services.spool_directory) as body:
            limits = Limits.of(services.settings)
            await receive_into(body, request.receive, headers, limits, services.slices)
            if key is None:
                return await self._write(body, services.publisher, token.bounds)
            rows = BodyRows(body.whole(), services.slices, token.bounds)
            return await self._write_once(Key(token.name, "events", key), rows, services.publisher)

    async def _write(self, body: Body, publisher: Publisher, sender: Bounds | None) -> Outcome:
        """Send all rows; returns how they ended. Raises: ApiError unless all are acknowledged."""
        outcome, rows, failure, _ = await send_body(
            body.whole(), publisher.delivery(), self._services.slices, sender
        )
        self._services.metrics.count_rows(*outcome[:3])
        if outcome.is_written:
            note_failure(failure, self._services.metrics)
        outcome.check(rows, failure)
        return outcome

    async def _write_once(self, key: Key, rows: BodyRows, publisher: Publisher) -> Outcome:
        """Send all rows unless that was done for this key before; returns how they ended."""
        services = self._services
        if services.keyed is None:
            raise NotWritten("not connected to Kafka; nothing was written, try again")
        await publisher.connected()
        try:
            written = await services.keyed.write(key, rows)
        except PartlyWritten as error:
            services.metrics.count_rows(
                error.successful_rows, error.quarantined_rows, error.unknown_rows
            )
            raise
        if written.is_new:
            services.metrics.count_rows(*written.outcome[:3])
        return written.outcome

    async def is_visible(self, outcome: Outcome, *, with_series: bool = False) -> bool:
        """Wait until reads show the rows, perhaps the series' too; False: that takes too long."""
        if outcome.offsets == {}:
            return True
        services = self._services
        reached = asyncio.ensure_future(self._reached(outcome, with_series))
        left = services.settings.wait_timeout_seconds
        try:
            while left > 0 and not services.is_stopping:
                done, _ = await asyncio.wait([reached], timeout=min(left, STOP_SECONDS))
                if done:
                    return True
                left -= STOP_SECONDS
            return False
        finally:
            reached.cancel()

    async def _reached(self, outcome: Outcome, with_series: bool) -> None:
        offsets = outcome.offsets
        if offsets is None:
            # Where they are is not known: somewhere before the ends that the log has now.
            ends = await self._services.lag.ends_from_now()
            offsets = {partition: end - 1 for partition, end in ends.items() if end}
        await self._services.live.reached(offsets, with_series=with_series)
