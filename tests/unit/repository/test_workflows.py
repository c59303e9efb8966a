"""The workflows of CI and release: pinned, with few rights, and of files that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ui.conftest import SCREENSHOTS

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

pytestmark = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def workflow(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def commands(path: Path) -> str:
    jobs = workflow(path)["jobs"].values()
    return "\n".join(step.get("run", "") for job in jobs for step in job["steps"])


def test_every_action_is_pinned_by_commit_with_its_version_beside_it(path: Path) -> None:
    uses = [line.strip(" -") for line in path.read_text().splitlines() if "uses: " in line]
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line)] == []


def test_the_same_action_has_the_same_pin_everywhere(path: Path) -> None:
    del path
    pins = {
        tuple(pin.split("@"))
        for each in WORKFLOWS
        for pin in re.findall(r"uses: (\S+@\S+)", each.read_text())
    }
    assert len({name for name, _ in pins}) == len(pins)


def test_it_may_only_read_unless_a_job_says_otherwise(path: Path) -> None:
    found = workflow(path)
    assert found["permissions"] == {"contents": "read"}
    for name, job in found["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        if path.stem == "tests":
            assert "permissions" not in job, "what runs for anybody's change writes nothing"


def test_what_it_runs_is_there(path: Path) -> None:
    made = set(re.findall(r"\bmake ([a-z-]+)", commands(path)))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert made <= targets
    for name in re.findall(r"(?:^|\s)((?:\.ci|deploy|tests)/[\w./-]+)", commands(path)):
        # What is copied from an example is made by the line before.
        assert (ROOT / name).exists() or (ROOT / f"{name}.example").exists(), name
    if path.stem != "image":
        assert ".ci/run" in commands(path)
        assert "make audit" in commands(path)


def test_pictures_of_the_page_are_kept_by_ci_and_by_nobody_else(path: Path) -> None:
    if path.stem == "tests":
        steps = workflow(path)["jobs"]["suite"]["steps"]
        (kept,) = [step["with"] for step in steps if "upload-artifact@" in step.get("uses", "")]
        directory = str(SCREENSHOTS.relative_to(ROOT))
        assert kept["path"] == directory
        assert f"/{directory}/" in (ROOT / ".gitignore").read_text().splitlines()


def test_no_secret_is_asked_for_but_the_runs_own(path: Path) -> None:
    assert "secrets." not in path.read_text()
