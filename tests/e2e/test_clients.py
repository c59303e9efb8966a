"""The clients of docs/clients/ against `energy up`, over a line that loses answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client_pages import CLIENTS, PAGES, RunningClient, blocks
from tests.e2e.running_up import RunningUp, UpFactory
from tests.e2e.unreliable_line import UnreliableLine, unreliable_line
from tests.http_client import post
from tests.kafka import wait_until
from tests.records import reading_value


# Several programs, each with its retries; on a crowded machine one took half a minute. The first
# time, Go compiles its library.
@pytest.mark.timeout(300)
def test_the_clients_of_the_documents_count_once_over_an_unreliable_line(
    up_factory: UpFactory, tmp_path: Path
) -> None:
    up = up_factory()
    up.wait_ready()
    with unreliable_line(up.api_port) as line:
        for name in CLIENTS:
            run(name, up, line, tmp_path)
        bridge_twice(up, line)


def run(name: str, up: RunningUp, line: UnreliableLine, directory: Path) -> None:
    """Run one until it has printed what its page shows."""
    *before, last = blocks(f"{name}.md", "text")[-1].splitlines()
    token = (up.home / "admin_token").read_text().strip()
    command = CLIENTS[name](directory, f"http://127.0.0.1:{line.server_port}")
    line.posts.clear()
    client = RunningClient(command, token)

    def printed(count: int) -> bool:
        return len(client.lines) >= count or not client.is_running

    try:
        wait_until(lambda: printed(len(before)), f"{name} printed {before}", 60)
        assert client.lines == before
        # Refused, not answered, answered: the same bytes with the same key each time.
        assert len(line.posts) == 3
        assert len(set(line.posts)) == 1
        if "Last-Event-ID" in (PAGES / f"{name}.md").read_text(encoding="utf-8"):
            line.breaking = f"=from_{name}"
            (last_id,) = wait_until(lambda: line.resumed, f"{name} connected again", 30)
            assert last_id
        more = reading_value(f"from_{name}", "1").decode()
        assert post(up.api_port, "/v0/events?name=energy_consumption", more, token).status == 202
        wait_until(lambda: printed(len(before) + 1), f"{name} printed {last}", 30)
        assert client.lines == [*before, last]
    finally:
        client.release()


def bridge_twice(up: RunningUp, line: UnreliableLine) -> None:
    """The MQTT bridge gets messages again, as after a crash: each counts once, or is shown."""
    token = (up.home / "admin_token").read_text().strip()
    bridge = bridge_of(token, f"http://127.0.0.1:{line.server_port}")
    message = '{"timestamp": "2025-10-26T02:15:0%dZ", "energy_consumed": 0.12345678901234567890}'
    for _ in range(2):
        for second in range(3):
            bridge["send"]("energy/from_mqtt/Hall", (message % second).encode())
        bridge["send"]("energy/from_mqtt/Hall", b"\xff[broken")

    def device() -> Any:
        return up.get("/v0/devices/from_mqtt")

    found = wait_until(lambda: (got := device()) and got["readings"] >= 3 and got, "3 readings")
    assert found["readings"] == 3
    assert found["total_energy_consumed_exact"] == "0.3703703670370370367"
    quarantine = "/v0/pipes/energy_consumption_quarantine.json"
    (shown,) = wait_until(lambda: (up.get(quarantine) or {}).get("data"), "the broken one is shown")
    assert (shown["device_id"], shown["location"]) == ("from_mqtt", "Hall")
    assert len({key for key, _ in line.posts[-4:]}) == 4


def bridge_of(token: str, url: str) -> dict[str, Any]:
    """The names of the block that needs no broker."""
    (code, _) = blocks("mqtt.md", "python")
    bridge: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENERGY_TOKEN", token)
        exec(compile(code.replace("http://127.0.0.1:8000", url), "mqtt.md", "exec"), bridge)
    return bridge
