"""ENERGY_HOME: whose it is, who may look into it, who runs on it."""

import os
import stat
from pathlib import Path

import pytest

from api.home_directory import prepare_spool
from contract.errors import SettingError
from local_stack.errors import DirectoryLocked
from local_stack.home import only_one_on, open_home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_is_for_its_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        home = open_home(tmp_path / "a" / "b")
    finally:
        os.umask(old)
    assert mode(home) == 0o700
    assert list(home.iterdir()) == []


def test_a_home_that_others_can_read_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    assert mode(open_home(home)) == 0o700


def test_s9_a_home_that_others_can_write_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(SettingError, match="ENERGY_HOME: must not be writable by others"):
        open_home(home)
    assert mode(home) == 0o777


def test_s9_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(SettingError, match="ENERGY_HOME: must be a directory"):
        open_home(tmp_path / "home")


def test_s9_a_read_only_home_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    with pytest.raises(SettingError, match="ENERGY_HOME: must be writable"):
        open_home(home)


def test_s9_a_foreign_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(SettingError, match="ENERGY_HOME: must belong to the user who runs this"):
        open_home(tmp_path / "home")


def test_s10_one_up_at_a_time_runs_on_a_home(tmp_path: Path) -> None:
    with only_one_on(tmp_path):
        with pytest.raises(DirectoryLocked) as refused, only_one_on(tmp_path):
            pass
        assert refused.value.exit_code == 2
    with only_one_on(tmp_path):
        pass


def test_s9_a_spool_directory_is_made_or_refused_by_name(tmp_path: Path) -> None:
    directory = prepare_spool(tmp_path / "disk" / "spool")
    assert mode(directory) == 0o700
    assert prepare_spool(directory) == directory
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"^API_SPOOL_DIR: "):
        prepare_spool(tmp_path / "file")
