"""The programs of docs/clients/, as they are printed there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Playwright brings a Node.js of its own, so none has to be there.
from playwright._impl._driver import compute_driver_executable

from tests.printing_process import PrintingProcess

PAGES = Path(__file__).parents[2] / "docs" / "clients"


def blocks(page: str, language: str) -> list[str]:
    """The blocks of this language, in their order."""
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def program(page: str, language: str, file: Path, url: str) -> Path:
    """Write a page's program to this file, for this address."""
    file.write_text("\n".join(blocks(page, language)).replace("http://127.0.0.1:8000", url))
    return file


def python_client(directory: Path, url: str) -> list[str]:
    return [sys.executable, str(program("python.md", "python", directory / "client.py", url))]


def javascript_client(directory: Path, url: str) -> list[str]:
    file = program("javascript.md", "javascript", directory / "client.mjs", url)
    return [compute_driver_executable()[0], str(file)]


def java_client(directory: Path, url: str) -> list[str]:
    return ["java", str(program("java.md", "java", directory / "Client.java", url))]


def go_client(directory: Path, url: str) -> list[str]:
    """Built before it is judged: the first time, Go compiles what it needs of its library."""
    file = program("go.md", "go", directory / "client.go", url)
    built = directory / "go_client"
    environ = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    # No toolchain is fetched, gcc is not needed; other tests are not kept from their processor.
    command = ["nice", str(GO), "build", "-p", "1", "-gcflags=all=-N -l", "-o", str(built)]
    command.append(str(file))
    subprocess.run(command, cwd=directory, env=environ, check=True, timeout=200)
    return [str(built)]


class RunningClient(PrintingProcess):
    """A client as a process, judged by what it prints."""

    def __init__(self, command: list[str], token: str) -> None:
        environ = os.environ | {"ENERGY_TOKEN": token}
        # A JVM says on its output that it has taken these.
        environ.pop("JDK_JAVA_OPTIONS", None)
        super().__init__(command, env=environ)


Command = Callable[[Path, str], list[str]]
#: Where Go's own archive is unpacked, which not every PATH has.
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
#: What nothing else here needs, so it may not be there.
MAY_LACK = {"go": (GO, "Go is not installed"), "java": (shutil.which("javac"), "there is no JDK")}
LEFT_OUT = {name: why for name, (tool, why) in MAY_LACK.items() if tool is None}
ALL: dict[str, Command] = {
    "python": python_client,
    "javascript": javascript_client,
    "java": java_client,
    "go": go_client,
}
CLIENTS = {name: command for name, command in ALL.items() if name not in LEFT_OUT}
