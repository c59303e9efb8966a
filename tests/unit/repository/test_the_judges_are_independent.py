"""What judges the project shares no code with it: a mistake cannot be on both sides."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.rooms import ROOMS

TESTS = Path(__file__).parents[2]
OURS = set(ROOMS)
JUDGES = (
    "oracle.py",
    "kafka.py",
    "e2e/poller.py",
    "fault/fleet.py",
    "fault/follower.py",
    "fault/checker.py",
    "fault/series_checker.py",
    "fault/http_reader.py",
    "fault/http_writer.py",
)


def imported(path: Path) -> set[str]:
    """Every module that a file imports, as it is named."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: import by the full name"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("judge", JUDGES)
def test_a_judge_imports_nothing_of_ours(judge: str) -> None:
    names = imported(TESTS / judge)
    assert not {name for name in names if name.split(".")[0] in OURS}
    # And what it imports of the tests is a judge itself.
    inner = {name for name in names if name.split(".")[0] == "tests"}
    allowed = {"tests." + each.removesuffix(".py").replace("/", ".") for each in JUDGES}
    assert inner <= allowed


@pytest.mark.parametrize("peer", ["confluent_loop.py", "quix_streams.py", "stock_faust.py"])
def test_a_peer_of_the_benchmark_stands_on_its_own(peer: str) -> None:
    names = imported(TESTS / "benchmarks/peers" / peer)
    assert not {name.split(".")[0] for name in names} & (OURS | {"tests"})


def test_the_check_sees_an_import(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text("def f():\n    from contract.device_totals import fold\n")
    assert imported(tmp_path / "judge.py") == {"contract.device_totals"}
