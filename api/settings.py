"""Settings of the HTTP server: API_*, ENERGY_HOME, and those of its producer and of Kafka."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from contract.settings import HomeSettings, Integer, Port, Seconds
from producer.settings import ProducerSettings

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")

_MEGABYTE = 1_000_000


class ApiSettings(ProducerSettings, HomeSettings):
    """All the HTTP server is told from outside."""

    host: str = Field("127.0.0.1", alias="API_HOST", min_length=1)
    port: Port = Field(8000, alias="API_PORT")
    #: Processes that serve; they read one copy of the views, which one more process follows.
    processes: Annotated[Integer, Field(ge=1, le=64)] = Field(1, alias="API_PROCESSES")
    #: How long `wait=true` waits for reads to show the rows.
    wait_timeout_seconds: Annotated[Seconds, Field(ge=0.1, le=300)] = Field(
        10.0, alias="API_WAIT_TIMEOUT_SECONDS"
    )
    #: `/ready` says 503 beyond this lag; not set: any lag is fine.
    max_lag_records: Annotated[Integer, Field(ge=0)] | None = Field(
        None, alias="API_MAX_LAG_RECORDS"
    )
    max_body_bytes: Annotated[Integer, Field(ge=1, le=1_000 * _MEGABYTE)] = Field(
        10 * _MEGABYTE, alias="API_MAX_BODY_BYTES"
    )
    max_inflated_bytes: Annotated[Integer, Field(ge=1, le=10_000 * _MEGABYTE)] = Field(
        100 * _MEGABYTE, alias="API_MAX_INFLATED_BYTES"
    )
    #: A file sent to a data source, as it comes.
    max_upload_bytes: Annotated[Integer, Field(ge=1, le=1_000_000 * _MEGABYTE)] = Field(
        2_000 * _MEGABYTE, alias="API_MAX_UPLOAD_BYTES"
    )
    #: What a compressed file may inflate to, which is never kept.
    max_inflated_upload_bytes: Annotated[Integer, Field(ge=1, le=1_000_000 * _MEGABYTE)] = Field(
        10_000 * _MEGABYTE, alias="API_MAX_INFLATED_UPLOAD_BYTES"
    )
    #: A file that is not received whole in this time is given up.
    upload_timeout_seconds: Annotated[Seconds, Field(ge=1, le=86_400)] = Field(
        3_600.0, alias="API_UPLOAD_TIMEOUT_SECONDS"
    )
    #: All files together, on disk; a token holds half, but one file of any size.
    max_spool_bytes: Annotated[Integer, Field(ge=1, le=10_000_000 * _MEGABYTE)] = Field(
        4_000 * _MEGABYTE, alias="API_MAX_SPOOL_BYTES"
    )
    #: Where bodies and files are kept while they are in flight; not set: $ENERGY_HOME/spool.
    spool_dir: Path | None = Field(None, alias="API_SPOOL_DIR")
    #: Where copies of what is read are kept, each server below it; not set: $ENERGY_HOME/view.
    view_dir: Path | None = Field(None, alias="API_VIEW_DIR")
    #: What each copy of a view may take on disk; it grows as it is filled.
    view_max_bytes: Annotated[Integer, Field(ge=10 * _MEGABYTE, le=16_000_000 * _MEGABYTE)] = Field(
        1_000_000 * _MEGABYTE, alias="API_VIEW_MAX_BYTES"
    )
    #: All bodies together, in memory and spooled; a token holds half of it; beyond: 503.
    max_bodies_bytes: Annotated[Integer, Field(ge=1, le=100_000 * _MEGABYTE)] = Field(
        1_000 * _MEGABYTE, alias="API_MAX_BODIES_BYTES"
    )
    #: Long answers that are being read, on disk; one token has half of it; beyond: 503.
    max_answers_bytes: Annotated[Integer, Field(ge=1, le=1_000_000 * _MEGABYTE)] = Field(
        4_000 * _MEGABYTE, alias="API_MAX_ANSWERS_BYTES"
    )
    #: Open at once; beyond: 503 and closed.
    max_connections: Annotated[Integer, Field(ge=1, le=1_000_000)] = Field(
        10_000, alias="API_MAX_CONNECTIONS"
    )
    #: A client that has not sent the head of a request in this time is closed.
    head_timeout_seconds: Annotated[Seconds, Field(ge=0.1, le=300)] = Field(
        7.0, alias="API_HEAD_TIMEOUT_SECONDS"
    )
    #: A body whose next bytes do not come in this time is given up.
    body_timeout_seconds: Annotated[Seconds, Field(ge=0.1, le=300)] = Field(
        7.0, alias="API_BODY_TIMEOUT_SECONDS"
    )
    #: After this time without an acknowledgement of a row all that are under way are given up, and
    #: the clients told so.
    delivery_timeout_seconds: Annotated[Seconds, Field(ge=1, le=60)] = Field(
        6.0, alias="API_DELIVERY_TIMEOUT_SECONDS"
    )
    #: A connection on which no request comes is kept this long; above a load balancer's 60 s.
    keep_alive_seconds: Annotated[Integer, Field(ge=1, le=3_600)] = Field(
        75, alias="API_KEEP_ALIVE_SECONDS"
    )
    #: After SIGTERM it serves on for so long, with `/ready` 503.
    drain_seconds: Annotated[Seconds, Field(ge=0, le=600)] = Field(0.0, alias="API_DRAIN_SECONDS")
    #: A reader of an answer that takes nothing for this time is cut off.
    send_timeout_seconds: Annotated[Seconds, Field(ge=0.1, le=300)] = Field(
        20.0, alias="API_SEND_TIMEOUT_SECONDS"
    )
    #: Live streams of one token; all other tokens together have half as many more; beyond: 503.
    max_streams: Annotated[Integer, Field(ge=1, le=100_000)] = Field(1_000, alias="API_MAX_STREAMS")
    #: Requests of one token; 0: no limit.
    rate_limit_per_second: Annotated[Integer, Field(ge=0, le=1_000_000)] = Field(
        0, alias="API_RATE_LIMIT_PER_SECOND"
    )
    #: The rows of one page of the quarantine; a page of more is cut.
    quarantine_answer_bytes: Annotated[Integer, Field(ge=1_000_000, le=1_000 * _MEGABYTE)] = Field(
        32 * _MEGABYTE, alias="API_QUARANTINE_ANSWER_BYTES"
    )
    #: Of all tokens, each of which has half; kept for a day, 250 bytes each; beyond: 503.
    idempotency_keys: Annotated[Integer, Field(ge=1, le=10_000_000)] = Field(
        400_000, alias="API_IDEMPOTENCY_KEYS"
    )
    cors_origins: str = Field("*", alias="API_CORS_ORIGINS")

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        origins = [origin.strip() for origin in text.split(",")]
        if origins != ["*"] and not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("must be * or origins like https://example.org, separated by commas")
        return ",".join(origins)
