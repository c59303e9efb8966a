"""Runs the suite tier by tier: `python -m tests.tiers [TIER ...]`, which is `make test`.

Each tier is a directory with a budget in seconds; one over its budget fails, so the suite stays
one that people run. All tiers run even if one fails. A slow machine may stretch the budgets:
`make test TEST_BUDGET_FACTOR=3`. Ends 0 only if every test of every tier passed, in time, and
none was skipped.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import psutil

TESTS = Path(__file__).parent
#: No time-out of pytest reaches a test that waits in C code: the tier is killed this long after.
HANGING_SECONDS = 60
#: Longer than any test's own time-out: then it says where it is, which needs no help of Python's.
#: Not sooner: to look at threads that run may end the process, as was seen on a crowded machine.
WHERE_SECONDS = 310
#: A broker lives for a minute here: compiled in one step it takes half the processor time.
QUICK_JAVA = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}


@dataclass(frozen=True)
class Tier:
    """A directory below tests/, in the order they run: the cheapest answers first."""

    name: str
    budget_seconds: int
    processes: int = 0
    """Of pytest-xdist; 0: none. Not where tests measure rates; the rest mostly waits."""


TIERS = (
    Tier("unit", 80, processes=2),
    Tier("property", 40, processes=2),
    Tier("model", 90, processes=2),
    Tier("broker", 360, processes=4),
    Tier("e2e", 240, processes=2),
    Tier("fault", 480, processes=3),
    Tier("fuzz", 110),
)


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


def run(tier: Tier, allowed_seconds: float) -> Outcome:
    """Run one tier in a pytest of its own, its output straight to ours."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.xml")
        command = [sys.executable, "-m", "pytest", str(TESTS / tier.name), "-q"]
        command += [f"--junitxml={report}", f"--session-timeout={allowed_seconds}"]
        command += ["-o", f"faulthandler_timeout={WHERE_SECONDS}"]
        # A suite that grows slow shows where.
        command += ["--durations=8", "--durations-min=5"]
        if tier.processes:
            # One test at a time, so that the longest, which come first, run beside the others.
            command += ["-n", str(tier.processes), "--maxschedchunk=1"]
        began = time.monotonic()
        exit_code = run_bounded(command, allowed_seconds + HANGING_SECONDS)
        seconds = time.monotonic() - began
        counted = counts(report)
    failed = counted["failures"] + counted["errors"]
    return Outcome(
        tier,
        passed=counted["tests"] - failed - counted["skipped"],
        failed=failed,
        skipped=counted["skipped"],
        seconds=seconds,
        allowed_seconds=allowed_seconds,
        exit_code=exit_code,
    )


def run_bounded(command: list[str], seconds: float) -> int:
    """Run pytest; after so long kill it with all it started, and say so."""
    process = subprocess.Popen(command, cwd=TESTS.parent, env=QUICK_JAVA | os.environ)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"a test hangs: killed after {seconds:g} s", flush=True)
        return -9
    finally:
        if process.poll() is None:
            for each in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.kill()
            process.wait()


def counts(report: Path) -> dict[str, int]:
    """Tests, failures, errors and skipped of a JUnit report; zeros if there is none."""
    names = ("tests", "failures", "errors", "skipped")
    if not report.exists():
        return dict.fromkeys(names, 0)
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    totals = [[int(suite.get(name, 0)) for name in names] for suite in suites]
    return dict(zip(names, map(sum, zip(*totals, strict=True)), strict=True))


def main(names: list[str]) -> int:
    """Run the named tiers, or all that exist; print one line for each at the end."""
    unknown = set(names) - {tier.name for tier in TIERS}
    if unknown:
        print(f"no such tier: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    factor = float(os.environ.get("TEST_BUDGET_FACTOR", "1"))
    outcomes = []
    for tier in TIERS:
        if (TESTS / tier.name).is_dir() and (not names or tier.name in names):
            print(f"\n== {tier.name}", flush=True)
            outcomes.append(run(tier, tier.budget_seconds * factor))
    print()
    for outcome in outcomes:
        print(
            f"{outcome.tier.name:<10}{outcome.passed:>6} passed {outcome.seconds:>7.1f} s "
            f"of {outcome.allowed_seconds:g} {outcome.complaint()}".rstrip()
        )
    failed = sum(1 for outcome in outcomes if outcome.complaint())
    if failed:
        print("not green: " + ", ".join(o.tier.name for o in outcomes if o.complaint()))
    passed_tests = sum(outcome.passed for outcome in outcomes)
    failed_tests = sum(outcome.failed for outcome in outcomes)
    print(f"\n{passed_tests} passed, {max(failed_tests, failed)} failed")
    return 1 if failed or not passed_tests else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
