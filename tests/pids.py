"""Processes by their ids: whether one is there, and which an API has started."""

import json

import psutil


def is_running(pid: int) -> bool:
    """Whether it runs; not where it has ended and nobody has taken note."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def parts_of(api: int) -> dict[str, int]:
    """Return the process id of each part of an API by its name: `follower`, `http-0`, ..."""
    found = {}
    for child in psutil.Process(api).children():
        try:
            said = child.cmdline()
        except psutil.Error:
            continue
        # The first follower of an API of one process is a fork.
        name = json.loads(said[-1])["name"] if said and said[-1][0] == "{" else "follower"
        found[name] = child.pid
    return found
