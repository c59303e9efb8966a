"""How a worker ends, what it logs, and what its settings refuse."""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from contract.errors import SettingError
from contract.view_versions import Views
from stream_app import __main__ as worker
from stream_app.__main__ import lock_directory
from stream_app.checks.version_watcher import confirm
from stream_app.errors import DirectoryInUse, RestartNeeded
from stream_app.process import logging_setup as logs
from stream_app.process.logging_setup import RateLimit
from stream_app.settings import WorkerSettings

ENDING = """
import atexit, sys
atexit.register(print, "unwound")
from stream_app.process.exit import end_process
from stream_app.errors import *
from stream_app.process.logging_setup import set_up_logging
set_up_logging(debug={debug})
try:
    try:
        {raising}
    except BaseException as error:
        end_process("here", error)
finally:
    print("unwound")
"""


def ending(raising: str, *, debug: bool = False) -> subprocess.CompletedProcess[str]:
    code = ENDING.format(raising=raising, debug=debug)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )


@pytest.mark.parametrize(
    ("raising", "code", "words"),
    [
        ("raise Refusal('a person must look')", 3, "here: a person must look (exit 3)"),
        ("raise RestartNeeded('view 2 is live now')", 75, "here: view 2 is live now (exit 75)"),
        ("raise ValueError('unforeseen')", 75, "here: ValueError: unforeseen (exit 75)"),
        ("raise KeyboardInterrupt", 75, "here: KeyboardInterrupt:  (exit 75)"),
    ],
)
def test_the_process_ends_at_once_with_one_line_and_the_code(
    raising: str, code: int, words: str
) -> None:
    ended = ending(raising)
    assert ended.returncode == code
    assert ended.stdout == "", "nothing may run after this"
    assert len(ended.stderr.splitlines()) == 1
    assert words in ended.stderr


def test_the_traceback_is_for_debug_only() -> None:
    assert "Traceback" in ending("1 / 0", debug=True).stderr
    assert "Traceback" not in ending("1 / 0").stderr


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    output = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(sys, "stderr", output)
    logs.set_up_logging(debug=False)
    return output


def test_a_flood_of_one_kind_is_cut_and_counted(
    logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    log = logging.getLogger("aiokafka.conn")
    for number in range(100):
        log.error("Unable to connect %d", number)
    assert len(logged.getvalue().splitlines()) == 3
    now += 11
    log.error("Unable to connect %d", 100)
    last = logged.getvalue().splitlines()[-1]
    assert last.endswith("Unable to connect 100 (97 more like this before)")


def test_one_kind_does_not_silence_another(logged: io.StringIO) -> None:
    for _ in range(50):
        logging.getLogger("aiokafka").error("one")
        logging.getLogger("aiokafka").error("two")
        logging.getLogger("stream_app.ownership.assignment").info("one")
        logging.getLogger("stream_app.faust_adapter.consumer").warning("one")
    # Ours tell of events, as partitions taken over: a burst of rebalances is still shown.
    assert len(logged.getvalue().splitlines()) == 3 + 3 + 20 + 3


def test_lines_of_ours_are_counted_by_what_they_say(logged: io.StringIO) -> None:
    assert isinstance(logging.getLogger().handlers[0].filters[0], RateLimit)
    try:
        raise OSError("no disk")
    except OSError:
        logging.getLogger("stream_app").exception("store %d", 7)
    assert logged.getvalue().strip().endswith("store 7 [OSError('no disk')]")


def test_libraries_are_quiet_below_warning(logged: io.StringIO) -> None:
    logging.getLogger("faust.tables.recovery").warning("Highwater table")
    logging.getLogger("aiokafka").info("joined")
    assert logged.getvalue() == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STREAM_APP_SESSION_TIMEOUT_SECONDS", "0"),
        ("STREAM_APP_SESSION_TIMEOUT_SECONDS", "nan"),
        ("STREAM_APP_SESSION_TIMEOUT_SECONDS", "301"),
        ("STREAM_APP_HTTP_PORT", "65536"),
        ("STREAM_APP_HTTP_PORT", "-1"),
        ("STREAM_APP_HTTP_PORT", "1_0"),
        ("STREAM_APP_HTTP_PORT", ""),
        ("STREAM_APP_TRANSACTION_TIMEOUT_SECONDS", "0.5"),
        ("STREAM_APP_FETCH_BYTES", "1"),
        ("STREAM_APP_TARGET_READINGS", "0"),
        ("STREAM_APP_BLOCK_CACHE_BYTES", "inf"),
        ("STREAM_APP_WRITE_BUFFER_BYTES", "\uff11"),
        ("KAFKA_BOOTSTRAP_SERVERS", "nowhere"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ],
)
def test_s1_a_setting_out_of_range_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"^{variable}: must be") as refused:
        WorkerSettings.load({variable: value})
    assert ascii(value) in str(refused.value)


def test_the_state_directory_is_below_the_home_unless_it_is_named() -> None:
    assert WorkerSettings.load({"ENERGY_HOME": "/h"}).state_directory() == Path("/h/worker-0")
    named = WorkerSettings.load({"ENERGY_HOME": "/h", "STREAM_APP_DATADIR": "/d"})
    assert named.state_directory() == Path("/d")


def test_x43_a_state_directory_has_one_worker(tmp_path: Path) -> None:
    path = tmp_path / "worker-0" / "energy-v1"
    first = lock_directory(path)
    with pytest.raises(DirectoryInUse, match=r"another worker runs on .*worker-0"):
        lock_directory(path)
    first.close()
    lock_directory(path).close()


def test_x5_sigterm_before_the_worker_has_begun_is_no_failure(tmp_path: Path):
    silent = socket.create_server(("127.0.0.1", 0))
    environ = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{silent.getsockname()[1]}",
        "ENERGY_HOME": str(tmp_path),
    }
    with (
        silent,
        subprocess.Popen(
            [sys.executable, "-m", "stream_app"], env=environ, stderr=subprocess.PIPE
        ) as worker,
    ):
        silent.settimeout(20)
        asking, _ = silent.accept()  # the broker is asked now, so the handlers are there
        asking.close()
        worker.terminate()
        assert worker.wait(10) == 0
        assert b"Traceback" not in worker.stderr.read()


async def test_x39_a_takeover_that_is_never_answered_asks_for_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    monkeypatch.setattr("stream_app.checks.version_watcher.CONFIRM_SECONDS", 0.05)
    monkeypatch.setattr("stream_app.checks.version_watcher.topics_of", lambda *_: released.wait(10))
    try:
        with pytest.raises(RestartNeeded, match="no answer about the topics"):
            await confirm(None, None)  # type: ignore[arg-type]
    finally:
        released.set()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, 75),
        (errno.EDQUOT, 75),
        (errno.EMFILE, 75),
        (errno.EIO, 75),
        (errno.ENOMEM, 75),
        (errno.EACCES, 2),
        (errno.ENOTDIR, 2),
        (errno.EROFS, 2),
        (errno.EBADMSG, 1),
    ],
)
@pytest.mark.parametrize("main", ["stream_app.__main__", "api.__main__"])
def test_ops_b12_what_the_machine_lacks_is_tried_again_and_a_wrong_path_is_not(
    main: str,
    number: int,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = importlib.import_module(main)
    monkeypatch.setattr(module, "set_up_logging", lambda *, debug: None)

    def refused(self: Path, *_: object, **options: object) -> NoReturn:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert module.main({"ENERGY_HOME": str(tmp_path / "home")}) == code
    finally:
        signal.signal(signal.SIGTERM, before)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert os.strerror(number) in told
    assert str(tmp_path)[:20] in told, "a long value is cut"


def test_ops_b12_a_time_out_has_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended_by(TimeoutError(), monkeypatch) == 75
    assert capsys.readouterr().err == "energy worker: TimeoutError\n"


def test_ops_b13_a_corrupt_record_of_the_views_is_for_a_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read() -> None:
        Views().apply(b"live", b"garbage")

    assert ended_by(read, monkeypatch) == 3
    assert capsys.readouterr().err == (
        "energy worker: no record of ours in energy_views: b'garbage'\n"
    )


def ended_by(problem: Exception | Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return what a worker ends with when its first step raises."""

    def load(environ: object) -> None:
        if isinstance(problem, Exception):
            raise problem
        problem()

    monkeypatch.setattr(worker, "set_up_logging", lambda *, debug: None)
    monkeypatch.setattr(WorkerSettings, "load", load)
    before = signal.getsignal(signal.SIGTERM)
    try:
        return worker.main({})
    finally:
        signal.signal(signal.SIGTERM, before)
