"""The client of docs/RETRIES.md, as it is printed there, over a line that loses answers."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.running import RunningServer, read_all
from tests.records import reading_value

GUIDE = Path(__file__).parents[2] / "docs" / "RETRIES.md"
#: What becomes of each connection in turn; then all goes through.
LOSSES = ("refused", "answer", "half an answer")


@pytest.fixture
def send_readings() -> Callable[[str, str, bytes], bytes]:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    namespace: dict[str, Any] = {}
    exec(compile(found[1], str(GUIDE), "exec"), namespace)
    return namespace["send_readings"]  # type: ignore[no-any-return]


def lose_answers(listener: socket.socket, port: int) -> None:
    """Forward one request after the other; lose what LOSSES says of the first ones."""
    for loss in (*LOSSES, ""):
        client, _ = listener.accept()
        with client:
            if loss == "refused":
                continue
            request = client.recv(65_536)
            while b"\r\n\r\n" not in request or not request.endswith(b"}"):
                request += client.recv(65_536)
            with socket.create_connection(("127.0.0.1", port)) as server:
                server.sendall(request)
                answer = read_all(server)
            if loss == "half an answer":
                client.sendall(answer[:-10])
            elif not loss:
                client.sendall(answer)


def test_b14_a_client_with_a_key_counts_once_over_a_line_that_loses_answers(
    server: RunningServer, send_readings: Callable[[str, str, bytes], bytes]
) -> None:
    before = server.rows()
    rows = b"\n".join(reading_value(f"device_{n}", "1") for n in range(10))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        forwarding = threading.Thread(target=lose_answers, args=(listener, server.port))
        forwarding.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answer = send_readings(url, server.token, rows)
        forwarding.join(10)
    assert json.loads(answer) == {"successful_rows": 10, "quarantined_rows": 0}
    assert server.rows().get("successful", 0) - before.get("successful", 0) == 10
