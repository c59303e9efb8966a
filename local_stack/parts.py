"""The parts of the local stack: what can be started, waited for and stopped.

A part may be started again after it ended. Exit codes are those of processes; a negative one is
the signal that ended it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from kafka_io.threads import in_thread
from local_stack.broker.process import LocalBroker

Say = Callable[[str], None]

_LONGEST_LINE = 8_192
_LOOK_EVERY_SECONDS = 0.1
_LAST_LINE_SECONDS = 0.5
_READ_BYTES = 65_536


class Part(Protocol):
    """One part; what `start` and `wait` raise as a OperationError counts as its end."""

    name: str

    async def start(self) -> None:
        """Start it; returns when it runs."""

    async def wait(self) -> int:
        """Return its exit code when it has ended."""

    async def stop(self, seconds: float) -> None:
        """Ask it to end, kill it after that time; returns when it is gone."""


class ModulePart:
    """A Python module of ours as a process on a leash, its lines passed on with its name."""

    def __init__(
        self, name: str, module: Sequence[str], environ: Mapping[str, str], say: Say
    ) -> None:
        self.name = name
        self._module = list(module)
        self._environ = dict(environ) | {"PYTHONUNBUFFERED": "1"}
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._lines: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process, in a session of its own: Ctrl-C is for `up` alone."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            # Not what happens to lie in the current directory.
            "-P",
            "-m",
            "local_stack.die_with_parent",
            str(os.getpid()),
            *self._module,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        # Its own task: lines come while it is waited for, and while it is stopped.
        self._lines = asyncio.create_task(self._pass_on(self._process))

    @property
    def pid(self) -> int | None:
        """Its process, None before the first start; the last one's after its end."""
        return self._process.pid if self._process is not None else None

    async def wait(self) -> int:
        """Wait for its end and its last line."""
        assert self._process is not None
        code = await self._process.wait()
        await self._last_line()
        return code

    async def stop(self, seconds: float) -> None:
        """SIGTERM, then SIGKILL to all of its session."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            self._say(f"{self.name} did not end within {seconds:.1f} s, killed")
            with suppress(ProcessLookupError):  # it has ended just now
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await self._last_line()

    async def _last_line(self) -> None:
        if self._lines is not None:
            # A grandchild may hold the pipe open for longer than we care.
            await asyncio.wait([self._lines], timeout=_LAST_LINE_SECONDS)

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(_READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._tell(line)
            if len(rest) > _LONGEST_LINE:
                self._tell(rest)
                rest = b""
        if rest:
            self._tell(rest)

    def _tell(self, line: bytes) -> None:
        text = line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip()
        if text:
            self._say(f"[{self.name}] {text}")


class BrokerPart:
    """The local broker."""

    name = "broker"

    def __init__(self, broker: LocalBroker, say: Say) -> None:
        self._broker = broker
        self._say = say
        self._lock = threading.Lock()
        self._is_stopped = False

    async def start(self) -> None:
        """Start it and wait until it answers; nothing is done if it runs."""
        await in_thread(self._start)

    async def wait(self) -> int:
        """Look now and then: the JVM is not a child of the event loop.

        Raises: BrokerFailed, always: what a JVM ends with is not one of our exit codes. (When it
        is out of memory HotSpot ends with 3, which is our "a person must act".)
        """
        while self._broker.exit_code is None:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        raise self._broker.failure()

    async def stop(self, seconds: float) -> None:
        """Let it close its logs."""
        await in_thread(lambda: self._stop(seconds))

    def _start(self) -> None:
        with self._lock:
            if self._is_stopped:
                return
            self._broker.start()
        self._broker.wait_ready(say=lambda text: self._say(f"{self.name}: {text}"))

    def _stop(self, seconds: float) -> None:
        # A start that is under way in its thread would leave a JVM behind.
        with self._lock:
            self._is_stopped = True
            self._broker.stop(seconds)
