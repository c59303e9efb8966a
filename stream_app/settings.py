"""Settings of one worker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from contract.kafka import KafkaSettings
from contract.settings import Integer, Seconds
from contract.topics import app_id
from stream_app.changelog.origin import LostOffsets

MIB = 1024 * 1024
_LOST_RANGE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})-([0-9]{1,18})")
_LOST_OFFSETS = re.compile(rf"{_LOST_RANGE.pattern}(,{_LOST_RANGE.pattern})*")


class WorkerSettings(KafkaSettings):
    """What `energy worker` reads from the environment; each is in deploy/.env.example."""

    home: Path = Field(Path(".energy"), alias="ENERGY_HOME")
    datadir: Path | None = Field(None, alias="STREAM_APP_DATADIR")
    session_timeout_seconds: Annotated[Seconds, Field(ge=1, le=300)] = Field(
        6.0, alias="STREAM_APP_SESSION_TIMEOUT_SECONDS"
    )
    http_host: str = Field("127.0.0.1", alias="STREAM_APP_HTTP_HOST", min_length=1)
    http_port: Annotated[Integer, Field(ge=0, le=65_535)] = Field(0, alias="STREAM_APP_HTTP_PORT")
    #: An open transaction hides what is behind it from every reader for this long when its
    #: worker dies and nobody takes over.
    transaction_timeout_seconds: Annotated[Seconds, Field(ge=1, le=900)] = Field(
        15.0, alias="STREAM_APP_TRANSACTION_TIMEOUT_SECONDS"
    )
    #: A worker that applies nothing for so long, though the log grows and nothing explains it,
    #: ends with 75. Slow is not stuck: keep it far above a transaction's time.
    stuck_seconds: Annotated[Seconds, Field(ge=5, le=86_400)] = Field(
        120.0, alias="STREAM_APP_STUCK_SECONDS"
    )
    #: Whether small commits may be single batches in place of transactions, where that is proven.
    single_batches: Literal["auto", "off"] = Field("auto", alias="STREAM_APP_SINGLE_BATCHES")
    fetch_bytes: Annotated[Integer, Field(ge=64 * 1024, le=256 * MIB)] = Field(
        2 * MIB, alias="STREAM_APP_FETCH_BYTES"
    )
    #: While far behind, a transaction waits for this many readings of its partition.
    target_readings: Annotated[Integer, Field(ge=1, le=10_000_000)] = Field(
        200_000, alias="STREAM_APP_TARGET_READINGS"
    )
    block_cache_bytes: Annotated[Integer, Field(ge=MIB, le=64 * 1024 * MIB)] = Field(
        64 * MIB, alias="STREAM_APP_BLOCK_CACHE_BYTES"
    )
    write_buffer_bytes: Annotated[Integer, Field(ge=MIB, le=1024 * MIB)] = Field(
        8 * MIB, alias="STREAM_APP_WRITE_BUFFER_BYTES"
    )

    #: Quarters of the series older than so many days are added up in `before`; 0: all are kept.
    series_days: Annotated[Integer, Field(ge=0, le=36_500)] = Field(0, alias="ENERGY_SERIES_DAYS")

    #: Follow this view version instead of the live one, whatever becomes live: to build the next
    #: one, or to keep the one before ready.
    view_version: Annotated[Integer, Field(ge=1)] | None = Field(
        None, alias="STREAM_APP_VIEW_VERSION"
    )
    #: Readings per second, where the machine is needed for more than this worker; None: no bound.
    max_rate: Annotated[Integer, Field(ge=1, le=1_000_000_000)] | None = Field(
        None, alias="STREAM_APP_MAX_RATE"
    )

    #: Offsets to continue without, removed before they were counted or in a damaged batch:
    #: `0:17-42,3:5-9`.
    accept_lost_offsets: str = Field("", alias="STREAM_APP_ACCEPT_LOST_OFFSETS")

    @field_validator("accept_lost_offsets")
    @classmethod
    def _ranges(cls, text: str) -> str:
        if text and not _LOST_OFFSETS.fullmatch(text):
            raise ValueError("must be PARTITION:FIRST-LAST[,PARTITION:FIRST-LAST...]")
        return text

    def lost_offsets(self) -> dict[int, set[LostOffsets]]:
        """Return what is skipped, by partition."""
        found: dict[int, set[LostOffsets]] = {}
        for partition, first, last in _LOST_RANGE.findall(self.accept_lost_offsets):
            found.setdefault(int(partition), set()).add(LostOffsets(int(first), int(last)))
        return found

    def state_directory(self) -> Path:
        """Return where this worker keeps its RocksDB."""
        return self.datadir if self.datadir is not None else self.home / "worker-0"

    def view_directory(self, view_version: int) -> Path:
        """Return where it keeps those of one view version: several may be kept side by side."""
        return self.state_directory() / app_id(view_version)
