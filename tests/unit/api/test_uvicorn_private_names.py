"""What api/http uses of uvicorn beyond its interface, held to what it was; and where it is used."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from uvicorn import Server
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tests.broker.private_names import Method, check_method, check_source
from tests.unit.api.test_connection import GET, echo
from tests.wire import Line

CONNECTION = "api/http/connection.py"
SERVER = "api/server.py"
METHODS = [
    Method(HttpToolsProtocol, "_start_asgi_task", ("cycle", "app"), CONNECTION),
    Method(HttpToolsProtocol, "_unset_keepalive_if_required", (), CONNECTION),
    Method(HttpToolsProtocol, "on_response_complete", (), CONNECTION),
    Method(HttpToolsProtocol, "shutdown", (), SERVER),
    Method(FlowControl, "pause_reading", (), CONNECTION),
    Method(FlowControl, "resume_reading", (), CONNECTION),
    Method(Server, "_serve", ("sockets",), SERVER, is_coroutine=True),
    Method(Server, "on_tick", ("counter",), SERVER, is_coroutine=True),
    Method(Server, "shutdown", ("sockets",), SERVER, is_coroutine=True),
    Method(Server, "capture_signals", (), SERVER),
    Method(Server, "handle_exit", ("sig", "frame"), SERVER),
]
SOURCES = [
    # A handler's task begins in it, with whatever app it is given.
    (HttpToolsProtocol.on_headers_complete, "self._start_asgi_task(self.cycle, app)"),
    (HttpToolsProtocol.on_headers_complete, "flow=self.flow"),
    (HttpToolsProtocol.on_headers_complete, "on_response=self.on_response_complete"),
    # An idle client has a time of uvicorn's: Connection.look() leaves it alone.
    (HttpToolsProtocol.on_response_complete, "self.timeout_keep_alive_task = self.loop.call_later"),
    (HttpToolsProtocol.on_response_complete, "self.flow.resume_reading()"),
    (HttpToolsProtocol.connection_made, "self.flow = FlowControl(transport)"),
    # A stop closes who is idle or lingers, and lets a handler finish.
    (HttpToolsProtocol.shutdown, "self.cycle.response_complete: self.transport.close()"),
    (RequestResponseCycle.receive, "if self.disconnected or self.response_complete"),
    (RequestResponseCycle.receive, "await self.message_event.wait()"),
    (
        RequestResponseCycle.send,
        "self.transport.close() self.on_response()",
    ),
    (RequestResponseCycle.send, "if self.chunked_encoding is None and"),
    (RequestResponseCycle.send, "if num_bytes > self.expected_content_length"),
    (Server.main_loop, "await asyncio.sleep(0.1)"),
    (Server.shutdown, "connection.shutdown()"),
    (Server.capture_signals, "for captured_signal in reversed(self._captured_signals)"),
    (Server.handle_exit, "self._captured_signals.append(sig)"),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_method_of_uvicorn_is_called_as_it_was(method: Method) -> None:
    check_method(method)


@pytest.mark.parametrize(("function", "text"), SOURCES, ids=[text for _, text in SOURCES])
def test_a_function_of_uvicorn_still_does_what_is_relied_on(function: object, text: str) -> None:
    check_source(function, "api/http", text)


async def test_a_connection_has_the_state_of_uvicorn_that_is_read_or_set() -> None:
    line = Line(echo)
    await line.receive(GET % 1)
    connection = line.connection
    for name in ("parser", "scope", "headers", "url", "flow", "cycle", "connections"):
        assert hasattr(connection, name), name
    assert connection.timeout_keep_alive_task is not None
    assert connection.flow.read_paused is False
    for name in ("disconnected", "keep_alive", "response_started", "response_complete"):
        assert isinstance(getattr(connection.cycle, name), bool), name
    assert set(vars(ServerState())) >= {"connections", "tasks"}


def test_private_names_of_uvicorn_are_used_in_one_module_and_of_the_server_in_another() -> None:
    inner = {}
    for path in Path("api").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.split(".")[0] in ("uvicorn", "httptools"):
                    inner.setdefault(str(path), set()).add(name)
    assert inner == {
        CONNECTION: {"httptools", "uvicorn.protocols.http.httptools_impl"},
        SERVER: {"uvicorn"},
    }
