"""What the agent does with a chunk before and after its partition has it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream_app import agent
from stream_app.process.rate_limiter import Pace
from tests.records import chunk_of, reading_value


class Stream:
    """A stream of one chunk, of generation 3."""

    enable_acks = True

    def __init__(self) -> None:
        self.current_event = SimpleNamespace(message=SimpleNamespace(generation_id=3), ack="ack")

    async def __aiter__(self) -> AsyncIterator[Any]:
        yield chunk_of(0, [reading_value()])


class Partition:
    """Notes its steps; `answers` are those of the steps that have one."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.steps: list[Any] = []

    async def has_room(self) -> Any:
        self.steps.append("has_room")
        return self.answers.get("has_room", True)

    async def fold_chunk(self, chunk: Any) -> Any:
        self.steps.append("fold_chunk")
        if isinstance(answer := self.answers.get("fold_chunk", True), Exception):
            raise answer
        return answer

    def acknowledge_once_committed(self, acknowledge: Any) -> None:
        self.steps.append(acknowledge)

    def commit_when_due(self) -> None:
        self.steps.append("commit_when_due")


async def steps_of(partition: Any, stream: Any = None) -> Any:
    owned: Any = SimpleNamespace(partition=lambda *where: partition if where == (0, 3) else None)
    await agent.fold_readings(owned, Pace(None))(stream or Stream())
    return partition.steps


async def test_a_chunk_is_folded_committed_when_due_and_only_then_acknowledged() -> None:
    stream = Stream()
    steps = await steps_of(Partition(), stream)
    assert steps == ["has_room", "fold_chunk", "ack", "commit_when_due"]
    assert not stream.enable_acks, "Faust would acknowledge what is only folded"


async def test_a_chunk_that_is_not_folded_to_its_end_is_never_acknowledged() -> None:
    steps = await steps_of(Partition(fold_chunk=False))
    assert steps == ["has_room", "fold_chunk", "commit_when_due"]


async def test_a_partition_that_was_let_go_meanwhile_folds_no_more() -> None:
    assert await steps_of(Partition(has_room=False)) == ["has_room"]


async def test_a_chunk_of_another_generation_is_dropped() -> None:
    stream, partition = Stream(), Partition()
    stream.current_event.message.generation_id = 2
    assert await steps_of(partition, stream) == []


async def test_any_error_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Any] = []
    monkeypatch.setattr(agent, "end_process", lambda *what: ended.append(what))
    error = RuntimeError("not foreseen")
    assert await steps_of(Partition(fold_chunk=error)) == ["has_room", "fold_chunk"]
    assert ended == [("agent", error)]
