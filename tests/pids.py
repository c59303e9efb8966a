"""Whether a process is there."""

import psutil


def is_running(pid: int) -> bool:
    """Whether it runs; not where it has ended and nobody has taken note."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
