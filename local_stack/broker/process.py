"""One Apache Kafka broker on this machine, for `energy up`, `energy broker` and the tests.

Reads: the jars (local_stack/broker/jars.py). Writes: only below its data directory:

    lock               held as long as the broker or its owner lives
    cluster_id         made once; kept for good
    server.properties  written again at each start
    data/              Kafka's own
    broker.log         what the JVM prints; broker.log.1 is the one before

Guarantees: at most one broker on a directory; data survives stop() and kill(); the JVM does not
outlive the process that started it, however that ends. Never listens beyond loopback.

The JVM runs in a session of its own, so Ctrl-C in a terminal reaches its owner alone, which
stops the parts in order. For an owner that is killed there is a guard: a shell that waits on a
pipe only the owner holds open, and kills the JVM when the pipe closes. (The kernel's parent
death signal would fire when the starting THREAD ends, and exists on Linux only.)
"""

import fcntl
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from contract.exit_codes import in_words
from local_stack.broker.jars import jar_directory
from local_stack.broker.java import JVM_OPTIONS, class_path, find_java, quick_start
from local_stack.broker.properties import HOST, Listener, as_text, server_properties
from local_stack.broker.storage import FEATURES, format_once
from local_stack.errors import BrokerFailed, DirectoryLocked
from local_stack.ports import free_port, is_listening, refuse_taken

LARGEST_LOG_BYTES = 10 << 20
TELL_EVERY_SECONDS = 10.0

GUARD = 'read -r line || kill -KILL "$1"'
"""A line means: the owner has seen the JVM end. End of file means: the owner is gone."""


class LocalBroker:
    """A broker on `port` of 127.0.0.1; port 0: a free one, the same one at each start.

    `properties` override ours. Blocking; call it from any thread. Usable again after stop().
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 9092,
        *,
        properties: Mapping[str, str] | None = None,
        extra_listeners: Sequence[Listener] = (),
        libs: Path | None = None,
        jvm_options: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port or free_port()
        self._controller_port = free_port()
        self.properties = dict(properties or {})
        self.extra_listeners = tuple(extra_listeners)
        self.libs = libs or jar_directory()
        self.jvm_options = [*JVM_OPTIONS, *jvm_options]
        self._lock: IO[str] | None = None
        self._jvm: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The JVM's process id; None before start() and after the end."""
        return self._jvm.pid if self._jvm and self._jvm.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """How the JVM ended (negative: by that signal); None while it runs or never ran."""
        return self._jvm.poll() if self._jvm else None

    @property
    def log_file(self) -> Path:
        """Warnings and errors of the JVM."""
        return self.data_dir / "broker.log"

    def start(self) -> None:
        """Start the JVM; returns at once, see wait_ready().

        Raises: MissingPart, DirectoryLocked, PortInUse, BrokerFailed (storage not formatted).
        """
        if self.pid is not None:
            return
        self.stop()  # of one that ended by itself: its lock and its guard
        java, classes = find_java(), class_path(self.libs)
        self._take_lock()
        try:
            for port in (self.port, *(listener.port for listener in self.extra_listeners)):
                refuse_taken(port)
            self._write_properties()
            self._run(java, classes)
        except BaseException:
            self._release_lock()
            raise

    def wait_ready(
        self,
        timeout_seconds: float = math.inf,
        *,
        say: Callable[[str], None] = lambda text: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Return once the broker answers a metadata request with itself in the cluster.

        Without a timeout it waits for as long as the JVM lives, and says so now and then: after
        a hard stop a broker reads its open segments again, which takes minutes for many GiB.
        Returns early when `should_stop`. Raises: BrokerFailed.
        """
        began = told_at = time.monotonic()
        while not (self._is_ready() or should_stop()):
            if self.pid is None:
                raise self.failure()
            now = time.monotonic()
            if now - began > timeout_seconds:
                raise BrokerFailed(
                    f"the broker was not ready within {timeout_seconds:g} s: {self._last()}"
                )
            if now - told_at >= TELL_EVERY_SECONDS:
                told_at = now
                say(
                    f"still starting after {now - began:.0f} s: after a hard stop it reads its"
                    " log again, and a busy machine is slow"
                )
            time.sleep(0.02)

    def failure(self) -> BrokerFailed:
        """Tell how the JVM ended, and its last lines."""
        return BrokerFailed(f"the broker {in_words(self.exit_code or 0)}: {self._last()}")

    def stop(self, timeout_seconds: float = 5) -> None:
        """Ask the broker to end, wait, kill it at the deadline; may be called twice."""
        self._end(signal.SIGTERM, timeout_seconds)

    def kill(self) -> None:
        """End the broker as a crash would; what it had acknowledged is in its data directory."""
        self._end(signal.SIGKILL, timeout_seconds=5)

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_lock(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.data_dir / "lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise DirectoryLocked(
                f"another broker runs on {self.data_dir}: stop it, or set ENERGY_HOME to another "
                "directory"
            ) from error
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _write_properties(self) -> None:
        text = as_text(
            server_properties(
                port=self.port,
                controller_port=self._controller_port,
                extra_listeners=self.extra_listeners,
                overrides=self.properties,
            )
        )
        (self.data_dir / "server.properties").write_text(text, encoding="utf-8")

    def _run(self, java: str, classes: str) -> None:
        environment = {**os.environ, "CLASSPATH": classes}
        command = quick_start(java, self.libs)
        if self.log_file.exists() and self.log_file.stat().st_size > LARGEST_LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as log:
            if not format_once(self.data_dir, command, environment, log, self.libs / FEATURES):
                raise BrokerFailed(f"the storage could not be formatted: {self._last()}")
            assert self._lock is not None
            self._jvm = subprocess.Popen(
                [*command, *self.jvm_options, "kafka.Kafka", "server.properties"],
                cwd=self.data_dir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The JVM holds the lock too: an orphan in its last moments still counts.
                pass_fds=[self._lock.fileno()],
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "broker-guard", str(self._jvm.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _is_ready(self) -> bool:
        if not is_listening(self.port):
            return False
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        try:
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def _end(self, how: signal.Signals, timeout_seconds: float) -> None:
        if self._jvm is not None:
            self._jvm.send_signal(how)
            try:
                self._jvm.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self._jvm.kill()
                self._jvm.wait()
        if self._guard is not None:
            self._guard.communicate(b"ended\n")
            self._guard = None
        self._release_lock()

    def _last(self) -> str:
        text = self.log_file.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.strip() and line[0] != "\t"]
        return f"{' | '.join(lines[-2:]) or 'it printed nothing'} (all of it: {self.log_file})"
