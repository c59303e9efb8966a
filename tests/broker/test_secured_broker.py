"""S6, S7: a broker that is not who it should be, or that does not let us in: one line, no secret.

One broker with a listener for each certificate and one that wants a password; every command is
started on each at once, because most of their time is patience.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from local_stack.broker.java import check_broker_parts
from local_stack.broker.process import LocalBroker
from local_stack.broker.properties import Listener
from local_stack.ports import free_port
from tests.certificates import Authority
from tests.shared_broker import QUICK_PROPERTIES
from tests.start_delay import in_time

ENERGY = Path(sys.executable).with_name("energy")
PASSWORD = "correct-horse-battery"
LONGEST_SECONDS = 30
#: All of them are started at once, and the machine may be crowded.
PATIENT_SECONDS = 120
pytestmark = pytest.mark.timeout(200)
LONG_AGO = ("20200101000000Z", "20200201000000Z")
COMMANDS = {
    "worker": [],
    "api": [],
    "topics": ["create"],
    "load": ["rows.ndjson"],
    "simulate": ["--readings", "10"],
    "status": [],
}
ROW = '{"timestamp": "2025-04-30 10:11:21", "device_id": "a", "energy_consumed": 1, "location": ""}'


class SecuredBroker:
    """Where each listener is, and what clients need for it."""

    def __init__(self, directory: Path) -> None:
        ours, theirs = Authority(directory, "ours"), Authority(directory, "theirs")
        here = "IP:127.0.0.1"
        certificates = {
            "TLS": ours.server("good", here),
            "FOREIGN": theirs.server("foreign", here),
            "ELSEWHERE": ours.server("elsewhere", "DNS:elsewhere.example"),
            "EXPIRED": ours.server("expired", here, *LONG_AGO),
        }
        self.ca_file = ours.ca_file
        self.ports = {name: free_port() for name in (*certificates, "LOGIN")}
        protocols = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT", "LOGIN": "SASL_PLAINTEXT"}
        protocols |= dict.fromkeys(certificates, "SSL")
        users = f'user_owner="{PASSWORD}" user_guest="{PASSWORD}"'
        properties = {
            "listener.security.protocol.map": ",".join(map(":".join, protocols.items())),
            "listener.name.login.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.login.plain.sasl.jaas.config": (
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:owner",
        }
        for name, file in certificates.items():
            prefix = f"listener.name.{name.lower()}.ssl.keystore"
            properties |= {f"{prefix}.type": "PEM", f"{prefix}.location": str(file)}
        check_broker_parts(print)
        self.broker = LocalBroker(
            directory / "broker",
            0,
            properties=QUICK_PROPERTIES | properties,
            extra_listeners=[Listener(name, port, port) for name, port in self.ports.items()],
        )

    def environ(self, listener: str, **more: str) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.ports[listener]}",
            "ENERGY_PARTITIONS": "2",
            "API_PORT": str(free_port()),
            **more,
        }

    def tls(self, listener: str) -> dict[str, str]:
        files = {"KAFKA_SSL_CA_FILE": str(self.ca_file)}
        return self.environ(listener, KAFKA_SECURITY_PROTOCOL="SSL", **files)

    def login(self, user: str, password: str) -> dict[str, str]:
        return self.environ(
            "LOGIN",
            KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
            KAFKA_SASL_MECHANISM="PLAIN",
            KAFKA_SASL_USERNAME=user,
            KAFKA_SASL_PASSWORD=password,
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    secured = SecuredBroker(tmp_path_factory.mktemp("secured"))
    secured.broker.start()
    try:
        secured.broker.wait_ready(60)
        yield secured
    finally:
        secured.broker.kill()


def start(directory: Path, command: str, environ: dict[str, str]) -> subprocess.Popen[str]:
    directory.mkdir(parents=True)
    (directory / "rows.ndjson").write_text(ROW)
    return subprocess.Popen(
        [ENERGY, command, *COMMANDS[command]],
        env={"PATH": os.environ["PATH"], "ENERGY_HOME": str(directory), **environ},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def all_refused(
    tmp_path: Path,
    environs: Iterable[dict[str, str]],
    words: str,
    commands: Iterable[str] = COMMANDS,
) -> None:
    """Each command ends with a failure and one line that matches these words, in time."""
    began = time.monotonic()
    started = [
        (name, start(tmp_path / f"{number}-{name}", name, environ))
        for number, environ in enumerate(environs)
        for name in commands
    ]
    try:
        for name, process in started:
            output, errors = process.communicate(timeout=PATIENT_SECONDS)
            told = f"{name} ended with {process.returncode}: {output}{errors}"
            assert process.returncode in (1, 2, 3), told
            (line,) = errors.splitlines() or [""]
            assert line.startswith("energy"), told
            assert re.search(words, line, re.IGNORECASE), told
            assert PASSWORD not in output + errors
            assert "wrong-password" not in output + errors
        in_time(time.monotonic() - began, LONGEST_SECONDS, at_once=len(started))
    finally:
        for _, process in started:
            process.kill()
            process.communicate()


def test_s6_s7_the_right_certificate_or_password_is_let_in(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    for number, environ in enumerate((secured.tls("TLS"), secured.login("owner", PASSWORD))):
        process = start(tmp_path / str(number), "topics", environ)
        output, errors = process.communicate(timeout=PATIENT_SECONDS)
        assert process.returncode == 0, output + errors


def test_s6_a_certificate_of_another_authority_is_refused(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    all_refused(tmp_path, [secured.tls("FOREIGN")], "certificate")


def test_s6_a_certificate_of_another_host_or_an_expired_one_is_refused(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    # One of each client library: the others fail on the same ways as above.
    environs = [secured.tls("ELSEWHERE"), secured.tls("EXPIRED")]
    all_refused(tmp_path, environs, "certificate", ["worker", "api"])


def test_s7_a_wrong_password_is_refused(secured: SecuredBroker, tmp_path: Path) -> None:
    all_refused(tmp_path, [secured.login("owner", "wrong-password")], "authentication")


def test_s7_a_user_without_rights_is_refused(secured: SecuredBroker, tmp_path: Path) -> None:
    # `status` tells what it cannot see and ends with 0.
    commands = [name for name in COMMANDS if name != "status"]
    all_refused(tmp_path, [secured.login("guest", PASSWORD)], "may see|not allowed", commands)
