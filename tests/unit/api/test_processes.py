"""The parent of several processes: who is started again, who is not, and how all end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from api.errors import StartRefused
from api.listening import bind, bind_together, join
from api.processes import keeping
from api.processes.keeping import Kept
from api.processes.parent import Parent
from api.processes.part import Part, part_of
from api.settings import ApiSettings
from api.view.copy.copies import Copies
from api.view.followed_view import ViewState
from local_stack.ports import free_port
from tests.api_doubles import changelog_chunk, transaction
from tests.pids import is_running
from tests.totals_double import running_view

#: Says that it is there, then ends with 0 at SIGTERM.
ORDERLY = """
    import signal, sys, time
    def end(*_):
        open(sys.argv[2], "a").write("ended\\n")
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    open(sys.argv[2], "a").write("started\\n")
    time.sleep(60)
"""


class Script:
    """A program of a test, and what it wrote into its file."""

    def __init__(self, directory: Path, name: str, text: str) -> None:
        self.file = directory / name
        self.file.touch()
        self.again: list[bool] = []
        self.ends: list[bool] = []
        self._text = textwrap.dedent(text)
        must_start = name == "follower"
        self.kept = Kept(
            name, self._arguments, os.environ, [], must_start=must_start, on_end=self.ends.append
        )

    def _arguments(self, is_again: bool) -> Sequence[str]:
        self.again.append(is_again)
        said = "again" if is_again else "first"
        return [sys.executable, "-c", self._text, said, str(self.file)]

    @property
    def lines(self) -> list[str]:
        return self.file.read_text().split()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "FIRST_DELAY_SECONDS", 0.01)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[[str, str], Script]]:
    made: list[Script] = []

    def make(name: str, text: str = ORDERLY) -> Script:
        made.append(Script(tmp_path, name, text))
        return made[-1]

    yield make
    for each in made:
        each.kept.kill()


ScriptFactory = Callable[..., Script]


def _then(is_so: Callable[[], bool], *signals: int) -> threading.Thread:
    """Send signals to this process when it is time."""

    def send() -> None:
        until(is_so)
        for number in signals:
            os.kill(os.getpid(), number)
            time.sleep(0.05)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_http_first_and_then_the_follower(
    script: ScriptFactory, number: int, code: int
) -> None:
    follower = script("follower")
    # Serves until the follower is seen to run on after its own signal.
    http = script(
        "http-0",
        """
        import signal, sys, time
        def end(number, _):
            open(sys.argv[2], "a").write(f"{number}\\n")
            time.sleep(0.2)
            sys.exit(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        open(sys.argv[2], "a").write("started\\n")
        time.sleep(60)
        """,
    )
    ended_at: dict[str, float] = {}
    for each in (follower, http):
        each.kept._on_end = lambda _, name=each.kept.name: ended_at.update({name: time.monotonic()})
    thread = _then(lambda: "started" in follower.lines and "started" in http.lines, number)
    assert Parent(follower.kept, [http.kept]).run() == code
    thread.join()
    assert http.lines == ["started", str(int(number))]
    assert follower.lines == ["started", "ended"]
    assert ended_at["http-0"] < ended_at["follower"]
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_one_that_ends_is_started_again_and_told_so(script: ScriptFactory) -> None:
    follower, http = script("follower"), script("http-0")
    dying = script(
        "http-1",
        """
        import os, signal, sys, time
        open(sys.argv[2], "a").write(sys.argv[1] + "\\n")
        if len(open(sys.argv[2]).readlines()) < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
        """,
    )
    thread = _then(
        lambda: len(dying.lines) == 3 and "started" in follower.lines and "started" in http.lines,
        signal.SIGTERM,
    )
    assert Parent(follower.kept, [http.kept, dying.kept]).run() == 0
    thread.join()
    assert dying.lines == ["first", "again", "again"]
    assert dying.ends == [True, True, False]
    assert http.lines == ["started", "ended"]


def test_one_that_asks_for_a_person_ends_all_with_its_code(script: ScriptFactory) -> None:
    follower = script(
        "follower",
        """
        import sys, time
        while "started" not in open(sys.argv[2].replace("follower", "http-0")).read():
            time.sleep(0.01)
        sys.exit(3)
        """,
    )
    http = script("http-0")
    assert Parent(follower.kept, [http.kept]).run() == 3
    assert http.lines == ["started", "ended"]


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_first_start_of_the_follower_that_fails_is_the_servers(
    script: ScriptFactory, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    follower = script("follower", f"import sys; sys.exit({code})")
    http = script("http-0")
    assert Parent(follower.kept, [http.kept]).run() == code
    assert follower.again == [False]
    assert not [line for line in caplog.messages if "follower" in line], "it has said why itself"


def test_one_that_does_not_end_is_killed(
    script: ScriptFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.processes.parent.STOP_SECONDS", 0.3)
    follower = script("follower")
    hanging = script(
        "http-0",
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(sys.argv[2], "a").write("started\\n")
        time.sleep(60)
        """,
    )
    thread = _then(lambda: bool(hanging.lines and follower.lines), signal.SIGTERM)
    assert Parent(follower.kept, [hanging.kept]).run() == 0
    thread.join()
    assert not hanging.kept.is_running


def test_a_follower_is_asked_to_end_and_killed_when_it_does_not(script: ScriptFactory) -> None:
    orderly = script("follower")
    deaf = script("http-0", ORDERLY.replace("end)", "signal.SIG_IGN)"))
    for each in (orderly, deaf):
        each.kept.look()
    until(lambda: bool(orderly.lines and deaf.lines))
    orderly.kept.end(20)
    deaf.kept.end(0.1)
    assert orderly.lines == ["started", "ended"]
    assert deaf.lines == ["started"]
    assert not orderly.kept.is_running
    assert not deaf.kept.is_running


def test_delays_double_and_begin_anew_after_a_good_run(tmp_path: Path) -> None:
    now = 0.0
    kept = Kept(
        "http-0",
        lambda _: [sys.executable, "-c", ""],
        os.environ,
        [],
        clock=lambda: now,
    )

    def next_delay(ran: float) -> float:
        nonlocal now
        kept.look()
        kept._process.wait()
        now += ran
        return kept.look()

    delays = []
    for ran in (0.0, 0.0, 0.0, keeping.WELL_AFTER_SECONDS):
        delays.append(next_delay(ran))
        now += delays[-1]
    assert delays == pytest.approx([0.01, 0.02, 0.04, 0.01])
    now += keeping.LONGEST_DELAY_SECONDS * 1_000
    for _ in range(20):
        last = next_delay(0.0)
        now += last
    assert last == pytest.approx(keeping.LONGEST_DELAY_SECONDS)


def test_a_part_is_what_its_process_is_told() -> None:
    part = Part("follower", "/somewhere/0", 5, 6, True, True)
    arguments = part.arguments()
    assert arguments[:4] == [sys.executable, "-P", "-m", "api.processes.follower"]
    assert part_of(arguments[-2:]) == part
    assert Part("http-1", "/somewhere/0", 5).arguments()[3] == "api.processes.http_process"


@pytest.mark.parametrize("how", ["IN_ORDER", "AT_ONCE"])
def test_a_process_ends_when_its_parent_is_gone(tmp_path: Path, how: str) -> None:
    """Also one that is killed: what tells is that the kernel closes its handles."""
    told = tmp_path / "told"
    child = f"""
import os, signal, sys, time
from api.processes.part import {how}, end_with_parent
signal.signal(signal.SIGTERM, lambda *_: (open({str(told)!r}, "a").write("ended"), sys.exit(0)))
end_with_parent(int(sys.argv[1]), {how})
open({str(told)!r}, "a").write(f"started {{os.getpid()}} ")
time.sleep(60)
"""
    parent = f"""
import os, subprocess, sys, time
leash, held = os.pipe()
subprocess.Popen([sys.executable, "-c", {child!r}, str(leash)], pass_fds=[leash])
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        until(lambda: told.exists() and "started" in told.read_text())
        time.sleep(0.1)
        pid = int(told.read_text().split()[1])
        assert is_running(pid)
        process.kill()
    until(lambda: not is_running(pid))
    assert ("ended" in told.read_text()) == (how == "IN_ORDER")


def test_a_port_is_shared_within_a_server_and_with_no_other(tmp_path: Path) -> None:
    settings = ApiSettings(home=tmp_path, port=free_port())
    with bind_together(settings) as parent, join(settings) as one, join(settings) as other:
        # Who only holds it takes no connection.
        one.listen()
        other.listen()
        for refused in (bind, bind_together):
            with pytest.raises(StartRefused, match="API_PORT") as error:
                refused(settings)
            assert error.value.exit_code == 2
        assert parent.getsockname() == one.getsockname() == other.getsockname()
    with bind(settings) as alone:
        alone.listen()
        with pytest.raises(StartRefused):
            join(settings)


READER = """
import sys
from pathlib import Path
from api.errors import Unavailable
from api.view.copy.copies import Copies
from contract.view_versions import ViewVersion
copy = Copies(Path(sys.argv[1]), int(sys.argv[2]), of_another=True).totals_of(
    ViewVersion(1, "live", 1, sys.argv[3])
)
copy.open_what_is_there()
for line in sys.stdin:
    try:
        with copy.snapshot(lambda: None) as totals:
            print(totals.applied_offsets, totals.get(b"a") is not None, flush=True)
    except Unavailable as error:
        print(error, flush=True)
"""


class Reading:
    """Another process that reads a copy; a context manager."""

    def __init__(self, copies: Copies, rules: str = "1") -> None:
        said = [str(copies.directory), "2000000000", rules]
        self._process = subprocess.Popen(
            [sys.executable, "-c", READER, *said],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def look(self) -> str:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


async def test_another_process_reads_a_copy_while_it_is_whole_and_never_else() -> None:
    view = await running_view()
    await view.show_kept()
    await view.apply(changelog_chunk(transaction({"a": (5, 1)}, 3)))
    with Reading(view.copies) as reader, Reading(view.copies, "2") as stranger:
        assert reader.look() == "[3] True"
        assert "of another view" in stranger.look()
        # Behind for so long that compaction may have taken what comes before its own end.
        view.become(ViewState.CATCHING_UP)
        await view.apply(changelog_chunk(transaction({"b": (5, 1)}, 4), start=2))
        assert "being loaded" in reader.look()
        await view.show_kept()
        assert reader.look() == "[4] True"
        await view.forget()
        assert "being loaded" in reader.look()
    await view.copy.close()
