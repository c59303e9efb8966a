"""H39-H42: who is slow is closed, bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import socket
from http.client import HTTPResponse

from tests.fuzz.running import RunningServer, ServerFactory, read_all, status
from tests.fuzz.slow_clients import besiege, kinds, p99
from tests.kafka import wait_until
from tests.process_memory import highest_memory

PIPE = b"/v0/pipes/energy_consumption_by_device.json"
#: It shows 2 MB: a buffer of 64 kB for some of them. A heap for each thread that reads was 20.
MORE_BYTES = 10 * 1024 * 1024
BAD = 130
#: Ten times what an idle machine shows; a server that waits for one client shows seconds.
GOOD_SECONDS = 0.25


def test_h39_h40_slow_clients_are_closed_and_good_ones_do_not_notice(
    server: RunningServer,
) -> None:
    before = server.rows()
    found = asyncio.run(besiege(server, BAD, seconds=9.0))
    assert set(found.closed) == {kind.name for kind in kinds(server.authorization)}
    assert max(found.closed.values()) <= 15, found.closed
    assert p99(found.besieged) < GOOD_SECONDS, (p99(found.alone), p99(found.besieged))
    assert server.rows() == before


def test_h41_readers_of_a_byte_a_second_are_cut_off_with_bounded_memory(
    server_factory: ServerFactory,
) -> None:
    # More than what sockets hold for a client.
    server = server_factory(API_SEND_TIMEOUT_SECONDS="1", FUZZ_DEVICES="200000")
    server.get(PIPE)
    clients: list[socket.socket] = []
    with highest_memory(server.process.pid) as memory:
        for _ in range(40):
            client = socket.socket()
            # What the kernel holds for a client would else be more than the whole answer.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(
                b"GET " + PIPE + b" HTTP/1.1\r\nHost: x\r\n" + server.authorization + b"\r\n"
            )
            clients.append(client)
        for client in clients:
            assert client.recv(1) == b"H"
        wait_until(lambda: server.connections() <= 1, "all of them are cut off", 15)
    assert memory.growth < MORE_BYTES, memory.growth
    for client in clients:
        client.close()
    assert server.is_alive()


def status_of_whole(client: socket.socket) -> int:
    """The status of an answer read to its end: head and body may come in two pieces."""
    answer = HTTPResponse(client)
    answer.begin()
    answer.read()
    return answer.status


def test_h42_more_connections_than_allowed_are_refused_and_old_ones_served(
    server_factory: ServerFactory,
) -> None:
    server = server_factory(API_MAX_CONNECTIONS="50", API_HEAD_TIMEOUT_SECONDS="2")
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    old = server.connect()
    old.sendall(request)
    assert status_of_whole(old) == 200
    wait_until(lambda: server.connections() == 1, "only the old one is open")
    silent = [server.connect() for _ in range(49)]
    wait_until(lambda: server.connections() == 50, "all are taken in")
    with server.connect() as late:
        answer = read_all(late)
    assert status(answer) == 503
    assert b"\r\nretry-after: " in answer
    old.sendall(request)
    assert status_of_whole(old) == 200
    for client in (*silent, old):
        client.close()
    wait_until(server.is_alive, "new ones are served again")
