"""Runs a module until its parent dies.

    python -m local_stack.die_with_parent PARENT_PID MODULE [ARGUMENT...]

Guarantees: when the parent is gone, however it ended, this process is killed. What it runs must
bear SIGKILL, as all our parts do. Linux tells us through the parent death signal, elsewhere a
thread looks.
"""

from __future__ import annotations

import ctypes
import gc
import os
import runpy
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_SECONDS = 0.5
OBJECTS_OF_IMPORTS = 50_000


def die_with(parent: int) -> None:
    """Have this process killed when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # It may have died before we asked.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Put on the leash, then become the module."""
    # As the command `energy` does: what is imported now is no garbage.
    gc.set_threshold(OBJECTS_OF_IMPORTS)
    parent, module = int(sys.argv[1]), sys.argv[2]
    die_with(parent)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
