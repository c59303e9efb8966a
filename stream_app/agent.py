"""The agent: hands each chunk of the readings stream to its partition's pipe."""

from __future__ import annotations

from typing import Any

from stream_app.changelog.assignment import Ownership
from stream_app.process.exit import end_process


def fold_readings(ownership: Ownership) -> Any:
    """Make the agent's function over a stream of chunks.

    Acks are given by the pipes after the commit: Faust's own would acknowledge a chunk whose
    folding raised. For the same reason any error here ends the process.
    """

    async def fold_readings(stream: Any) -> None:
        stream.enable_acks = False
        async for event in stream.events():
            try:
                await ownership.add(event.value, event.message.generation_id, event.ack)
            except Exception as error:
                end_process("agent", error)

    return fold_readings
