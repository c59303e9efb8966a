"""Each right of deploy/kafka/acls.yaml missing in turn is named, by who meets it, within 15 s.

A user for each right, who has all others of its part: so nothing is taken away from anybody, and
all may be tried at once.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import pytest
from confluent_kafka.admin import NewTopic

from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.errors import NotAllowed
from local_stack.ports import free_port
from operations.settings import TopicSettings
from tests.installation import ENERGY, Installation
from tests.kafka import wait_until
from tests.secured.acls import Right, rights
from tests.secured.cluster import SecuredCluster
from tests.secured.parts import SecuredInstallation

LONGEST_SECONDS = 15
AT_ONCE = 4
PREFIX = "rights."
#: Two at once would stop each other.
ONE_REPLAY = Lock()
ROW = {
    "timestamp": "2025-04-30 10:11:21",
    "device_id": "a",
    "energy_consumed": 1,
    "location": "",
}
TABLE = rights()
REQUEUE = ["quarantine", "requeue", "--field", "location", "--set", "location=x", "--yes"]


class Missing(NamedTuple):
    """A user who has all rights of a part but one."""

    right: Right
    number: int

    @property
    def user(self) -> str:
        return f"{self.right.user}-{self.number}"

    @property
    def needed(self) -> Right:
        """The right as it is named where names begin with the prefix."""
        right = self.right
        is_ours = right.resource_type != "cluster" and not right.is_source
        return right._replace(name=PREFIX + right.name) if is_ours else right

    def given(self) -> list[Right]:
        ours = [each for each in rights() if each.principal == self.right.principal]
        named = [Missing(each, 0).needed for each in ours if each != self.right]
        return [each._replace(principal=f"User:{self.user}") for each in named]

    def is_named_in(self, text: str) -> bool:
        needed = self.needed
        words = re.escape(f"{needed.operation} of {needed.resource_type} {needed.name}")
        rest = "" if needed.pattern_type == "prefixed" else r"(?![\w.-])"
        return re.search(words + rest, text) is not None


ALL = [Missing(right, number) for number, right in enumerate(TABLE)]


class Told(NamedTuple):
    missing: Missing
    seconds: float
    code: int | None
    text: str

    @property
    def line(self) -> str:
        right = self.missing.right
        return (
            f"{right.user:<16} {right.operation:<17}{right.resource_type} {right.name}:"
            f" {self.seconds:.1f} s, exit {self.code}"
        )


@pytest.fixture(scope="module")
def shared(
    secured: SecuredCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation with two view versions, a row in the quarantine, and an API."""
    directory = tmp_path_factory.mktemp("rights")
    installation = SecuredInstallation(secured, secured.scram, directory, PREFIX)
    installation.run("topics", "create")
    (directory / "rows.ndjson").write_text(
        json.dumps(ROW) + "\n" + json.dumps(ROW | {"location": 5}) + "\n"
    )
    installation.run("load", "rows.ndjson")
    installation.keep_running("worker")
    try:
        yield installation
    finally:
        installation.close()


@pytest.fixture(scope="module")
def everybody(secured: SecuredCluster, shared: Installation) -> None:
    """A user for each right that is missing."""
    for missing in ALL:
        secured.set_password(missing.user, "a-password")
    secured.allow([each for missing in ALL for each in missing.given()])


def command_of(right: Right) -> list[str]:
    """What a part runs that needs this right."""
    part = right.user.removeprefix("energy-")
    if part in ("worker", "api"):
        return [part]
    if part == "device":
        return ["simulate", "--readings", "10"]
    if part == "importer":
        return ["backfill", "meter_archive"] if right.is_source else ["load", "rows.ndjson"]
    if right.operation == "DESCRIBE_CONFIGS":
        return ["topics", "check"] if right.resource_type == "topic" else ["status"]
    if (right.name, right.operation) == ("energy_consumption", "READ"):
        return ["replay", "start"]
    if (right.name, right.operation) == ("energy_views", "WRITE"):
        return ["replay", "abort"]
    if "import" in right.name or (right.name, right.operation) == ("energy_consumption", "WRITE"):
        return REQUEUE
    if right.name == "energy_consumption_quarantine" and right.operation == "READ":
        return ["quarantine", "list"]
    if right.operation == "WRITE" or (right.resource_type, right.operation) == ("group", "READ"):
        return ["replay", "start"]
    return ["status"]


def try_one(secured: SecuredCluster, shared: Installation, missing: Missing, home: Path) -> Told:
    """Run the command as that user until the right is named or the time is over."""
    home.mkdir(mode=0o700)
    (home / "rows.ndjson").write_text(json.dumps(ROW) + "\n{}\n")
    command = command_of(missing.right)
    environ = shared.environ(command[0]) | secured.scram(missing.user)
    environ |= {"ENERGY_HOME": str(home), "API_PORT": str(free_port())}
    if command != ["replay", "start"]:
        return attempt(missing, command, environ, home)
    with ONE_REPLAY:
        for _ in range(4):
            told = attempt(missing, command, environ, home)
            # The worker of the one before leaves its group when its session is over.
            if "already" not in told.text:
                break
            time.sleep(3)
    return told


def attempt(missing: Missing, command: list[str], environ: dict[str, str], home: Path) -> Told:
    """Run it once; its time is over when the right is named."""
    began, out = time.monotonic(), home / "out"
    with out.open("wb") as file:
        process = subprocess.Popen(
            [ENERGY, *command],
            env=environ,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    code: int | None = None
    try:
        while code is None and time.monotonic() - began < 2 * LONGEST_SECONDS:
            time.sleep(0.05)
            code = process.poll()
            if missing.is_named_in(out.read_text()):
                break
        seconds = time.monotonic() - began
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(2)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Told(missing, seconds, code, out.read_text())


#: Met by changes that a test may not make to what others use: asked of Kafka by itself.
CHANGES = {"CREATE", "ALTER", "DELETE"}
#: Met by a request alone.
OF_A_REQUEST = {"energy-import-keyed-", "energy-keys-reader"}


@pytest.mark.timeout(240)
def test_each_right_that_is_missing_is_named_in_time(
    secured: SecuredCluster, shared: Installation, everybody: None, archive: str, tmp_path: Path
) -> None:
    # One is being built: what may not be done with it is tried at the end, one after the other.
    begun = shared.keep_running("replay", "start")
    begun.wait_line("caught up")
    begun.stop()
    tried = [
        each
        for each in ALL
        if each.right.operation not in CHANGES and each.right.name not in OF_A_REQUEST
    ]
    assert len(tried) > 30

    def try_it(missing: Missing) -> Told:
        return try_one(secured, shared, missing, tmp_path / missing.user)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(try_it, tried))
    print("\n".join(each.line for each in told))
    wrong = [
        f"{each.line}: {each.text[-600:]}"
        for each in told
        if not each.missing.is_named_in(each.text)
        or each.seconds > LONGEST_SECONDS
        or each.code not in (None, 0, 1)
        or "Traceback" in each.text
    ]
    assert not wrong, "\n\n".join(wrong)


def change(cluster: ClusterAdmin, right: Right, name: str) -> None:
    """Ask for the change that needs the right."""
    there = [each for each in sorted(cluster.topic_names()) if each.startswith(name)]
    if right.operation == "CREATE":
        cluster.create_topics([NewTopic(name, 1, 1)])
    elif right.operation == "ALTER":
        cluster.grow(there[0], 9)
    elif right.resource_type == "group":
        cluster.delete_group(name)
    else:
        cluster.delete_topics(there)


@pytest.mark.parametrize(
    "missing", [each for each in ALL if each.right.operation in CHANGES], ids=lambda m: m.user
)
def test_a_change_that_is_not_allowed_is_named(
    secured: SecuredCluster, shared: Installation, everybody: None, missing: Missing
) -> None:
    settings = TopicSettings.load(shared.environ("topics") | secured.scram(missing.user))
    cluster = ClusterAdmin(settings)
    right = missing.needed
    name = right.name if right.pattern_type == "literal" else f"{right.name}1"
    began = time.monotonic()
    with pytest.raises(NotAllowed) as caught:
        change(cluster, right, name)
    assert f"not allowed: {right.operation} of {right.resource_type} {right.name}" in str(
        caught.value
    )
    assert time.monotonic() - began < LONGEST_SECONDS


@pytest.mark.parametrize(
    "missing", [each for each in ALL if each.right.name in OF_A_REQUEST], ids=lambda m: m.user
)
def test_a_request_that_is_not_allowed_is_answered_with_the_right(
    secured: SecuredCluster,
    shared: Installation,
    everybody: None,
    missing: Missing,
    tmp_path: Path,
) -> None:
    def login(user: str) -> dict[str, str]:
        return secured.scram(missing.user if user == "energy-api" else user)

    installation = SecuredInstallation(secured, login, tmp_path)
    installation.prefix = PREFIX
    api = installation.keep_running("api")
    try:
        installation.make_token()
        wait_until(installation.is_ready, f"the API serves; {api.text[-500:]}", 60)
        began = time.monotonic()
        answer = installation.refused("/v0/events?name=energy_consumption", [ROW])
        assert missing.is_named_in(answer), answer
        assert time.monotonic() - began < LONGEST_SECONDS
    finally:
        installation.close()


def test_every_right_of_the_table_is_tried() -> None:
    assert len({missing.needed for missing in ALL}) == len(rights())
    by_command = {command_of(missing.right)[0] for missing in ALL}
    assert by_command > {"worker", "api", "load", "backfill", "simulate", "status", "replay"}
