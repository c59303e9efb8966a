"""Parts that die: which are started again, when, and in which order all are stopped."""

import asyncio
from collections.abc import Iterable

import pytest

from local_stack.errors import BrokerFailed, PortInUse
from local_stack.supervisor import LONGEST_DELAY_SECONDS, WELL_AFTER_SECONDS, BackOff, Supervisor


class FakePart:
    """Ends with the given codes, one for each run, then runs until it is stopped."""

    def __init__(
        self, name: str, codes: Iterable[int | Exception] = (), log: list[str] | None = None
    ):
        self.name = name
        self.starts = 0
        self.runs_on = asyncio.Event()
        self.given: list[float] = []
        self._codes = list(codes)
        self._log = [] if log is None else log

    async def start(self) -> None:
        self.starts += 1
        if self._codes and isinstance(self._codes[0], Exception):
            raise self._codes.pop(0)  # type: ignore[misc]

    async def wait(self) -> int:
        if self._codes:
            return self._codes.pop(0)  # type: ignore[return-value]
        self.runs_on.set()
        await asyncio.Event().wait()
        return 0

    async def stop(self, seconds: float) -> None:
        self.given.append(seconds)
        self._log.append(f"stopped {self.name}")


class Recorder:
    """What the supervisor said, and how long it slept."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.slept: list[float] = []

    def supervisor(self) -> Supervisor:
        return Supervisor(self.lines.append, sleep=self._sleep, clock=lambda: 0.0)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_the_delay_doubles_up_to_its_bound_and_begins_anew_after_a_good_run() -> None:
    back_off = BackOff()
    assert [back_off.after(0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert LONGEST_DELAY_SECONDS == 30
    assert [back_off.after(WELL_AFTER_SECONDS), back_off.after(0)] == [1, 2]


async def test_x48_a_part_that_dies_is_started_again_with_a_line_that_says_so() -> None:
    recorder, part = Recorder(), FakePart("worker-0", [1, -9, 75])
    supervisor = recorder.supervisor()
    supervisor.keep([part])
    await part.runs_on.wait()
    assert part.starts == 4
    assert recorder.slept == [1, 2, 4]
    assert recorder.lines == [
        "worker-0 ended with 1; it is restarted in 1 s",
        "worker-0 was ended by SIGKILL; it is restarted in 2 s",
        "worker-0 asks to be restarted (75); it is restarted in 4 s",
    ]
    assert not supervisor.gave_up.is_set()
    await supervisor.stop(9)


@pytest.mark.parametrize("code", [2, 3])
async def test_a_part_that_needs_a_person_is_not_started_again(code: int) -> None:
    recorder, part = Recorder(), FakePart("worker-0", [code])
    supervisor = recorder.supervisor()
    supervisor.keep([part])
    await supervisor.gave_up.wait()
    assert supervisor.exit_code == code
    assert part.starts == 1
    assert recorder.lines == [f"worker-0 ended with {code}; it is not restarted: a person must act"]
    await supervisor.stop(9)


async def test_a_start_that_fails_is_tried_again_unless_it_is_final() -> None:
    recorder = Recorder()
    part = FakePart("broker", [BrokerFailed("no storage"), PortInUse("port 9 is taken")])
    supervisor = recorder.supervisor()
    supervisor.keep([part])
    await supervisor.gave_up.wait()
    assert recorder.lines == [
        "broker: no storage; it is restarted in 1 s",
        "broker: port 9 is taken; it is not restarted: a person must act",
    ]
    await supervisor.stop(9)


async def test_the_first_start_of_a_part_others_need_is_raised() -> None:
    supervisor = Recorder().supervisor()
    with pytest.raises(PortInUse):
        await supervisor.start(FakePart("broker", [PortInUse("port 9 is taken")]))


async def test_groups_are_stopped_last_first_and_leave_time_for_those_after_them() -> None:
    log: list[str] = []
    supervisor = Recorder().supervisor()
    broker, worker, api = (FakePart(name, log=log) for name in ("broker", "worker-0", "api"))
    await supervisor.start(broker)
    supervisor.keep([worker])
    supervisor.keep([api])
    await supervisor.stop(9)
    assert log == ["stopped api", "stopped worker-0", "stopped broker"]
    assert api.given[0] < worker.given[0] < broker.given[0] == 9


async def test_ops_b9_a_part_that_cannot_be_stopped_leaves_none_of_the_others_running() -> None:
    log: list[str] = []
    supervisor = Recorder().supervisor()

    class Unstoppable(FakePart):
        async def stop(self, seconds: float) -> None:
            raise PermissionError("not ours")

    await supervisor.start(FakePart("broker", log=log))
    supervisor.keep([FakePart("worker-0", log=log)])
    supervisor.keep([Unstoppable("api")])
    with pytest.raises(PermissionError, match="not ours"):
        await supervisor.stop(9)
    assert log == ["stopped worker-0", "stopped broker"]
