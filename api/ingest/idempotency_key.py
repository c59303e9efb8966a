"""What `Idempotency-Key` is about: a key, the body, its bounds, its writer and its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from confluent_kafka import KafkaException

from api.errors import BadRequest
from api.ingest.publisher import Outcome
from contract.key_notes import KeyNote
from producer.imports.transactions import ImportWriter
from producer.judging import Batch

KEY_CHARACTERS = 255


class Step(NamedTuple):
    """A batch of a body, where the body continues behind it, and whether it ends there."""

    batch: Batch
    next_position: int
    next_line: int
    is_last: bool


class Content(Protocol):
    """A body to be written once."""

    def digest(self) -> bytes:
        """Return 16 bytes by which it is known again; blocks."""

    def steps(self, note: KeyNote, import_id: str) -> AsyncGenerator[Step, None]:
        """Yield its batches from where a note is; the last one, maybe empty, says so.

        Raises: BadRequest, FileBroken.
        """


class Key(NamedTuple):
    """An Idempotency-Key, whose it is and what for: "events" or "append"."""

    token_name: str
    route: str
    text: str


class Written(NamedTuple):
    """The answer to a body; `is_new` False: it was written for an earlier request."""

    outcome: Outcome
    is_new: bool
    import_id: str


class KeyedWriter:
    """A transactional writer of this process, for one body at a time."""

    def __init__(self, writer: ImportWriter) -> None:
        """Store the writer; it connects with its first transaction."""
        self._writer = writer
        self._is_ready = False

    def write(
        self,
        batch: Batch,
        changed: Mapping[bytes, bytes | None],
        check: Callable[[Sequence[int]], None],
    ) -> None:
        """Commit rows with notes; blocks. Raises: what `check` raises, KafkaException."""
        try:
            if not self._is_ready or self._writer.is_outdated:
                # Aborts what the connection before has left open.
                self._writer.fence()
                self._is_ready = True
            self._writer.transact_if(batch, changed, check)
        except KafkaException:
            self.close()
            raise

    def close(self) -> None:
        """Release the connection; what is open is aborted."""
        self._is_ready = False
        self._writer.drop()


class Bounds(NamedTuple):
    """What a body with a key is held to."""

    most_keys: int
    patience_seconds: float
    should_stop: Callable[[], bool]
    clock: Callable[[], float]
    owner: str


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the Idempotency-Key of a request, None without one. Raises: BadRequest."""
    keys = [value for name, value in headers if name == b"idempotency-key"]
    if not keys:
        return None
    key = keys[0].decode("latin-1").strip()
    if len(keys) > 1 or not key or len(key) > KEY_CHARACTERS or not key.isascii():
        raise BadRequest(
            f"header Idempotency-Key: needs one value of 1 to {KEY_CHARACTERS} ASCII characters"
        )
    return key
