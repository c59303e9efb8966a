"""The `energy` command as a user types it: help, exit codes, one line for an error."""

import errno
import gc
import json
import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from cli import app as cli
from cli.error_line import one_line
from contract import build, exit_codes
from contract.errors import CorruptRecord, SettingError
from local_stack.ports import free_port
from operations.errors import Refused

Captured = pytest.CaptureFixture[str]


def leaves() -> list[list[str]]:
    """Every command there is, as typed."""

    def below(command: object, path: list[str]) -> list[list[str]]:
        children = getattr(command, "commands", None)
        if children is None:
            return [path]
        return [leaf for name in children for leaf in below(children[name], [*path, name])]

    return below(typer.main.get_command(cli.app), [])


@pytest.mark.parametrize("command", leaves(), ids=" ".join)
def test_each_command_has_help_with_one_example(command: list[str], capsys: Captured) -> None:
    assert cli.run([*command, "--help"], {}) == 0
    text = capsys.readouterr().out
    assert len(re.findall("Example:", text)) == 1
    assert f"energy {' '.join(command)}" in " ".join(text.split("Example:")[1].split())


@pytest.mark.parametrize("group", ["topics", "replay", "quarantine", "token"])
def test_each_group_of_commands_has_help_with_one_example(group: str, capsys: Captured) -> None:
    assert cli.run([group, "--help"], {}) == 0
    text = " ".join(capsys.readouterr().out.split())
    (example,) = re.findall(r"Example: (energy \S+ \S+)", text)
    assert example.split() in [["energy", *command] for command in leaves()]


@pytest.mark.parametrize("room", ["api", "stream_app"])
@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["--nonsense"], 2), (["nonsense"], 2)]
)
def test_a_room_run_as_a_module_helps_and_takes_nothing_unknown(
    room: str,
    arguments: list[str],
    code: int,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", [room, *arguments])
    monkeypatch.delitem(sys.modules, f"{room}.__main__", raising=False)
    monkeypatch.setattr("asyncio.Runner", None)  # nothing is begun
    monkeypatch.setattr("asyncio.run", None)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(room, run_name="__main__")
    assert ended.value.code == code
    assert ("Example:" in capsys.readouterr().out) == (code == 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["up", "--workers", "0"],
        ["up", "--workers", "two"],
        ["topics", "check", "--nonsense"],
        ["token", "create", "--name", "a", "--scope", "NONSENSE"],
    ],
)
def test_wrong_use_ends_with_2(arguments: list[str], capsys: Captured) -> None:
    assert cli.run(arguments, {}) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENERGY_PARTITIONS", "0"),
        ("ENERGY_PARTITIONS", "1_0"),
        ("ENERGY_PARTITIONS", "\uff14"),
        ("ENERGY_REPLICATION_FACTOR", ""),
        ("KAFKA_BOOTSTRAP_SERVERS", "http://there"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ],
)
def test_s1_a_bad_setting_ends_with_2_and_its_name(
    variable: str, value: str, capsys: Captured
) -> None:
    assert cli.run(["status"], {variable: value}) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"energy: {variable}: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("port", ["0", "65536", "", "nan"])
def test_s2_a_bad_port_ends_with_2(port: str, tmp_path: Path, capsys: Captured) -> None:
    environ = {"ENERGY_HOME": str(tmp_path / "home"), "ENERGY_BROKER_PORT": port}
    assert cli.run(["up"], environ) == 2
    assert "ENERGY_BROKER_PORT" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 75), (errno.EACCES, 2)])
def test_ops_b12_a_command_tells_a_full_disk_from_a_wrong_path(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def refused(self: Path, *_: object, **options: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    environ = {"ENERGY_HOME": str(tmp_path / "home")}
    assert cli.run(["token", "list"], environ) == code
    told = capsys.readouterr().err
    assert os.strerror(number) in told
    assert "--debug" not in told


def test_the_password_is_in_no_message(capsys: Captured) -> None:
    environ = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_PASSWORD": "hunter2"}
    assert cli.run(["status"], environ) == 2
    assert "hunter2" not in capsys.readouterr().err


def test_only_debug_shows_where_an_error_comes_from(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").touch()
    environ = {"ENERGY_HOME": str(tmp_path / "file")}
    assert cli.run(["token", "list"], environ) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert cli.run(["token", "list", "--debug"], environ) == 2
    assert "Traceback" in capsys.readouterr().err


def test_tokens_are_made_listed_and_revoked(tmp_path: Path, capsys: Captured) -> None:
    environ = {"ENERGY_HOME": str(tmp_path / "home")}
    assert cli.run(["token", "create", "--name", "fleet", "--scope", "ADMIN"], environ) == 0
    secret = capsys.readouterr().out.splitlines()[-1]
    assert " " not in secret
    assert cli.run(["token", "list", "--json"], environ) == 0
    listed = capsys.readouterr().out
    assert secret not in listed
    assert [(each["name"], each["scopes"]) for each in json.loads(listed)] == [("fleet", ["ADMIN"])]
    assert cli.run(["token", "revoke", "fleet"], environ) == 0
    assert cli.run(["token", "revoke", "fleet"], environ) == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SettingError("API_PORT", "must be 1"), 2, "API_PORT: must be 1"),
        (CorruptRecord("not ours"), 3, "not ours"),
        (Refused("over\ntwo lines"), 3, "over two lines"),
        (ValueError("odd"), 1, "ValueError: odd (--debug shows where)"),
    ],
)
def test_an_error_becomes_one_line_and_its_code(error: Exception, code: int, line: str) -> None:
    assert (exit_codes.of(error), one_line(error)) == (code, line)


def test_s21_output_into_a_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -m cli --help | true"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


def test_help_does_not_load_what_it_does_not_need() -> None:
    program = (
        "import sys; from cli import app; app.run(['--help'], {});"
        "heavy = {'confluent_kafka', 'faust', 'fastapi', 'pyarrow', 'pydantic'};"
        "sys.exit(sorted(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_imports_are_seldom_searched_for_garbage() -> None:
    code = (
        "import atexit, gc, sys; from cli.app import main; sys.argv = ['energy', '--version']; "
        "atexit.register(lambda: print(gc.get_threshold()[0])); main()"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) == cli.OBJECTS_OF_IMPORTS > gc.get_threshold()[0]


def test_a_taken_api_port_is_one_line_before_anything_starts(
    tmp_path: Path, capsys: Captured
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        environ = {
            "ENERGY_HOME": str(tmp_path / "home"),
            "API_PORT": str(taken.getsockname()[1]),
            "ENERGY_BROKER_PORT": str(free_port()),
        }
        assert cli.run(["up"], environ) == 2
    assert "API_PORT" in capsys.readouterr().err
    assert not (tmp_path / "home" / "broker").exists()


def test_an_admin_token_is_made_once_and_again_when_it_was_revoked(
    tmp_path: Path, capsys: Captured
) -> None:
    """A start that was killed between the token and its file left one that nobody knew."""
    environ = {"ENERGY_HOME": str(tmp_path)}
    assert cli.run(["token", "create", "--name", "admin", "--scope", "ADMIN"], environ) == 0
    secrets = []
    for _ in range(2):
        assert cli.run(["token", "ensure-admin"], environ) == 0
        secrets.append((tmp_path / "admin_token").read_text())
    assert secrets[0] == secrets[1]
    assert cli.run(["token", "revoke", "admin2"], environ) == 0
    assert cli.run(["token", "ensure-admin"], environ) == 0
    assert (tmp_path / "admin_token").read_text() != secrets[0]
    assert secrets[0].strip() not in capsys.readouterr().out


def test_the_version_says_what_it_was_made_from(capsys: Captured) -> None:
    assert cli.run(["--version"], {}) == 0
    shown = capsys.readouterr().out
    assert re.fullmatch(r"energy \d+\.\d+\.\d+, rules \S+, commit ([0-9a-f]{12}|unknown)\n", shown)
    assert set(build.labels()) == {"version", "rules_id", "commit"}
