"""The compose files without Docker: the schema, names that must agree, settings that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from api.settings import ApiSettings
from contract.settings import HomeSettings, Settings
from operations.settings import TopicSettings
from producer.settings import ProducerSettings
from stream_app.settings import WorkerSettings
from tests.unit.repository.test_docs import documented

ROOT = Path(__file__).parents[3]
TRIAL, PRODUCTION = ROOT / "docker-compose.yml", ROOT / "deploy" / "compose" / "production.yml"
EXAMPLE = PRODUCTION.with_name("energy.env.example")
FILES = {
    path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (TRIAL, PRODUCTION)
}
SERVICES = [
    pytest.param(file, service, id=f"{file}-{service}")
    for file, compose in FILES.items()
    for service in compose["services"]
]
#: By the first word of the command: what it reads from the environment.
ROLES: dict[str, type[Settings]] = {
    "worker": WorkerSettings,
    "api": ApiSettings,
    "topics": TopicSettings,
    "token": HomeSettings,
    "simulate": ProducerSettings,
}
#: Of the image's health check, and of Grafana and the text of `welcome`.
NO_SETTINGS = {"HEALTH_URL", "URL", "ENERGY_TOKEN"}
OUTSIDE = {"kafka", "prometheus", "grafana"}


def with_defaults(value: str) -> str:
    """Fill `${NAME:-default}` in, as compose does where the variable is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def ours() -> list[Any]:
    return [each for each in SERVICES if each.values[1] not in OUTSIDE]


@pytest.mark.parametrize("file", FILES)
def test_compose_takes_the_file(file: str) -> None:
    """What `docker compose config` asks."""
    # github.com/compose-spec/compose-spec, Apache-2.0, as check-jsonschema 0.39.0 carries it.
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text())
    errors = jsonschema_rs.validator_for(schema).iter_errors(FILES[file])
    assert [f"{error.instance_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize(("file", "name"), SERVICES)
def test_what_a_service_names_is_there(file: str, name: str) -> None:
    compose = FILES[file]
    service = compose["services"][name]
    assert service.get("depends_on", {}).keys() <= compose["services"].keys()
    assert set(service.get("secrets", [])) <= compose.get("secrets", {}).keys()
    directory = (TRIAL if file == TRIAL.name else PRODUCTION).parent
    for volume in service.get("volumes", []):
        source, _, target = volume.partition(":")
        assert target, "a volume without a name is left behind by each `down`"
        if source.startswith("."):
            assert (directory / source).exists(), volume
        else:
            assert source in compose["volumes"], volume
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert other in ("kafka", "api"), "both have a health check"
        else:
            assert "restart" not in compose["services"][other], "it has to end"


@pytest.mark.parametrize(("file", "name"), SERVICES)
def test_a_container_is_confined_and_its_log_bounded(file: str, name: str) -> None:
    service = FILES[file]["services"][name]
    assert service["logging"]["driver"] == "local"
    assert ":" in service["image"] or service["image"] == "energy-totals"
    assert not service["image"].endswith(":latest")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    if name != "kafka":
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    if service.get("restart"):
        assert service["restart"] == "unless-stopped", "on-failure does not survive a reboot"
        assert "mem_limit" in service or file == TRIAL.name


@pytest.mark.parametrize(("file", "name"), ours())
def test_a_role_cannot_write_its_image_and_has_a_number_for_a_user(file: str, name: str) -> None:
    service = FILES[file]["services"][name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert int(service["stop_grace_period"].removesuffix("s")) > 30
    tmpfs = [each.split(":")[0] for each in service["tmpfs"]]
    written = [*tmpfs, *(each.split(":")[1] for each in service.get("volumes", []))]
    assert "/tmp" in tmpfs
    if service["command"][0] in ("api", "token"):
        assert "/data" in written
    if service["command"] == ["worker"]:
        assert Path(service["environment"]["STREAM_APP_DATADIR"]).parent == Path("/state")
        assert "/state" in written


@pytest.mark.parametrize(("file", "name"), ours())
def test_each_setting_exists_and_is_taken(file: str, name: str, tmp_path: Path) -> None:
    service = FILES[file]["services"][name]
    variables = {key: with_defaults(value) for key, value in service["environment"].items()}
    settings = {key: value for key, value in variables.items() if key not in NO_SETTINGS}
    assert settings.keys() <= documented().keys()
    if "entrypoint" in service:
        return
    given = service["env_file"]
    if file == PRODUCTION.name:
        assert given == ["energy.env"]
        lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
        example = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        assert example.keys() <= documented().keys()
        assert not example.keys() & settings.keys(), "what the file says would not count"
        settings = example | settings
    else:
        assert given == [{"path": ".env", "required": False}]
    for key, value in settings.items():
        if value.startswith("/run/secrets/"):
            assert Path(value).name in service["secrets"]
            settings[key] = str(tmp_path / Path(value).name)
            Path(settings[key]).write_text("secret")
    ROLES[service["command"][0]].load(settings)


def test_both_workers_of_production_are_scraped_under_one_name_each_with_a_store() -> None:
    workers = {
        name: each
        for name, each in FILES[PRODUCTION.name]["services"].items()
        if each.get("command") == ["worker"]
    }
    assert len(workers) == 2
    assert all(each["networks"]["default"]["aliases"] == ["worker"] for each in workers.values())
    assert len({tuple(each["volumes"]) for each in workers.values()}) == 2


@pytest.mark.parametrize("file", FILES)
def test_prometheus_finds_what_the_rules_ask_for(file: str) -> None:
    services = FILES[file]["services"]
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    jobs = {each["job_name"]: each["dns_sd_configs"][0] for each in scraped["scrape_configs"]}
    assert jobs.keys() == {"energy-api", "energy-worker"}
    assert (jobs["energy-api"]["names"], jobs["energy-api"]["port"]) == (["api"], 8000)
    assert services["api"]["environment"]["API_PORT"] == "8000"
    assert jobs["energy-worker"]["names"] == ["worker"]
    for service in services.values():
        if service.get("command") == ["worker"]:
            environment = service["environment"]
            assert environment["STREAM_APP_HTTP_HOST"] == "0.0.0.0"
            assert environment["STREAM_APP_HTTP_PORT"] == str(jobs["energy-worker"]["port"])
    assert services["prometheus"]["profiles"] == services["grafana"]["profiles"] == ["monitoring"]


def test_both_files_take_the_same_versions_of_what_is_not_ours() -> None:
    trial, production = (each["services"] for each in FILES.values())
    for name in ("prometheus", "grafana"):
        assert trial[name]["image"] == production[name]["image"]
    plugin = "GF_PLUGINS_PREINSTALL_SYNC"
    assert trial["grafana"]["environment"][plugin] == production["grafana"]["environment"][plugin]


def test_secrets_are_in_no_file_of_the_repository() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/deploy/compose/energy.env", "/deploy/compose/secrets/"} <= set(ignored)
    for secret in FILES[PRODUCTION.name]["secrets"].values():
        assert secret["file"].startswith("secrets/")
