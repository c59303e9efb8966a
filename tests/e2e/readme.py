"""What README.md shows of a terminal, run again and compared.

In a block of `console`, lines behind `$ ` are a command as a reader pastes it, the rest is what it
prints. There `…` stands for what differs each time: some characters, or as a line by itself any
number of lines. `make run` itself is not run; its output is that of the `energy up --demo` given.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.e2e.running_up import ENERGY, RunningUp

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIES = "…"


class Example(NamedTuple):
    """A command and what it prints."""

    command: str
    output: str


def examples() -> list[Example]:
    """Read them in their order."""
    found = []
    for block in BLOCK.findall(README.read_text(encoding="utf-8")):
        for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = shown.splitlines(keepends=True)
            count = next(n for n in range(1, len(lines) + 1) if is_whole("".join(lines[:n])))
            found.append(Example("".join(lines[:count]), "".join(lines[count:])))
    return found


def is_whole(command: str) -> bool:
    """Whether a shell would run this, and not wait for more lines."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith("\\\n")


def pattern(output: str) -> re.Pattern[str]:
    """What an output must match as a whole."""
    parts = re.split(rf"^{VARIES}\n", output, flags=re.MULTILINE)
    same = (".+?".join(map(re.escape, part.split(VARIES))) for part in parts)
    return re.compile(r"(?:.*\n)*?".join(same))


def as_it_runs_here(text: str, up: RunningUp) -> str:
    """Put this run's ports and home in place of a user's."""
    here = {
        "127.0.0.1:8000": f"127.0.0.1:{up.api_port}",
        "127.0.0.1:9092": f"127.0.0.1:{up.broker_port}",
        ".energy/": f"{up.home}/",
        ".venv/bin/energy": ENERGY[0],
    }
    for shown, real in here.items():
        text = text.replace(shown, real)
    return text


def compare(up: RunningUp) -> int:
    """Run all against this `energy up --demo`; returns how many were compared."""
    environ = up.environ | {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{up.broker_port}"}
    for example in examples():
        command, expected = (as_it_runs_here(each, up) for each in example)
        if command == "make run\n":
            printed = up.text + "\n"
        else:
            printed = subprocess.run(
                ["/bin/sh", "-c", command],
                env=environ,
                cwd=up.home.parent,
                stdout=subprocess.PIPE,
                text=True,
                timeout=60,
                check=True,
            ).stdout
            printed = printed if printed.endswith("\n") else printed + "\n"
        assert pattern(expected).fullmatch(printed), f"{command}{printed}is not\n{expected}"
    return len(examples())
