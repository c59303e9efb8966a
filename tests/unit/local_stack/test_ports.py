"""A port that was chosen for a server stays its own until it listens there, and between runs."""

import itertools
import random
import socket
import subprocess
import sys
from typing import Any, cast

import pytest

from contract.errors import SettingError
from local_stack.ports import free_port, is_listening, is_taken
from stream_app.process.health import serve

#: What another process does that looks for a port, and happens to try this one first.
LOOK_FOR_ONE = """
import itertools, random, sys
tried = itertools.count(int(sys.argv[1]))
random.randint = lambda *_: next(tried)
from local_stack.ports import free_port
print(free_port())
"""


def test_a_port_is_given_to_one_only(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    tried = itertools.count(port)
    monkeypatch.setattr(random, "randint", lambda *_: next(tried))
    assert free_port() > port
    other = subprocess.run(
        [sys.executable, "-c", LOOK_FOR_ONE, str(port)], capture_output=True, text=True, check=True
    )
    assert int(other.stdout) > port


def test_its_server_may_listen_there_and_come_back() -> None:
    port = free_port()
    for _ in range(2):
        assert not is_taken(port)
        assert not is_listening(port)
        with socket.create_server(("127.0.0.1", port)):
            assert is_taken(port)
            assert is_listening(port)


def test_ops_k4_a_worker_listens_where_it_is_told() -> None:
    with serve("127.0.0.2", port := free_port(), cast(Any, None)) as server:
        with socket.create_connection(("127.0.0.2", port), 5) as probe:
            probe.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert b" 200 " in probe.recv(100)
        assert not is_listening(port)
        server.shutdown()


def test_ops_k4_an_address_of_another_machine_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match=r"STREAM_APP_HTTP_HOST: cannot listen on 192\.0\.2\.1:"):
        serve("192.0.2.1", free_port(), cast(Any, None))


def test_a_worker_whose_port_is_taken_says_which() -> None:
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(SettingError, match=f"STREAM_APP_HTTP_PORT: cannot listen on .*:{port} "),
    ):
        serve("127.0.0.1", port, cast(Any, None))
