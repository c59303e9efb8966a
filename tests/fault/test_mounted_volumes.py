"""Ops K1 to K5: API and worker on volumes as a cluster mounts them, probed as it probes.

Both run as a user of their own on directories of root's which their group may write; the tokens
are read-only and renewed by an exchange of links; the worker is probed at another address than
the one its own tests use, while its stores fill.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.auth.token_store import TokenStore
from contract.settings import TOKENS_NAME
from local_stack.ports import free_port
from tests.fault.another_user import GID, UID, AnotherUser
from tests.fault.pipeline import Pipeline
from tests.fault.proxy import HOST, Proxy
from tests.http_client import get
from tests.kafka import wait_until

#: So that the series' changelog takes some seconds.
LONG_NAMES = 3_000
SLOW_BYTES_PER_SECOND = 400_000
PROBED_AT = "127.0.0.2"
ROWS = "/v0/pipes/energy_consumption_by_device.json?limit=1"

Seen = list[tuple[int, int, list[str]]]


@pytest.fixture
def volumes() -> Iterator[Path]:
    """A directory that others may enter: pytest's own they may not."""
    directory = Path(tempfile.mkdtemp(prefix="energy-volumes-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def mounted(directory: Path) -> Path:
    """Make the top of a volume: of root, writable by the group."""
    directory.mkdir()
    os.chown(directory, 0, GID)
    directory.chmod(0o2775)
    return directory


def secret_volume(directory: Path) -> tuple[str, str]:
    """Make a mounted secret with tokens; returns those it has now and after `renew`."""
    secrets = []
    for number in ("1", "2"):
        version = directory / number
        version.mkdir(parents=True)
        secrets.append(TokenStore(version / TOKENS_NAME).create(f"of {number}", ["ADMIN"]))
        for each in version.iterdir():
            os.chown(each, 0, GID)
            each.chmod(0o440)
        version.chmod(0o555)
    (directory / "..data").symlink_to("1")
    (directory / TOKENS_NAME).symlink_to(f"..data/{TOKENS_NAME}")
    directory.chmod(0o555)
    return secrets[0], secrets[1]


def renew(directory: Path) -> None:
    (directory / "..new").symlink_to("2")
    (directory / "..new").rename(directory / "..data")


def probe(port: int, path: str) -> tuple[int, Any]:
    """GET as a kubelet would; status 0: nobody answers."""
    connection = http.client.HTTPConnection(PROBED_AT, port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except OSError:
        return 0, {"reasons": []}
    finally:
        connection.close()


def probe_until_ready(worker: AnotherUser, port: int) -> Seen:
    """Probe both pages from the first answer on; returns what changed."""
    wait_until(lambda: probe(port, "/health")[0] == 200, "the worker is alive", 40)
    seen: Seen = []

    def is_ready() -> bool:
        assert worker.process.poll() is None, worker.log
        health, (ready, said) = probe(port, "/health")[0], probe(port, "/ready")
        if not seen or seen[-1] != (health, ready, said["reasons"]):
            seen.append((health, ready, said["reasons"]))
        return ready == 200

    wait_until(is_ready, f"the worker is ready: {seen}", 60)
    return seen


def statuses(port: int, *secrets: str) -> list[int]:
    return [get(port, ROWS, secret).status for secret in secrets]


@pytest.mark.timeout(200)
def test_ops_k5_on_mounted_volumes_nothing_is_killed_and_nothing_restarts(
    proxied_pipeline: Pipeline, proxy: Proxy, volumes: Path
) -> None:
    pipeline = proxied_pipeline
    before = pipeline.workers.add()
    pipeline.fleet.publish_long_names(LONG_NAMES)
    pipeline.drain()
    assert before.stop() == 0

    first, second = secret_volume(volumes / "secret")
    state, home = mounted(volumes / "state"), mounted(volumes / "home")
    ports = free_port(), free_port()
    proxy.throttle(SLOW_BYTES_PER_SECOND)
    worker = AnotherUser(
        "stream_app",
        volumes / "worker.log",
        pipeline.environ
        | {
            "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{proxy.port}",
            "STREAM_APP_DATADIR": str(state / "worker"),
            "STREAM_APP_HTTP_HOST": "0.0.0.0",
            "STREAM_APP_HTTP_PORT": str(ports[0]),
        },
    )
    api = AnotherUser(
        "api",
        volumes / "api.log",
        pipeline.environ
        | {
            "ENERGY_HOME": str(home),
            "API_TOKENS_FILE": str(volumes / "secret" / TOKENS_NAME),
            "API_PORT": str(ports[1]),
        },
    )
    try:
        seen = probe_until_ready(worker, ports[0])
        try:
            wait_until(lambda: get(ports[1], "/ready").status == 200, "the API is ready", 60)
        except AssertionError:
            print(get(ports[1], "/ready").text, api.log)
            raise
        assert worker.uid() == api.uid() == UID

        assert {(health, ready) for health, ready, _ in seen[:-1]} == {(200, 503)}
        assert all(reasons for _, _, reasons in seen[:-1])
        told = {reason for _, _, reasons in seen for reason in reasons}
        assert {f"restoring partition {p}: 0 %" for p in range(4)} <= told, told
        assert seen[-1] == (200, 200, [])

        assert statuses(ports[1], first, second) == [200, 403]
        renew(volumes / "secret")
        wait_until(lambda: statuses(ports[1], first, second) == [403, 200], "tokens are renewed")

        # What they made is theirs alone; what is not theirs is as it was mounted.
        assert [path.stat().st_mode & 0o7777 for path in (state, home)] == [0o2775, 0o2775]
        made = [path for top in (state, home) for path in top.iterdir()]
        assert {path.stat().st_uid for path in made} == {UID}
        assert not any(path.stat().st_mode & 0o077 for path in made if path.is_dir())
    finally:
        ends = worker.stop(), api.stop()
    assert ends == (0, 0), worker.log + api.log
    assert "Traceback" not in worker.log + api.log
