"""Partitions that go while they are still on their way to this worker."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import pytest

from contract.changelog import Birth
from stream_app import ownership as ownership_module
from stream_app.ownership import Ownership

BIRTH = Birth("cluster", "readings", "readings-id", "changelog-id", 0, "1")


class Writer:
    """One that is at once whatever it is asked to be."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class SlowRecovery:
    """Recovers once it is let."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.ends_before: dict[int, int] = {}

    async def end_offsets(self, partitions: list[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 7)

    async def recover(self, partitions: list[int], ends_before: dict[int, int]) -> dict[int, Any]:
        self.ends_before = ends_before
        await self.may_end.wait()
        return {partition: (object(), BIRTH) for partition in partitions}


async def nothing() -> None:
    pass


async def test_partitions_let_go_while_they_are_recovered_are_not_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def end_process(where: str, error: BaseException) -> NoReturn:
        raise AssertionError(where) from error

    monkeypatch.setattr(ownership_module, "end_process", end_process)
    recovery: Any = SlowRecovery()
    new_writer: Any = lambda partition: Writer()  # noqa: E731
    owned = Ownership(
        new_writer=new_writer,
        recovery=recovery,
        confirm_ground=nothing,
        expected_birth=BIRTH,
        target_readings=1,
    )
    await owned.fence([0])
    recovering = asyncio.create_task(owned.recover([0]))
    await asyncio.sleep(0)
    await owned.release_after(nothing)
    recovery.may_end.set()
    await recovering
    assert owned.positions() == {}
    assert recovery.ends_before == {0: 7}, "read before the fence"
