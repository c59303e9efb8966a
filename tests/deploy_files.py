"""Which file of deploy/ is checked by what: `python -m tests.deploy_files`, or `make deploy-check`.

Prints the list, then runs it: the tests and tools/lint.sh, which has the tools of Kafka's, nginx'
and Prometheus' own makers. Ends with 1 where a file has no check, a check is not there, or one
fails. `tests/unit/repository/test_deploy_files.py` holds the list to the files.
"""

from __future__ import annotations

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = "tests/unit/repository"
#: File -> what checks it: a test module, or words of tools/lint.sh. The first pattern counts.
CHECKS: dict[str, tuple[str, ...]] = {
    "docker-compose.yml": (f"{TESTS}/test_compose.py", f"{TESTS}/test_packaging.py"),
    "deploy/compose/*": (f"{TESTS}/test_compose.py",),
    "deploy/Dockerfile": ("hadolint deploy/Dockerfile", f"{TESTS}/test_packaging.py"),
    "deploy/requirements.lock": (f"{TESTS}/test_packaging.py",),
    "deploy/.env.example": (f"{TESTS}/test_docs.py",),
    "deploy/README.md": (f"{TESTS}/test_links.py",),
    "deploy/grafana/dashboards/pipeline.json": (
        f"{TESTS}/test_dashboards.py",
        "deploy/grafana/dashboards/pipeline.json",
        "tests/e2e/test_metrics.py",
    ),
    "deploy/grafana/*": (f"{TESTS}/test_dashboards.py",),
    "deploy/prometheus/alerts*.yaml": (
        f"{TESTS}/test_alerts.py",
        "promtool check rules",
        "promtool test rules",
        "tests/e2e/test_metrics.py",
    ),
    "deploy/prometheus/prometheus.yml": (f"{TESTS}/test_compose.py", "promtool check config"),
    "deploy/nginx/*": (f"{TESTS}/test_reverse_proxy_example.py", "tools/nginx_check.sh"),
    "deploy/systemd/*": (f"{TESTS}/test_systemd.py", "tools/systemd_check.sh"),
    "deploy/kubernetes/*": (f"{TESTS}/test_kubernetes.py", "kubectl kustomize"),
    "deploy/kafka/*": (f"{TESTS}/test_acls.py", "acls.sh"),
}


def files() -> list[str]:
    """Return what is deployed from, as Git has it."""
    listed = subprocess.run(
        ["git", "ls-files", "deploy", "docker-compose.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.splitlines()


def checks_of(file: str) -> tuple[str, ...]:
    """Return what checks a file; nothing where it was forgotten."""
    return next((checks for pattern, checks in CHECKS.items() if fnmatch(file, pattern)), ())


def main() -> int:
    """Print the list and run it."""
    print(f"{'file':<58} checked by")
    for file in files():
        print(f"{file:<58} {', '.join(checks_of(file)) or 'NOTHING'}")
    if any(not checks_of(file) for file in files()):
        return 1
    tests = {check for file in files() for check in checks_of(file) if check.startswith(TESTS)}
    for command in (
        ["tools/lint.sh"],
        [sys.executable, "-m", "pytest", "-q", *sorted(tests)],
    ):
        print(f"\n{' '.join(command)}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            return 1
    print("\nof a running stack (make test TIERS=e2e): tests/e2e/test_metrics.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
