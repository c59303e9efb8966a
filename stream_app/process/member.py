"""What a worker is called in its group: by host and process, so that one's own can be told."""

from __future__ import annotations

import socket


def client_id(pid: int) -> str:
    """Return the client id of the worker with that process id on this host.

    The process id alone is no name: in containers it is the same small number everywhere.
    """
    return f"worker-{pid}-{socket.gethostname()}"
