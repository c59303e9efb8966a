"""Ports of 127.0.0.1: which are free, which answer."""

import random
import socket

from local_stack.broker.properties import HOST
from local_stack.errors import PortInUse

CHOSEN_PORTS = (15_000, 32_000)
"""Below the range a kernel takes outgoing ports from: a client that reconnects while a server
restarts could otherwise be given the server's own port."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now, outside the range of outgoing connections.

    On Linux it is held until this process ends: nobody else who looks for a free port is given
    it, however long the server it is meant for takes to listen there, and to come back.
    """
    while True:
        port = random.randint(*CHOSEN_PORTS)
        holder = socket.socket()
        try:
            holder.bind((HOST, port))
        except OSError:
            holder.close()
            continue
        # A server, which allows reuse, may listen beside a socket that allows it and does not
        # listen; one that does not allow it, such as our next look for a free port, may not.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_taken(port):
            # Elsewhere a holder is in the server's way.
            holder.close()
        else:
            # Open until the process ends, and nothing that Python would miss then.
            holder.detach()
        return port


def is_taken(port: int) -> bool:
    """Whether no server could listen on the port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def is_listening(port: int) -> bool:
    """Whether something on 127.0.0.1 accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def refuse_taken(port: int, variable: str = "ENERGY_BROKER_PORT") -> None:
    """Raises: PortInUse, which names the variable to set."""
    if is_taken(port):
        raise PortInUse(
            f"port {port} is taken: stop what listens there, or set {variable} to another"
        )
