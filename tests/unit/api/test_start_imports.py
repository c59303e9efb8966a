"""What an API process imports before it serves: a start is little more than its imports."""

import subprocess
import sys

import pytest

#: What a first request imports, in a thread, or what only other processes need.
NOT_AT_START = {"faust", "jinja2", "numpy", "pandas", "pyarrow", "rocksdict", "typer"}
_STARTED = """
import sys
import api.__main__, api.{module}
print(*sys.modules)
"""


@pytest.mark.parametrize(
    "module",
    [
        # What the one imports when its follower is on its way.
        "processes.one_server, api.app, api.server",
        "processes.parent",
        "processes.follower",
        "processes.http_process",
    ],
)
def test_a_start_imports_nothing_that_is_not_asked_for_yet(module: str) -> None:
    command = [sys.executable, "-c", _STARTED.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {name.partition(".")[0] for name in done.stdout.split()}
    assert "api" in found
    assert not found & NOT_AT_START
