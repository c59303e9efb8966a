"""No file of deploy/ is without a check, and each check that is named is one."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from tests.deploy_files import CHECKS, ROOT, checks_of, files

LINT = (ROOT / "tools" / "lint.sh").read_text(encoding="utf-8")


def test_each_file_has_a_check() -> None:
    assert [file for file in files() if not checks_of(file)] == []


@pytest.mark.parametrize("pattern", list(CHECKS))
def test_each_entry_is_of_files_that_there_are(pattern: str) -> None:
    assert [file for file in files() if fnmatch(file, pattern)]


@pytest.mark.parametrize("check", sorted({each for checks in CHECKS.values() for each in checks}))
def test_each_check_is_there(check: str) -> None:
    if check.startswith("tests/"):
        assert (ROOT / check).is_file()
    else:
        assert check in LINT
