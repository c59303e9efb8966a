"""deploy/systemd: the exit codes of the contract, settings that exist, directories of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.settings import ApiSettings
from contract.exit_codes import FINAL, RESTART_ME
from contract.settings import Settings
from stream_app.settings import WorkerSettings
from tests.unit.repository.test_docs import documented

ROOT = Path(__file__).parents[3]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
ROLES: dict[str, type[Settings]] = {"worker": WorkerSettings, "api": ApiSettings}
SECTIONS = {
    "Unit": {"Description", "Wants", "After", "StartLimitIntervalSec"},
    "Install": {"WantedBy"},
}


def sections(unit: Path) -> dict[str, dict[str, str]]:
    """Section -> key -> value; a key that is there twice fails."""
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if named := re.fullmatch(r"\[(\w+)\]", line):
            section = found.setdefault(named[1], {})
            continue
        key, is_pair, value = line.partition("=")
        assert is_pair, line
        assert key not in section, line
        section[key] = value
    return found


def test_there_is_one_for_each_role() -> None:
    commands = {sections(unit)["Service"]["ExecStart"] for unit in UNITS}
    assert commands == {f"/opt/energy/bin/energy {role}" for role in ROLES}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_it_is_started_again_as_the_exit_codes_say(unit: Path) -> None:
    found = sections(unit)
    service = found.pop("Service")
    assert {name: set(keys) for name, keys in found.items()} == SECTIONS
    assert found["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["Restart"] == "on-failure"
    assert service["RestartForceExitStatus"] == str(RESTART_ME)
    assert {int(code) for code in service["RestartPreventExitStatus"].split()} == FINAL
    assert int(service["TimeoutStopSec"]) > 30


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_its_settings_are_taken_and_its_directory_is_its_own(unit: Path) -> None:
    service = sections(unit)["Service"]
    text = service["Environment"].replace("%S", "/var/lib").replace("%i", "3")
    variables = dict(pair.split("=", 1) for pair in text.split())
    assert variables.keys() <= documented().keys()
    role = ROLES[service["ExecStart"].split()[1]]
    role.load(variables)
    assert variables.keys() <= {field.alias for field in role.model_fields.values()}
    state = service["StateDirectory"].replace("%i", "3")
    assert f"/var/lib/{state}" in variables.values()
    assert service["StateDirectoryMode"] == "0700"
    assert service["User"] == "energy"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
