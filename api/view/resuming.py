"""Whether a view that was kept over a restart may continue, and where in its changelog.

It may where the changelog is the one it was read from, and has forgotten no removed row since.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from api.view.followed_view import FollowedView
from contract.changelog import BIRTH_KEY, Birth, decode_birth
from kafka_io.batches.reader import ChunkReader

log = logging.getLogger("api.view.changelog_follower")

ReadBirths = Callable[[Mapping[str, Any], str, Mapping[int, int]], Awaitable[dict[int, Birth]]]
#: Of one batch; what comes with it is not looked at.
FETCH_BYTES = 16 * 1024


class ChangelogReplaced(Exception):
    """The changelog is not the one that was read: load the view again from its start."""


class PartitionsChanged(Exception):
    """The changelog has more partitions than were followed; continue with all of them."""


async def resume(
    view: FollowedView,
    begins: Mapping[int, int],
    read_births: Callable[[], Awaitable[dict[int, Birth]]],
    *,
    forget: bool,
) -> dict[int, int]:
    """Take up what the view has kept; returns where to continue, nothing if it has kept nothing.

    With `forget` that is not to be trusted. `begins` are the first offsets that the changelog
    has. Raises: ChangelogReplaced, KafkaError, ViewUnusable.
    """
    if forget:
        await view.forget()
    positions = await view.resume()
    if positions:
        births = await read_births()
        kept = {n: part.birth for n, part in enumerate(view.partitions) if part.birth is not None}
        if not positions.keys() <= begins.keys() or births != kept:
            raise ChangelogReplaced("the copy is of another changelog")
        require_removals(view)
        log.info("going on with the copy of %s at %s", view.kind.name, positions)
    return positions


def require_removals(view: FollowedView) -> None:
    """Check that no removed row was forgotten unseen. Raises: ChangelogReplaced."""
    if view.may_lack_removals():
        raise ChangelogReplaced(
            "the copy was away from the end for too long: rows may have been removed since"
        )


def lacking_head(view: FollowedView, partitions: int, topic: str) -> str | None:
    """Return what is wrong where one of the version's partitions has no birth; None: all have one.

    A changelog begins with its birth, which compaction keeps; only a partition that was added
    since may not be born yet.
    """
    for partition, each in enumerate(view.partitions[:partitions]):
        if each.birth is None:
            return (
                f"{topic} has no birth record in partition {partition}: its head was removed, or"
                " it was made again; build a new view version: energy replay start"
            )
    return None


async def read_births(
    connection: Mapping[str, Any], topic: str, begins: Mapping[int, int]
) -> dict[int, Birth]:
    """Return the birth of each partition whose first record is one.

    `begins` are the first offsets. Compaction keeps the order, and a birth is written before the
    first row. Raises: KafkaError, CorruptRecord.
    """
    births: dict[int, Birth] = {}
    async with ChunkReader(
        connection, topic, fetch_bytes=FETCH_BYTES, client_id="energy-api-births"
    ) as reader:
        ends = await reader.end_offsets(begins)
        waiting = {each: begin for each, begin in begins.items() if begin < ends[each]}
        reader.assign(waiting)
        while waiting:
            for chunk in await reader.chunks(0.2):
                if chunk.partition not in waiting:
                    continue
                if chunk.records:
                    first = chunk.records[0]
                    if first.key == BIRTH_KEY and first.value is not None:
                        births[chunk.partition] = decode_birth(first.value)
                if chunk.records or chunk.next_offset >= ends[chunk.partition]:
                    del waiting[chunk.partition]
    return births
