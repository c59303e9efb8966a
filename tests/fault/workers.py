"""Workers as a user starts them, and a supervisor that starts them again as theirs would.

A worker that ends with 75, by a signal of the test's, or because no broker was there when it
started, is started again; any other end is remembered and fails the run.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.kafka import wait_until

COMMAND = [str(Path(sys.executable).with_name("energy")), "worker"]
FAILING = [sys.executable, "-m", "tests.fault.failpoints"]
FAILED, RESTART_ME = 1, 75
NO_BROKER = "no broker answers"
_LOOK_SECONDS = 0.02
START_SECONDS = 40


class WorkerProcess:
    """One `energy worker` on a state directory of its own."""

    def __init__(
        self, directory: Path, environ: Mapping[str, str], command: Sequence[str] = COMMAND
    ) -> None:
        self.directory = directory
        self._command = list(command)
        self.log_file = directory.with_name(f"{directory.name}.log")
        self.exit_codes: list[int] = []
        self.wanted = False
        #: `STEP:TIMES[:stop]` of tests/fault/failpoints.py, one after the other: the next one
        #: follows at the start after the one before was reached, not when a life ended otherwise.
        self.failpoints: list[str] = []
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "STREAM_APP_DATADIR": str(directory),
            **environ,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> str:
        """All it has printed since the first start."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def last_start(self) -> str:
        """What it has printed since the last start."""
        return self.log.rpartition("--- start\n")[2]

    def start(self) -> None:
        with self._lock, self.log_file.open("ab") as output:
            if self.failpoints and "failpoint: " in self.last_start:
                self.failpoints.pop(0)
            output.write(b"--- start\n")
            output.flush()
            failing = [*FAILING, self.failpoints[0]] if self.failpoints else None
            self._process = subprocess.Popen(
                failing or self._command,
                env=self._environ,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
            self.wanted = True  # only now: the one before may have ended with 0, as it was told

    def send(self, number: signal.Signals) -> None:
        # It may end meanwhile, and its supervisor, a thread here, take note.
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL, and gone."""
        self.send(signal.SIGKILL)
        self.wait(5)

    def is_stopped(self) -> bool:
        """Whether it was sent SIGSTOP and nothing since."""
        stat = Path(f"/proc/{self.pid}/stat")
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "T"

    def wait(self, seconds: float) -> int:
        """Return how it ended. Fails when it has not within that time."""
        return self._process.wait(seconds)

    def stop(self, seconds: float = 10) -> int:
        """SIGTERM; not started again. Returns its exit code."""
        self.wanted = False
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def lose_directory(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def is_working(self) -> bool:
        """Whether it has its partitions and folds."""
        return self.pid is not None and "working on {" in self.last_start

    def restart_if_it_should(self) -> None:
        """As a supervisor: start it again after 75 or a kill."""
        with self._lock:
            process = self._process
            if process is None or (code := process.poll()) is None or not self.wanted:
                return
            if code == FAILED and NO_BROKER in self.last_start:
                self.start()
                return
            self.exit_codes.append(code)
            if code == RESTART_ME or code < 0:
                self.start()
            else:
                self.wanted = False


class Workers:
    """All workers of one pipeline."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._directory, self._environ = directory, environ
        self.all: list[WorkerProcess] = []
        self._stopped = threading.Event()
        self._paused = threading.Lock()
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    def add(
        self,
        *,
        failpoints: Iterable[str] = (),
        command: Sequence[str] = COMMAND,
        **environ: str,
    ) -> WorkerProcess:
        """Start one more."""
        name = f"worker-{len(self.all)}"
        worker = WorkerProcess(self._directory / name, {**self._environ, **environ}, command)
        worker.failpoints += failpoints
        worker.start()
        self.all.append(worker)
        return worker

    def replace(
        self,
        worker: WorkerProcess,
        *,
        lose_directory: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Kill a worker, and start it again at once, with or without its directory."""
        with self._paused:
            worker.kill()
            worker.exit_codes.append(-signal.SIGKILL)
            if lose_directory:
                worker.lose_directory()
            meanwhile()
            worker.start()

    def restart(self, worker: WorkerProcess, seconds: float = 10) -> None:
        """SIGTERM, and start it again when it has ended."""
        with self._paused:
            if worker.pid is not None:
                code = worker.stop(seconds)
                # While Python still starts the signal ends it, not the worker's own handler.
                started = code != -signal.SIGTERM or worker.last_start != ""
                worker.exit_codes += [code] if started else []
            worker.start()

    def wait_working(self, workers: Iterable[WorkerProcess] | None = None) -> None:
        for worker in workers if workers is not None else self.all:
            wait_until(worker.is_working, f"{worker.directory.name} works: {worker.log[-800:]}", 40)

    def stop(self, seconds: float = 10) -> dict[str, int]:
        """End all that run, by SIGTERM; how each ended."""
        self._stopped.set()
        self._thread.join()
        running = [worker for worker in self.all if worker.pid is not None]
        for worker in running:
            worker.send(signal.SIGTERM)
        return {worker.directory.name: worker.wait(seconds) for worker in running}

    def abandon(self) -> None:
        """Leave nothing behind, also after a failed test."""
        self._stopped.set()
        self._thread.join()
        for worker in self.all:
            worker.send(signal.SIGCONT)
            worker.kill() if worker.pid is not None else None

    def unexpected(self, *expected: int) -> list[str]:
        """Ends that no supervisor would start again, and tracebacks."""
        allowed = {0, RESTART_ME, -signal.SIGKILL, *expected}
        found = []
        for worker in self.all:
            # The contract's end of a start while the broker is down.
            ends = {*allowed, 1} if "energy worker: no broker answers" in worker.log else allowed
            found += [
                f"{worker.directory.name} ended with {code}: {worker.log[-500:]}"
                for code in worker.exit_codes
                if code not in ends
            ]
        for worker in self.all:
            before, traceback, after = worker.log.partition("Traceback")
            found += [f"{before[-300:]}{traceback}{after[:3000]}"] if traceback else []
        return found

    def _supervise(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            with self._paused:
                for worker in list(self.all):
                    worker.restart_if_it_should()


def run_to_the_end(
    environ: Mapping[str, str], seconds: float = 30, *, command: Sequence[str] = ()
) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run a worker that is expected to end by itself; and how long it took.

    `command` runs it, where it is given: `prlimit --nofile=48`.
    """
    began = time.monotonic()
    with suppress(KeyError):
        environ = {"PATH": os.environ["PATH"], **environ}
    ended = subprocess.run(
        [*command, *COMMAND],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return ended, time.monotonic() - began
