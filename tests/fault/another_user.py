"""A role of ours as another user runs it, as a container does: only root can start one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

UID, GID = 10_001, 10_001

#: The other user may not be let into where Python is: all of it that is wanted later comes first.
_CHILD = f"""
import importlib, os, pkgutil, sys
role = sys.argv[1]
odd = {{name for name in sys.stdlib_module_names if name.startswith("_")}}
odd |= {{"antigravity", "idlelib", "lib2to3", "this", "tkinter", "turtle", "turtledemo"}}
packages = ["asyncio", "concurrent", "email", "encodings", "http", "importlib", "urllib"]
for name in sorted(sys.stdlib_module_names - odd) + ["contract", "kafka_io", "producer", role]:
    try:
        package = importlib.import_module(name)
        if name in packages or name not in sys.stdlib_module_names:
            for module in pkgutil.walk_packages(package.__path__, name + "."):
                if not module.name.endswith(".__main__") or module.name.startswith(role):
                    importlib.import_module(module.name)
    except ImportError:
        assert name in sys.stdlib_module_names, name
main = sys.modules[role + ".__main__"].main
os.setgroups([])
os.setgid({GID})
os.setuid({UID})
sys.argv = [role]
sys.exit(main())
"""


def may_be_another_user() -> bool:
    """Tell whether this process is allowed to: not every root of a container is."""
    become = f"import os; os.setgroups([]); os.setgid({GID}); os.setuid({UID})"
    tried = subprocess.run([sys.executable, "-c", become], capture_output=True, check=False)
    return tried.returncode == 0


class AnotherUser:
    """One role, in a process of that user."""

    def __init__(self, role: str, log_file: Path, environ: Mapping[str, str]) -> None:
        self.log_file = log_file
        with log_file.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _CHILD, role],
                env={"PATH": os.environ["PATH"], **environ},
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def uid(self) -> int:
        """Return whose process it is now."""
        told = Path(f"/proc/{self.process.pid}/status").read_text().partition("\nUid:")[2]
        return int(told.split()[0])

    def stop(self) -> int:
        """SIGTERM; returns its exit code, also of one that had ended by itself."""
        self.process.terminate()
        return self.process.wait(30)
