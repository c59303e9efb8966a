"""What a signal ends a command with: 0 what runs until it is stopped, 75 unfinished work."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from cli import app as cli
from contract.exit_codes import RESTART_ME
from local_stack.broker.process import LocalBroker
from local_stack.replay_workers import Replay, ReplayOptions
from local_stack.signals import Stop
from local_stack.up import Stack, UpOptions
from operations.backfill.copy import Summary
from producer.fleet.simulate import SimulateSummary
from producer.imports.file_load import Loaded, Loads
from tests.kafka import wait_until


class Ending(NamedTuple):
    """A signal, and what a command that runs until it is stopped, or to its end, ends with."""

    number: int
    endless: int
    finite: int


ENDS_WITH = [
    Ending(signal.SIGTERM, 0, RESTART_ME),
    Ending(signal.SIGHUP, 0, RESTART_ME),
    Ending(signal.SIGINT, 130, 130),
]
HOW = pytest.mark.parametrize("how", ENDS_WITH)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back what a command leaves behind; nothing here may end pytest."""
    former = {how.number: signal.getsignal(how.number) for how in ENDS_WITH}
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@HOW
def test_the_first_signal_decides(how: Ending) -> None:
    for stop, code in ((Stop(), how.endless), (Stop(RESTART_ME), how.finite)):
        before = signal.getsignal(how.number)
        with stop:
            assert not stop.is_set()
            send(how.number)
            assert stop.event.wait(10)
            send(signal.SIGINT)
        assert stop.exit_code == code
        assert signal.getsignal(how.number) == before


@HOW
async def test_an_event_loop_hears_it_too(how: Ending) -> None:
    with Stop(RESTART_ME) as stop:
        first, second = stop.future(), stop.future()
        asyncio.get_running_loop().call_soon(send, how.number)
        assert await first == await second == how.finite
        assert await stop.future() == how.finite, "also who asks afterwards"


def test_a_loop_that_has_ended_is_not_told() -> None:
    async def listen(stop: Stop) -> None:
        stop.future()

    with Stop(RESTART_ME) as stop:
        asyncio.run(listen(stop))
        told: list[str] = []
        stop._listeners.append(lambda: told.append("the next one"))
        send(signal.SIGTERM)
        wait_until(lambda: told, "all listeners were called", 10)


def test_without_a_signal_the_code_is_0_and_a_closed_terminal_may_be_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Stop(RESTART_ME) as stop:
        send(signal.SIGHUP)
    assert not stop.is_set()
    assert stop.exit_code == 0


def test_ops_k6_a_short_command_that_sigterm_ends_is_not_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cli.app.sys.argv", ["energy", "topics", "check"])
    monkeypatch.setattr("operations.topics.declared.check", lambda *_: send(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == RESTART_ME


@pytest.mark.parametrize("command", ["worker", "api", "broker", "up"])
@pytest.mark.parametrize("before", [[], ["--debug"]])
def test_ops_k6_what_runs_until_it_is_stopped_ends_well_from_its_first_moment(
    command: str, before: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the command itself begins to listen, its imports take most of a second."""
    monkeypatch.setattr("cli.app.sys.argv", ["energy", *before, command])
    monkeypatch.setattr("cli.app.run", lambda *_: send(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0


def broken_off(number: int, should_stop: Callable[[], bool]) -> None:
    send(number)
    wait_until(should_stop, "the signal is heard", 10)


@HOW
def test_ops_k6_a_backfill_broken_off_is_to_be_run_again(
    how: Ending, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def copy(*_: object, should_stop: Callable[[], bool]) -> Summary:
        broken_off(how.number, should_stop)
        return Summary("mine", readings=7)

    monkeypatch.setattr("operations.backfill.copy.backfill", copy)
    assert cli.run(["backfill", "archive"], {}) == how.finite
    told = capsys.readouterr()
    assert "7 readings copied" in told.out
    assert "interrupted; run the same command again to continue" in told.err


def test_ops_k6_work_that_was_done_when_the_signal_came_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def copy(*_: object, should_stop: Callable[[], bool]) -> Summary:
        broken_off(signal.SIGTERM, should_stop)
        return Summary("mine", readings=7, complete=True)

    monkeypatch.setattr("operations.backfill.copy.backfill", copy)
    assert cli.run(["backfill", "archive"], {}) == 0


@HOW
@pytest.mark.parametrize("is_complete", [True, False])
def test_ops_k6_a_load_broken_off_is_to_be_run_again(
    how: Ending, is_complete: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(loads: Loads, place: int, on_progress: object) -> Iterator[Loaded]:
        broken_off(how.number, loads.should_stop.is_set)
        yield Loaded("a.ndjson", "mine", 7, 0, is_complete)

    path = tmp_path / "a.ndjson"
    path.touch()
    monkeypatch.setattr("producer.imports.file_load.Loads.load", load)
    assert cli.run(["load", str(path)], {}) == (0 if is_complete else how.finite)


@HOW
@pytest.mark.parametrize("readings", [None, 7, 100])
def test_ops_k6_a_fleet_ends_well_unless_it_has_readings_left(
    how: Ending, readings: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, should_stop: Callable[[], bool]) -> SimulateSummary:
        broken_off(how.number, should_stop)
        return SimulateSummary(7, 0, 0, 0, 1.0)

    monkeypatch.setattr("producer.fleet.simulate.run", run)
    option = [] if readings is None else ["--readings", str(readings)]
    expected = {None: how.endless, 7: 0, 100: how.finite}[readings]
    assert cli.run(["simulate", *option], {}) == expected


def silent(text: str) -> None:
    """Say nothing."""


@HOW
def test_ops_k6_a_replay_broken_off_is_to_be_run_again(
    how: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contract.view_versions import ViewVersion
    from local_stack import replay_workers as replaying

    async def live(self: Replay, supervisor: object) -> int:
        send(how.number)
        await asyncio.Event().wait()
        return 0

    version = ViewVersion(2, "building", 1, "1")
    monkeypatch.setattr(Replay, "_live", live)
    monkeypatch.setattr(replaying, "ClusterAdmin", lambda settings: None)
    monkeypatch.setattr(replaying, "begin", lambda *_: (version, True))
    monkeypatch.setattr(replaying.os, "nice", lambda by: by)
    environ: Mapping[str, str] = {"ENERGY_HOME": str(tmp_path / "home")}
    assert replaying.replay(ReplayOptions(), environ, silent) == how.finite


@HOW
def test_the_local_stack_ends_well(
    how: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local_stack import up as stack

    async def live(self: Stack, supervisor: object) -> int:
        send(how.number)
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr(Stack, "_live", live)
    environ = {"ENERGY_HOME": str(tmp_path / "home")}
    monkeypatch.setattr(Stack, "_refuse_taken_ports", lambda self: None)
    options = UpOptions(with_broker=False)
    assert stack.up(options, environ, silent) == how.endless


@HOW
def test_ops_b8_a_signal_ends_the_wait_for_a_broker_that_recovers(
    how: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[str] = []
    monkeypatch.setattr("local_stack.broker.java.check_broker_parts", lambda say: None)
    monkeypatch.setattr(LocalBroker, "start", lambda self: send(how.number))
    monkeypatch.setattr(LocalBroker, "stop", lambda self: ended.append("stopped"))
    monkeypatch.setattr(LocalBroker, "_is_ready", lambda self: False)
    monkeypatch.setattr(LocalBroker, "pid", 1)
    assert cli.run(["broker"], {"ENERGY_HOME": str(tmp_path / "home")}) == how.endless
    assert ended == ["stopped"]
    assert "ready" not in capsys.readouterr().out
