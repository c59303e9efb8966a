"""ENERGY_HOME: whose it is, who may look into it, who runs on it."""

import os
import stat
from pathlib import Path

import pytest

from api.home_directory import own_view_directory, prepare_spool
from api.preparation import with_directories
from api.settings import ApiSettings
from contract.errors import SettingError
from local_stack.errors import DirectoryLocked
from local_stack.home import only_one_on, open_home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def of_another_user(monkeypatch: pytest.MonkeyPatch, path: Path, *, is_our_group: bool) -> None:
    """Let this process be of another user, in the directory's group or not."""
    group = path.stat().st_gid if is_our_group else 12_345
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    monkeypatch.setattr(os, "getegid", lambda: 12_345)
    monkeypatch.setattr(os, "getgroups", lambda: [group])


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


@pytest.mark.parametrize(("mode_of_it", "group"), [(0o700, True), (0o755, True), (0o770, False)])
def test_s9_a_foreign_home_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode_of_it: int, group: bool
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(mode_of_it)
    of_another_user(monkeypatch, tmp_path / "home", is_our_group=group)
    with pytest.raises(SettingError, match="ENERGY_HOME: must belong to the user who runs this"):
        open_home(tmp_path / "home")


def test_ops_k1_a_mounted_volume_that_our_group_may_write_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o2775)
    of_another_user(monkeypatch, home, is_our_group=True)
    assert open_home(home) == home
    assert mode(home) == 0o2775, "what is not ours keeps its mode"


def test_ops_k1_a_mounted_volume_that_everybody_may_write_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o2777)
    of_another_user(monkeypatch, home, is_our_group=True)
    with pytest.raises(SettingError, match="ENERGY_HOME: must not be writable by others"):
        open_home(home)


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


def test_each_server_has_a_directory_of_its_own_for_its_copy(tmp_path: Path) -> None:
    directory = tmp_path / "view"
    with own_view_directory(directory) as first:
        assert first == directory / "0"
        assert mode(directory) == mode(first) == 0o700
        with own_view_directory(directory) as second:
            assert second == directory / "1"
    with own_view_directory(directory) as again:
        assert again == first, "alone again, it finds the copy it has left"


def test_more_servers_on_a_view_directory_than_there_may_be_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.home_directory.MOST_VIEWS", 1)
    with (
        own_view_directory(tmp_path),
        pytest.raises(SettingError, match=r"^API_VIEW_DIR: .*give this one its own"),
        own_view_directory(tmp_path),
    ):
        pass


def test_a_view_directory_is_judged_like_other_state(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with (
        pytest.raises(SettingError, match="API_VIEW_DIR: must not be writable by others"),
        own_view_directory(tmp_path),
    ):
        pass


def test_ops_k3_with_all_it_writes_elsewhere_the_server_needs_no_home(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    elsewhere = {
        "tokens_file": tmp_path / "tokens.json",
        "spool_dir": tmp_path / "spool",
        "view_dir": tmp_path / "view",
    }
    settings = with_directories(ApiSettings(home=tmp_path / "home", **elsewhere))
    assert settings.spool_dir == tmp_path / "spool"
    for missing in elsewhere:
        with pytest.raises(SettingError, match="ENERGY_HOME"):
            with_directories(ApiSettings(home=tmp_path / "home", **elsewhere | {missing: None}))
