"""S15, S16: what a machine is set to changes no byte; what it lacks is said before all else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ENERGY = Path(sys.executable).with_name("energy")
PLAIN = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
#: As far from ours as an environment can be: where it has an effect, it is there twice.
ODD = {
    "TZ": "Asia/Kathmandu",
    "LANG": "C",
    "LC_ALL": "C",
    "LC_NUMERIC": "de_DE.UTF-8",
    "PYTHONOPTIMIZE": "2",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
}


def output_of(*command: str | Path, **environ: str) -> str:
    return subprocess.run(
        command, cwd=ROOT, env=PLAIN | environ, capture_output=True, check=True, text=True
    ).stdout


def test_s15_zone_locale_and_optimization_change_no_byte() -> None:
    plain, odd = (
        output_of(sys.executable, "-m", "tests.own_bytes", **environ) for environ in ({}, ODD)
    )
    kinds = set(re.findall(r'^{"(.*?)": ', plain, flags=re.MULTILINE))
    assert len(kinds) == 11, kinds
    assert plain == odd


def test_s15_help_and_messages_are_there_without_docstrings() -> None:
    plain, odd = (output_of(ENERGY, "load", "--help", **environ) for environ in ({}, ODD))
    assert "invalid rows go to the quarantine" in odd
    # Without UTF-8 its frames are drawn in ASCII.
    assert re.findall(r"\w+", plain) == re.findall(r"\w+", odd)


@pytest.fixture
def fake_programs(tmp_path: Path) -> Path:
    """A directory to put programs in, with what a shell script needs and nothing else."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("sh", "sed", "make"):
        found = shutil.which(name)
        assert found is not None
        (directory / name).symlink_to(found)
    return directory


def add_program(directory: Path, name: str, script: str) -> Path:
    program = directory / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def refused(*command: str | Path, path: Path, home: Path, **variables: str) -> str:
    """Run what must end with 2 and one line, and begin nothing; gives the line."""
    environ = {"PATH": str(path), "HOME": str(home), "ENERGY_HOME": str(home / "energy")}
    environ |= variables
    before = sorted(home.rglob("*"))
    ended = subprocess.run(
        command, env=environ, cwd=home, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert sorted(home.rglob("*")) == before
    return line


OLD_JAVA = """echo 'openjdk version "11.0.2" 2019-01-15' >&2"""


@pytest.mark.parametrize("command", ["up", "broker"])
@pytest.mark.parametrize(
    ("java", "words"),
    [
        (None, r"no java in JAVA_HOME \(\S+\), and none came with us: install it with: pip "),
        (OLD_JAVA, r"\S+/java is Java 11, too old: set JAVA_HOME to Java 17 or newer"),
    ],
)
def test_s16_energy_where_java_home_has_none_or_an_old_one(
    fake_programs: Path, tmp_path: Path, command: str, java: str | None, words: str
) -> None:
    if java is not None:
        add_program(fake_programs, "java", java)
    line = refused(ENERGY, command, path=fake_programs, home=tmp_path, JAVA_HOME=str(tmp_path))
    assert re.match(f"energy: {words}", line)


def test_s16_make_says_what_is_missing_and_begins_nothing(
    fake_programs: Path, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "prerequisites.sh", tmp_path / "tools")
    # 3.10 fails the check of its version, which is all that is asked of it.
    python = add_program(fake_programs, "python3", "exit 1")
    for goal in ("run", "test"):
        line = refused("make", goal, f"PYTHON={python}", path=fake_programs, home=tmp_path)
        assert "Python 3.11 or newer is missing" in line
