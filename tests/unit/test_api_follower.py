"""The follower's judgement of its log, with a reader that answers as scripted."""

import asyncio

import pytest

from api import follower as module
from api.follower import STALE_SECONDS, ChangelogReplaced, Follower
from contract.topics import changelog
from contract.views import ViewVersion


class ScriptedReader:
    """Ends that were true when they were asked for; the follower reads on before they arrive."""

    def __init__(self, follower: Follower, ends: list[dict[int, int]]) -> None:
        self.follower = follower
        self.ends = ends

    async def end_offsets(self, _partitions: object) -> dict[int, int]:
        if not self.ends:
            await asyncio.Event().wait()
        answer = self.ends.pop(0)
        self.follower._positions[0] = 20
        return answer

    async def position(self, partition: int) -> int:
        return self.follower._positions[partition]


def follower_at(offset: int) -> Follower:
    follower = Follower({}, ViewVersion(1, "live", 1, "1"))
    follower._positions = {0: offset}
    return follower


async def checked(reader: ScriptedReader) -> None:
    async with asyncio.timeout(0.2):
        await reader.follower._check(reader)  # type: ignore[arg-type]


async def test_reading_on_while_the_end_is_asked_for_is_no_shorter_log(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "CHECK_SECONDS", 0)
    with pytest.raises(TimeoutError):
        await checked(ScriptedReader(follower_at(10), [{0: 12}]))


async def test_an_end_before_what_was_read_is_another_log(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CHECK_SECONDS", 0)
    with pytest.raises(ChangelogReplaced, match="before what was read"):
        await checked(ScriptedReader(follower_at(10), [{0: 9}]))


def test_a_view_is_stale_before_compaction_may_take_what_it_missed():
    lag = int(changelog(1).configs["min.compaction.lag.ms"]) / 1000
    assert 2 * STALE_SECONDS <= lag
