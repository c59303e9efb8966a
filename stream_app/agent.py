"""The agent: what happens to a reading, from its chunk to the acknowledgement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from stream_app.ownership.all_views import AllViews
from stream_app.process.exit import end_process
from stream_app.process.rate_limiter import Pace


def fold_readings(ownership: AllViews, pace: Pace) -> Callable[[Any], Awaitable[None]]:
    """Make the agent's function over a stream of chunks: all records of a partition in a fetch.

    Acknowledgements are given after the commit, out of the stream's order: Faust's own would
    acknowledge a chunk whose folding raised. For the same reason any error ends the process.
    """

    async def fold_readings(stream: Any) -> None:
        stream.enable_acks = False
        try:
            async for chunk in stream:
                event = stream.current_event
                await pace.take(chunk.next_offset - chunk.start_offset)
                partition = ownership.partition(chunk.partition, event.message.generation_id)
                if partition is None:
                    continue  # Fetched before a rebalance: its owner fetches it again.
                if not await partition.has_room():
                    continue  # Released, or set aside, while too much waited for a commit.
                # Decode, validate and add up, where it begins at the offset that has to come next.
                if await partition.fold_chunk(chunk):
                    partition.acknowledge_once_committed(event.ack)
                # By a task of its own: Kafka, then the store, then the acknowledgements.
                partition.commit_when_due()
        except Exception as error:
            end_process("agent", error)

    return fold_readings
