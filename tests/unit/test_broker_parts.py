"""What the local broker is started with, and what is said when a part is missing."""

from pathlib import Path

import pytest

from deploy.broker_properties import Listener, as_text, server_properties
from deploy.errors import BrokerFailed, DeployError, DirectoryLocked, MissingPart, PortInUse
from deploy.java import class_path, find_java, jar_directory


@pytest.fixture
def fake_java_home(tmp_path: Path) -> Path:
    """A Java 11 that only says so."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    return tmp_path


def test_a_machine_without_java_is_told_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=r"no java on PATH: install Java 17 or newer") as told:
        find_java({"PATH": str(tmp_path)})
    assert told.value.exit_code == 2


def test_an_old_java_is_named_with_its_version(fake_java_home: Path) -> None:
    with pytest.raises(MissingPart, match=r"bin/java is Java 11: install Java 17 or newer"):
        find_java({"JAVA_HOME": str(fake_java_home), "PATH": ""})


def test_java_home_goes_before_path(fake_java_home: Path) -> None:
    with pytest.raises(MissingPart, match=str(fake_java_home)):
        find_java({"JAVA_HOME": str(fake_java_home), "PATH": "/usr/bin:/bin"})


def test_absent_jars_are_told_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=r"run `make run`, or `mvn .*deploy/broker/pom\.xml`"):
        class_path(tmp_path / "nowhere")


def test_the_jars_are_looked_for_where_the_environment_says(tmp_path: Path) -> None:
    assert jar_directory({"ENERGY_BROKER_LIBS": str(tmp_path)}) == tmp_path
    assert jar_directory({}).parts[-3:] == ("deploy", "broker", "libs")


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
    error: type[DeployError], exit_code: int
) -> None:
    assert error().exit_code == exit_code
    assert str(error()) == " ".join((error.__doc__ or "").split())
