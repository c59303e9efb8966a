"""Runs the suite tier by tier: `python -m tests.tiers [TIER ...]`, which is `make test`.

Each tier is a directory with a budget in seconds; one over its budget fails, so the suite stays
one that people run. Some that wait much run side by side; what the second one prints is shown
when it ends. Tiers that compute do not: beside others their tests run into their time-outs. All
tiers run even if one fails. Where at most two tests fail that run real processes, they are asked
once more, with nothing beside them: those that pass then are named, and are findings to look at.
A slow machine may stretch the budgets: `make test TEST_BUDGET_FACTOR=3`. Ends 0 only if every
test of every tier passed, in time, and none was skipped.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import psutil

TESTS = Path(__file__).parent
#: No time-out of pytest reaches a test that waits in C code: the tier is killed this long after.
HANGING_SECONDS = 60
#: Longer than any test's own time-out: then it says where it is, which needs no help of Python's.
#: Not sooner: to look at threads that run may end the process, as was seen on a crowded machine.
WHERE_SECONDS = 310
#: A broker lives for a minute here: compiled in one step it takes half the processor time, and
#: compiled at a third of the usual number of calls a tenth less.
QUICK_JAVA = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:CompileThresholdScaling=0.3"}

#: Many containers have it; then each process compiles our modules, and pytest its asserts, anew.
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


@dataclass(frozen=True)
class Tier:
    """A directory below tests/, in the order they run: the cheapest answers first."""

    name: str
    budget_seconds: int
    processes: int = 0
    """Of pytest-xdist; 0: none. Not where tests measure rates; the rest mostly waits."""
    is_asked_again: bool = True
    """Whether a failure may be the machine's: not where a test is one process's computing."""


#: Those of a stage run side by side; a tier's budget holds beside the others.
STAGES = (
    (Tier("unit", 240, processes=4, is_asked_again=False),),
    (Tier("property", 80, processes=2, is_asked_again=False),),
    (Tier("model", 180, processes=2, is_asked_again=False),),
    (Tier("broker", 480, processes=4),),
    (Tier("e2e", 560, processes=2), Tier("ui", 320, processes=2)),
    (Tier("fault", 1080, processes=4),),
    (Tier("fuzz", 400), Tier("secured", 720)),
)
TIERS = tuple(tier for stage in STAGES for tier in stage)
#: Of all tests of a run. More that fail are no matter of luck.
MOST_ASKED_AGAIN = 2


@dataclass(frozen=True)
class Outcome:
    """What one tier came to."""

    tier: Tier
    passed: int
    failed: int
    skipped: int
    seconds: float
    allowed_seconds: float
    exit_code: int
    #: The ids of tests that failed.
    failures: tuple[str, ...] = ()
    #: Of them those that passed when they were asked again.
    unsteady: tuple[str, ...] = ()

    def complaint(self) -> str:
        """Why this tier is not green; empty if it is."""
        if self.failed:
            return f"{self.failed} failed"
        if self.exit_code != 0:
            return f"pytest ended with {self.exit_code}"
        if self.skipped:
            return f"{self.skipped} skipped"
        if self.seconds > self.allowed_seconds:
            return "over its budget"
        return ""


class Run:
    """One tier in a pytest of its own, from its start on."""

    def __init__(self, tier: Tier, allowed_seconds: float, directory: Path, *, is_shown: bool):
        """Start it; what it prints goes straight to ours where that is wanted, else to a file."""
        self.tier, self.allowed_seconds = tier, allowed_seconds
        self._report, self._printed = directory / f"{tier.name}.xml", directory / f"{tier.name}.txt"
        command = [sys.executable, "-m", "pytest", str(TESTS / tier.name), "-q"]
        command += [f"--junitxml={self._report}", f"--session-timeout={allowed_seconds}"]
        command += ["-o", f"faulthandler_timeout={WHERE_SECONDS}"]
        # A suite that grows slow shows where.
        command += ["--durations=8", "--durations-min=5"]
        if tier.processes:
            # One test at a time, so that the longest, which come first, run beside the others.
            command += ["-n", str(tier.processes), "--maxschedchunk=1"]
        self._began = time.monotonic()
        self._outcome: Outcome | None = None
        with ExitStack() as files:
            output = None if is_shown else files.enter_context(self._printed.open("wb"))
            self._process = subprocess.Popen(
                command, cwd=TESTS.parent, env=environ(), stdout=output, stderr=output
            )

    def outcome(self) -> Outcome | None:
        """What it came to, when it has ended; kills one that hangs. Shows what it kept."""
        if self._outcome is None:
            seconds = time.monotonic() - self._began
            exit_code = self._process.poll()
            if exit_code is None and seconds > self.allowed_seconds + HANGING_SECONDS:
                self.kill()
                exit_code = -9
            if exit_code is not None:
                self._outcome = self._counted(exit_code, seconds)
        return self._outcome

    def _counted(self, exit_code: int, seconds: float) -> Outcome:
        if self._printed.exists():
            print(f"\n== {self.tier.name}, {seconds:.0f} s beside others", flush=True)
            with self._printed.open("rb") as printed:
                shutil.copyfileobj(printed, sys.stdout.buffer)
            sys.stdout.flush()
        if exit_code == -9:
            print(f"a test hangs: killed after {seconds:.0f} s", flush=True)
        counted = counts(self._report)
        failed = counted["failures"] + counted["errors"]
        return Outcome(
            self.tier,
            passed=counted["tests"] - failed - counted["skipped"],
            failed=failed,
            skipped=counted["skipped"],
            seconds=seconds,
            allowed_seconds=self.allowed_seconds,
            exit_code=exit_code,
            failures=failures(self._report),
        )

    def kill(self) -> None:
        """End it with all it started."""
        if self._process.poll() is None:
            for each in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            self._process.kill()
            self._process.wait()


def environ() -> dict[str, str]:
    """Return what a tier runs in."""
    kept = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
    return QUICK_JAVA | kept


def run(stage: Sequence[Tier], factor: float) -> list[Outcome]:
    """Run the tiers of a stage side by side; ends when all have."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        runs = []
        for tier in stage:
            each = Run(
                tier, tier.budget_seconds * factor, Path(directory), is_shown=len(stage) == 1
            )
            running.callback(each.kill)
            runs.append(each)
        while None in (outcomes := [each.outcome() for each in runs]):
            time.sleep(0.1)
    return [outcome for outcome in outcomes if outcome is not None]


def counts(report: Path) -> dict[str, int]:
    """Tests, failures, errors and skipped of a JUnit report; zeros if there is none."""
    names = ("tests", "failures", "errors", "skipped")
    if not report.exists():
        return dict.fromkeys(names, 0)
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    totals = [[int(suite.get(name, 0)) for name in names] for suite in suites]
    return dict(zip(names, map(sum, zip(*totals, strict=True)), strict=True))


def failures(report: Path) -> tuple[str, ...]:
    """Return the ids of tests that a JUnit report says have failed, each once."""
    if not report.exists():
        return ()
    cases = ElementTree.parse(report).getroot().iter("testcase")
    found = {
        f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}": None
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    return tuple(found)


def asked_again(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Ask failed tests once more, alone, where they are few and run real processes."""
    failed = [each for each in outcomes if each.failures]
    count = sum(len(each.failures) for each in failed)
    if not 0 < count <= MOST_ASKED_AGAIN or not all(each.tier.is_asked_again for each in failed):
        return [*outcomes]
    return [_asked_again(each) if each.failures else each for each in outcomes]


def _asked_again(outcome: Outcome) -> Outcome:
    print(f"\n== once more, alone: {', '.join(outcome.failures)}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "again.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *outcome.failures]
        done = subprocess.run(command, cwd=TESTS.parent, env=environ(), check=False)
        counted = counts(report)
    if done.returncode or counted["tests"] != len(outcome.failures) or counted["skipped"]:
        return outcome
    return replace(
        outcome,
        passed=outcome.passed + len(outcome.failures),
        failed=0,
        # pytest's own, of a run that was whole but for them.
        exit_code=0 if outcome.exit_code == 1 else outcome.exit_code,
        unsteady=outcome.failures,
    )


def main(names: list[str]) -> int:
    """Run the named tiers, or all that exist; print one line for each at the end."""
    unknown = set(names) - {tier.name for tier in TIERS}
    if unknown:
        print(f"no such tier: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    factor = float(os.environ.get("TEST_BUDGET_FACTOR", "1"))
    outcomes = []
    for stage in STAGES:
        wanted = [
            tier
            for tier in stage
            if (TESTS / tier.name).is_dir() and (not names or tier.name in names)
        ]
        if wanted:
            print(f"\n== {', '.join(tier.name for tier in wanted)}", flush=True)
            outcomes += run(wanted, factor)
    outcomes = asked_again(outcomes)
    print()
    for outcome in outcomes:
        print(
            f"{outcome.tier.name:<10}{outcome.passed:>6} passed {outcome.seconds:>7.1f} s "
            f"of {outcome.allowed_seconds:g} {outcome.complaint()}".rstrip()
        )
    failed = sum(1 for outcome in outcomes if outcome.complaint())
    if failed:
        print("not green: " + ", ".join(o.tier.name for o in outcomes if o.complaint()))
    for each in (each for outcome in outcomes for each in outcome.unsteady):
        print(f"UNSTEADY, failed beside others and passed alone: {each}")
    passed_tests = sum(outcome.passed for outcome in outcomes)
    failed_tests = sum(outcome.failed for outcome in outcomes)
    print(f"\n{passed_tests} passed, {max(failed_tests, failed)} failed")
    return 1 if failed or not passed_tests else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
