"""The runner of the suite: tiers side by side, each judged by itself, what they print unmixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiers
from tests.tiers import Tier

#: A crowded machine takes long to start two.
PATIENT = 240
pytestmark = pytest.mark.timeout(300)

PASSES = """
import time
def test_it(request):
    # Both run at once, or neither ends.
    here = request.path.parents[1]
    (here / request.path.parent.name).with_suffix(".runs").touch()
    while len(list(here.glob("*.runs"))) < 2:
        time.sleep(0.02)
"""
FAILS = "def test_it():\n    assert False, 'this one'\ndef test_other():\n    pass\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tests = tmp_path / "tests"
    monkeypatch.setattr(tiers, "TESTS", tests)
    # Ours must not reach the inner run: it is not our suite.
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    for name in [name for name in tiers.os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)
    return tests


def put(tests: Path, name: str, code: str) -> None:
    (tests / name).mkdir(parents=True)
    (tests / name / f"test_{name}.py").write_text(code)


def test_tiers_of_a_stage_run_at_once_and_each_is_shown_when_it_ends(
    write: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    put(write, "one", PASSES)
    put(write, "two", PASSES)
    stage = (Tier("one", PATIENT), Tier("two", PATIENT))
    outcomes = tiers.run(stage, 1)
    printed = capfd.readouterr().out
    assert [(each.tier.name, each.passed, each.complaint()) for each in outcomes] == [
        ("one", 1, ""),
        ("two", 1, ""),
    ], printed
    assert printed.count("1 passed") == 2
    first, second = printed.split("\n== ")[1:]
    assert {first[:3], second[:3]} == {"one", "two"}
    assert ("1 passed" in first) is ("1 passed" in second) is True


def test_one_that_fails_fails_the_run_and_no_other(
    write: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(write, "good", "def test_it():\n    pass\n")
    put(write, "bad", FAILS)
    put(write, "slow", "def test_it():\n    pass\n")
    monkeypatch.setattr(
        tiers,
        "STAGES",
        ((Tier("good", PATIENT), Tier("bad", PATIENT)), (Tier("slow", 0), Tier("none", 1))),
    )
    assert tiers.main([]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert any(line.startswith("good") and "1 passed" in line for line in lines)
    assert any(line.startswith("bad") and line.endswith("1 failed") for line in lines)
    assert "not green: bad, slow" in lines
    assert any("this one" in line for line in lines)


#: Fails the first time only.
UNSTEADY = """
def test_{number}(request):
    ran = request.path.with_suffix(".ran{number}")
    was_there = ran.exists()
    ran.touch()
    assert was_there, "not yet"
"""


@pytest.mark.parametrize(
    ("tests", "is_asked_again", "code"),
    [
        ([1], True, 0),
        ([1, 2], True, 0),
        ([1, 2, 3], True, 1),
        ([1], False, 1),
    ],
)
def test_few_that_fail_are_asked_once_more_and_named(
    write: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tests: list[int],
    is_asked_again: bool,
    code: int,
) -> None:
    put(write, "odd", "".join(UNSTEADY.format(number=each) for each in tests))
    monkeypatch.setattr(tiers, "STAGES", ((Tier("odd", PATIENT, is_asked_again=is_asked_again),),))
    assert tiers.main([]) == code
    lines = capfd.readouterr().out.splitlines()
    named = [line.split("::")[1] for line in lines if line.startswith("UNSTEADY")]
    assert named == ([] if code else [f"test_{each}" for each in tests])
    assert any("not yet" in line for line in lines), "the first failure is shown"


def test_one_that_fails_again_fails_the_run(
    write: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(write, "bad", FAILS)
    monkeypatch.setattr(tiers, "STAGES", ((Tier("bad", PATIENT),),))
    assert tiers.main([]) == 1
    printed = capfd.readouterr().out
    assert "once more, alone: tests/bad/test_bad.py::test_it" in printed
    assert "UNSTEADY" not in printed


def test_what_is_compiled_is_kept_where_the_machine_says_otherwise(
    write: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    put(write, "keeps", "import sys\ndef test_it():\n    assert not sys.dont_write_bytecode\n")
    (outcome,) = tiers.run((Tier("keeps", PATIENT),), 1)
    assert outcome.complaint() == ""


def test_one_that_hangs_is_ended_with_all_it_started(
    write: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "HANGING_SECONDS", 0)
    code = "import subprocess\ndef test_it():\n    subprocess.run(['sleep', '600'])\n"
    put(write, "hangs", code)
    (outcome,) = tiers.run((Tier("hangs", 3),), 1)
    assert outcome.exit_code == -9
    assert outcome.complaint() == "pytest ended with -9"
