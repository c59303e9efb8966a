"""`POST /v0/events`: readings over HTTP, answered once Kafka has acknowledged every row.

The order within a request:

    1. token, parameters                    what fails here has read no body
    2. the whole body, inflated, checked    what fails here has written nothing
    3. slice by slice: judge, send; good rows to the log, bad ones to the quarantine
    4. wait for the acknowledgements, or recall what is left; nothing is sent afterwards
    5. `wait=true`: until reads show the rows, for a while
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from api.auth.authorization import APPEND, require
from api.dependencies import Services
from api.errors import BadRequest, NotFound, NotWritten, PartlyWritten
from api.http.query_parameters import Parameters, check_names, choice, one, parse_query
from api.http.request_body import Body, Limits, receive_into
from api.http.responses import JsonAnswer
from api.http.routing import Route
from api.ingest.idempotency_key import KEY_PARAMETER, Key, key_of
from api.ingest.keyed_batches import BodyRows
from api.ingest.publisher import Outcome, Publisher
from api.ingest.sending import note_failure, send_body
from api.openapi.operation import (
    JSON,
    MEANINGS,
    STRING,
    WHOLE_NUMBER,
    Operation,
    answer,
    errors,
    query,
    record,
)
from contract.errors import echo
from contract.topics import READINGS

PARAMETERS = frozenset({"name", "mode", "wait", "format"})

_ROWS = record({"successful_rows": WHOLE_NUMBER, "quarantined_rows": WHOLE_NUMBER})
_FATES = ("successful_rows", "quarantined_rows", "unknown_rows")
SEND_EVENTS = Operation(
    "Send readings",
    APPEND,
    {
        200: answer("With `wait=true`: all rows are acknowledged, and reads show them", _ROWS),
        202: answer("All rows are acknowledged by Kafka", _ROWS),
        **errors(404, 408, 413, 422),
        504: answer(
            MEANINGS[504],
            record(
                {"error": STRING, "documentation": STRING, **dict.fromkeys(_FATES, WHOLE_NUMBER)}
            ),
        ),
    },
    [
        query(
            "name",
            "The data source",
            {"type": "string", "enum": [READINGS.name]},
            required=True,
            example=READINGS.name,
        ),
        query(
            "wait",
            "Whether to answer only once reads show the rows",
            {"type": "string", "enum": ["true", "false"]},
        ),
        query("mode", "The only one there is", {"type": "string", "enum": ["append"]}),
        query(
            "format",
            "Does not matter: what the body is, is seen from the body",
            {"type": "string", "enum": ["ndjson", "json"]},
        ),
        KEY_PARAMETER,
    ],
    {
        JSON: {
            "schema": {"description": "A reading, or an array of readings"},
            "example": '{"timestamp": "2025-04-30 10:11:21", "device_id": "device_7", '
            '"energy_consumed": 3106278102, "location": "Living Room"}',
        },
        "application/x-ndjson": {"schema": {**STRING, "description": "A reading on each line"}},
    },
    "One object, NDJSON or a JSON array, whatever the Content-Type; gzip, zstd or deflate by "
    "Content-Encoding. A row that is no reading goes to the quarantine, the others count.",
)
#: How often a waiting request looks whether the server stops.
STOP_SECONDS = 0.5


class Events:
    """Takes in events."""

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services
        rows = services.metrics.rows
        self._counters = [rows.labels(fate) for fate in ("successful", "quarantined", "unknown")]

    def routes(self) -> list[Route]:
        """Return what it answers."""
        return [Route("/v0/events", self.answer, {"POST": SEND_EVENTS})]

    async def answer(self, request: Request) -> Response:
        """Answer POST. Raises: ApiError, ClientGone."""
        services, scope = self._services, request.scope
        parameters = parse_query(scope["query_string"])
        token = require(services.tokens, scope["headers"], parameters.get("token"), APPEND)
        waits = _waits(parameters)
        if services.publisher is None:
            raise NotWritten("not connected to Kafka; nothing was written, try again")
        key = key_of(scope["headers"])
        with Body(services.bodies, token.name, services.spool_directory) as body:
            limits = Limits.of(services.settings)
            await receive_into(body, request.receive, scope["headers"], limits, services.slices)
            if key is not None:
                outcome = await self._write_once(
                    Key(token.name, "events", key), body, services.publisher
                )
            else:
                outcome = await self._write(body, services.publisher)
        status = 200 if waits and await self._is_visible(outcome) else 202
        return JsonAnswer(
            {
                "successful_rows": outcome.successful_rows,
                "quarantined_rows": outcome.quarantined_rows,
            },
            status,
        )

    async def _write(self, body: Body, publisher: Publisher) -> Outcome:
        """Send all rows; returns how they ended. Raises: ApiError unless all are acknowledged."""
        outcome, rows, failure, _ = await send_body(
            body.whole(), publisher.delivery(), self._services.slices
        )
        self._count(outcome)
        if outcome.is_written:
            note_failure(failure, self._services.metrics)
        outcome.check(rows, failure)
        return outcome

    async def _write_once(self, key: Key, body: Body, publisher: Publisher) -> Outcome:
        """Send all rows unless that was done for this key before; returns how they ended."""
        services = self._services
        if services.keyed is None:
            raise NotWritten("not connected to Kafka; nothing was written, try again")
        await publisher.connected()
        try:
            written = await services.keyed.write(key, BodyRows(body.whole(), services.slices))
        except PartlyWritten as error:
            self._count(
                Outcome(error.successful_rows, error.quarantined_rows, error.unknown_rows, {})
            )
            raise
        outcome = Outcome(written.successful_rows, written.quarantined_rows, 0, None)
        if written.is_new:
            self._count(outcome)
        return outcome

    async def _is_visible(self, outcome: Outcome) -> bool:
        """Wait until reads show the rows; False when that takes too long."""
        if outcome.offsets == {}:
            return True
        services = self._services
        reached = asyncio.ensure_future(self._reached(outcome))
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

    async def _reached(self, outcome: Outcome) -> None:
        offsets = outcome.offsets
        if offsets is None:
            # Where they are is not known: somewhere before the ends that the log has now.
            ends = await self._services.lag.ends_from_now()
            offsets = {partition: end - 1 for partition, end in ends.items() if end}
        await self._services.live.reached(offsets)

    def _count(self, outcome: Outcome) -> None:
        counts = (outcome.successful_rows, outcome.quarantined_rows, outcome.unknown_rows)
        for counter, count in zip(self._counters, counts, strict=True):
            counter.inc(count)


def _waits(parameters: Parameters) -> bool:
    """Check the parameters; returns whether the answer waits for reads to show the rows."""
    check_names(parameters, PARAMETERS)
    name = one(parameters, "name")
    if not name:
        raise BadRequest(f"parameter name: missing; the data source is {READINGS.name}")
    if name != READINGS.name:
        raise NotFound(f"no data source {echo(name)}; there is {READINGS.name}")
    choice(parameters, "mode", ("append",))
    choice(parameters, "format", ("ndjson", "json"))
    return choice(parameters, "wait", ("true", "false")) == "true"
