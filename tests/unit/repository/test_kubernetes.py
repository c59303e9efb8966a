"""deploy/kubernetes without a cluster: schemas, names that must agree, settings that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from api.settings import ApiSettings
from contract.exit_codes import FINAL, RESTART_ME
from contract.settings import Settings
from contract.topics import IMPORTS, QUARANTINE, READINGS, VIEWS, min_insync_replicas
from operations.settings import BrokerSettings, TopicSettings
from stream_app.settings import WorkerSettings
from tests.unit.repository.test_alerts import JOBS as JOBS_OF_ALERTS
from tests.unit.repository.test_docs import documented

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
IMAGE = (ROOT / "deploy" / "Dockerfile").read_text()
#: The first with podFailurePolicy for good; what it takes, later ones take too.
VERSION = "1.31"
#: How a worker or a command ends when the brokers are gone (docs: at most 30 s).
LONGEST_STOP_SECONDS = 30
GIBIBYTE = 1024**3

Resource = dict[str, Any]


def documents(path: Path) -> list[Resource]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]


def kustomizations() -> list[Path]:
    return sorted(KUBERNETES.rglob("kustomization.yaml"))


def name_of(path: Path) -> str:
    return str(path.relative_to(KUBERNETES))


def files_of(kustomization: Path) -> list[Path]:
    """The files that it takes in itself, without those of other kustomizations."""
    (content,) = documents(kustomization)
    named = [*content.get("resources", []), *(each["path"] for each in content.get("patches", []))]
    return [kustomization.parent / name for name in named if name.endswith(".yaml")]


def is_whole(resource: Resource) -> bool:
    """Whether it is no patch, and of a kind that Kubernetes itself has."""
    return (
        re.fullmatch(
            r"v1|(apps|batch|policy|autoscaling)/v\d|[a-z.]+\.k8s\.io/v1", resource["apiVersion"]
        )
        is not None
    )


def resources_below(*places: str) -> list[Resource]:
    return [
        resource
        for place in places
        for kustomization in sorted((KUBERNETES / place).rglob("kustomization.yaml"))
        for path in files_of(kustomization)
        for resource in documents(path)
    ]


PLAIN = resources_below("base", "jobs")
BY_NAME = {(each["kind"], each["metadata"]["name"]): each for each in PLAIN}
WORKLOADS = [each for each in PLAIN if each["kind"] in ("StatefulSet", "Job")]
JOBS = [each for each in WORKLOADS if each["kind"] == "Job"]
SETTINGS = BY_NAME["ConfigMap", "energy-settings"]["data"]
#: By the first word of the command: what it reads from the environment.
ROLES: dict[str, list[type[Settings]]] = {
    "worker": [WorkerSettings],
    "api": [ApiSettings],
    "topics": [TopicSettings],
    "replay": [TopicSettings, BrokerSettings, WorkerSettings],
    "backfill": [TopicSettings],
}


def id_of(resource: Resource) -> str:
    return f"{resource['kind']}/{resource['metadata']['name']}"


def pod_of(workload: Resource) -> Resource:
    pod: Resource = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: Resource) -> Resource:
    (container,) = pod_of(workload)["containers"]
    assert isinstance(container, dict)
    return container


def environment(workload: Resource) -> dict[str, str]:
    container = container_of(workload)
    assert container["envFrom"] == [{"configMapRef": {"name": "energy-settings"}}]
    own = {each["name"]: each["value"] for each in container["env"]}
    return {**SETTINGS, **own}


def mounts(workload: Resource) -> dict[str, str]:
    """Path -> volume."""
    return {each["mountPath"]: each["name"] for each in container_of(workload)["volumeMounts"]}


def seconds_until_killed(probe: Resource) -> int:
    return int(probe["periodSeconds"]) * int(probe["failureThreshold"])


def bytes_of(quantity: str) -> int:
    number, unit = re.findall(r"^(\d+)(Mi|Gi)$", quantity)[0]
    return int(number) * {"Mi": 1024**2, "Gi": GIBIBYTE}[unit]


@pytest.mark.parametrize("kustomization", kustomizations(), ids=name_of)
def test_a_kustomization_names_what_exists(kustomization: Path) -> None:
    (content,) = documents(kustomization)
    assert content["kind"] in ("Kustomization", "Component")
    for name in [*content.get("resources", []), *content.get("components", [])]:
        target = kustomization.parent / name
        assert (target / "kustomization.yaml" if target.is_dir() else target).is_file(), name
    for path in files_of(kustomization):
        assert documents(path), path


def test_no_file_is_left_out() -> None:
    taken = {path.resolve() for each in kustomizations() for path in files_of(each)}
    there = {path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert there == taken


@pytest.mark.parametrize("resource", [each for each in PLAIN if is_whole(each)], ids=id_of)
def test_a_resource_is_as_kubernetes_takes_it(resource: Resource) -> None:
    kubernetes_validate.validate(resource, VERSION, strict=True)


def test_the_schemas_refuse_a_field_that_is_not_there() -> None:
    wrong = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "date": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


@pytest.mark.parametrize("workload", WORKLOADS, ids=id_of)
def test_every_variable_is_a_setting_and_its_value_is_taken(
    workload: Resource, tmp_path: Path
) -> None:
    variables = environment(workload)
    assert variables.keys() <= documented().keys()
    # The files that the cluster mounts.
    mounted = {name: value for name, value in variables.items() if name.endswith("_FILE")}
    for name in mounted:
        variables[name] = str(tmp_path / name)
        (tmp_path / name).write_text("x")
    taken: set[str] = set()
    for settings in ROLES[container_of(workload)["args"][0]]:
        settings.load(variables)
        taken |= {field.alias or name for name, field in settings.model_fields.items()}
    own = {each["name"] for each in container_of(workload)["env"]}
    assert own <= taken, "read by another role"


@pytest.mark.parametrize("workload", WORKLOADS, ids=id_of)
def test_paths_of_settings_lie_on_volumes_and_below_their_tops(workload: Resource) -> None:
    """The top of an emptyDir is open to everybody, which the API refuses."""
    paths = {
        name: value
        for name, value in environment(workload).items()
        if value.startswith("/") and name != "HEALTH_URL"
    }
    assert len(paths) >= 2
    for name, value in paths.items():
        assert str(Path(value).parent) in mounts(workload), name


@pytest.mark.parametrize("workload", WORKLOADS, ids=id_of)
def test_every_mount_has_its_volume_and_every_volume_its_mount(workload: Resource) -> None:
    claims = [each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])]
    volumes = [each["name"] for each in pod_of(workload)["volumes"]] + claims
    assert sorted(mounts(workload).values()) == sorted(volumes)


@pytest.mark.parametrize("workload", WORKLOADS, ids=id_of)
def test_the_secret_is_that_of_the_user_who_logs_in(workload: Resource) -> None:
    secrets = {
        each["name"]: each["secret"]["secretName"]
        for each in pod_of(workload)["volumes"]
        if "secret" in each
    }
    assert secrets.pop("kafka") == environment(workload)["KAFKA_SASL_USERNAME"]
    assert secrets.pop("kafka-ca") == "energy-kafka-ca"
    assert secrets in ({}, {"tokens": "energy-tokens"})


@pytest.mark.parametrize("workload", WORKLOADS, ids=id_of)
def test_a_pod_may_do_nothing_that_it_need_not(workload: Resource) -> None:
    pod, container = pod_of(workload), container_of(workload)
    (user,) = re.findall(r"^USER (\d+):\1$", IMAGE, re.MULTILINE)
    held = pod["securityContext"]
    assert held["runAsNonRoot"] is True
    assert held["runAsUser"] == held["runAsGroup"] == held["fsGroup"] == int(user)
    assert held["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"].keys() == {"requests", "limits"}
    assert container["image"] == "energy-totals"
    assert 'ENTRYPOINT ["energy"]' in IMAGE
    assert "command" not in container


@pytest.mark.parametrize("workload", WORKLOADS, ids=id_of)
def test_a_stop_has_the_time_that_it_takes(workload: Resource) -> None:
    drain = float(environment(workload).get("API_DRAIN_SECONDS", "0"))
    assert pod_of(workload)["terminationGracePeriodSeconds"] > LONGEST_STOP_SECONDS + drain


@pytest.mark.parametrize(
    ("name", "port", "host"),
    [
        ("energy-worker", "STREAM_APP_HTTP_PORT", "STREAM_APP_HTTP_HOST"),
        ("energy-api", "API_PORT", "API_HOST"),
    ],
)
def test_what_listens_is_found_where_it_listens(name: str, port: str, host: str) -> None:
    workload = BY_NAME["StatefulSet", name]
    container, variables = container_of(workload), environment(workload)
    assert variables[host] == "0.0.0.0"
    (listening,) = container["ports"]
    assert listening["containerPort"] == int(variables[port])
    probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["httpGet"]["path"] for kind, probe in probes.items()} == {
        "startup": "/health",
        "liveness": "/health",
        "readiness": "/ready",
    }
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {listening["name"]}
    assert workload["spec"]["serviceName"] in {
        each["metadata"]["name"] for each in PLAIN if each["kind"] == "Service"
    }
    policy = BY_NAME["NetworkPolicy", name]
    assert [each["port"] for rule in policy["spec"]["ingress"] for each in rule["ports"]] == [
        listening["containerPort"]
    ]


def test_a_worker_is_not_killed_while_it_recovers() -> None:
    container = container_of(BY_NAME["StatefulSet", "energy-worker"])
    # It listens before its stores are filled: only Python has to start, on a machine that is busy.
    assert seconds_until_killed(container["startupProbe"]) >= 60
    assert seconds_until_killed(container["livenessProbe"]) >= 60


@pytest.mark.parametrize(
    "resource",
    [each for each in PLAIN if each["kind"] in ("Service", "PodDisruptionBudget", "StatefulSet")],
    ids=id_of,
)
def test_a_selector_finds_the_pods_of_one_workload(resource: Resource) -> None:
    selector = resource["spec"]["selector"]
    wanted = selector.get("matchLabels", selector)
    found = [
        id_of(each)
        for each in WORKLOADS
        if wanted.items() <= each["spec"]["template"]["metadata"]["labels"].items()
    ]
    assert found == [f"StatefulSet/{wanted['app.kubernetes.io/name']}"]


def test_all_pods_may_reach_kafka_where_the_settings_say_it_is() -> None:
    policy = BY_NAME["NetworkPolicy", "energy-egress"]["spec"]
    for each in WORKLOADS:
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    for port in kafka_ports():
        assert any(
            each["port"] <= port <= each.get("endPort", each["port"])
            for rule in policy["egress"]
            for each in rule["ports"]
        )


def kafka_ports() -> set[int]:
    """Of the base and of every overlay."""
    servers = [
        resource["data"]["KAFKA_BOOTSTRAP_SERVERS"]
        for resource in resources_below(".")
        if resource["kind"] == "ConfigMap" and "KAFKA_BOOTSTRAP_SERVERS" in resource["data"]
    ]
    assert servers
    return {int(each.rpartition(":")[2]) for text in servers for each in text.split(",")}


def test_the_spool_holds_all_that_the_budgets_allow() -> None:
    workload = BY_NAME["StatefulSet", "energy-api"]
    variables = environment(workload)
    budgets = ApiSettings.load({})
    volume = mounts(workload)[str(Path(variables["API_SPOOL_DIR"]).parent)]
    (spool,) = [each for each in pod_of(workload)["volumes"] if each["name"] == volume]
    assert bytes_of(spool["emptyDir"]["sizeLimit"]) >= (
        budgets.max_spool_bytes + budgets.max_bodies_bytes + budgets.max_answers_bytes
    )


@pytest.mark.parametrize("job", JOBS, ids=id_of)
def test_a_job_goes_on_after_75_and_stops_where_a_person_must_act(job: Resource) -> None:
    assert pod_of(job)["restartPolicy"] == "Never"
    on_exit = {
        rule["action"]: rule["onExitCodes"]
        for rule in job["spec"]["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
    }
    assert {each["containerName"] for each in on_exit.values()} == {container_of(job)["name"]}
    assert {each["operator"] for each in on_exit.values()} == {"In"}
    assert on_exit["Ignore"]["values"] == [RESTART_ME]
    assert set(on_exit["FailJob"]["values"]) == FINAL


OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
MONITORS = resources_below("components/monitoring")
(SCALED,) = [each for each in resources_below("components/keda") if each["kind"] == "ScaledObject"]


@pytest.mark.parametrize("place", ["components/keda", *(f"overlays/{each}" for each in OVERLAYS)])
def test_a_patch_is_of_something_in_the_base(place: str) -> None:
    (content,) = documents(KUBERNETES / place / "kustomization.yaml")
    patched = [
        resource
        for each in content["patches"]
        for resource in documents(KUBERNETES / place / each["path"])
    ]
    assert patched
    assert {(each["kind"], each["metadata"]["name"]) for each in patched} <= BY_NAME.keys()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_of_an_overlay_are_taken(overlay: str, tmp_path: Path) -> None:
    (patch,) = documents(KUBERNETES / "overlays" / overlay / "settings.yaml")
    file = tmp_path / "mounted"
    file.write_text("x")
    variables = SETTINGS | patch["data"] | {"KAFKA_SASL_USERNAME": "energy-operator"}
    variables |= {name: str(file) for name in variables if name.endswith("_FILE")}
    assert variables.keys() <= documented().keys()
    assert not TopicSettings.load(variables).is_local


def test_every_image_is_named_the_same() -> None:
    images = [
        each
        for path in kustomizations()
        for content in documents(path)
        for each in content.get("images", [])
    ]
    assert len(images) == len(OVERLAYS) + len(JOBS)
    assert all(each == images[0] for each in images)
    assert images[0]["name"] == "energy-totals"


def test_topics_for_strimzi_are_those_that_are_declared() -> None:
    replicas = int(SETTINGS["ENERGY_REPLICATION_FACTOR"])
    found = {
        each["spec"]["topicName"]: (
            each["spec"]["partitions"],
            each["spec"]["replicas"],
            each["spec"]["config"],
        )
        for each in documents(KUBERNETES / "overlays/strimzi/topics.yaml")
    }
    assert found == {
        topic.name: (
            1 if topic in (VIEWS, IMPORTS) else int(SETTINGS["ENERGY_PARTITIONS"]),
            replicas,
            {
                **topic.configs,
                **topic.made_with,
                "min.insync.replicas": str(min_insync_replicas(replicas)),
            },
        )
        for topic in (READINGS, QUARANTINE, VIEWS, IMPORTS)
    }


def test_each_user_that_logs_in_has_rights_of_its_own() -> None:
    users = documents(KUBERNETES / "overlays/strimzi/users.yaml")
    logging_in = {environment(workload)["KAFKA_SASL_USERNAME"] for workload in WORKLOADS}
    # Devices come from elsewhere.
    assert {each["metadata"]["name"] for each in users} == logging_in | {"energy-device"}
    for user in users:
        spec = user["spec"]
        assert spec["authentication"]["type"].upper() == SETTINGS["KAFKA_SASL_MECHANISM"]
        for acl in spec["authorization"]["acls"]:
            assert acl["resource"]["type"] in ("topic", "group", "transactionalId", "cluster")
            assert acl["operations"]


def test_prometheus_finds_the_jobs_that_the_alerts_ask_for() -> None:
    found = {each["spec"]["selector"]["matchLabels"][each["spec"]["jobLabel"]] for each in MONITORS}
    assert found == JOBS_OF_ALERTS
    for each in MONITORS:
        spec = each["spec"]
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        name = spec["selector"]["matchLabels"][spec["jobLabel"]]
        (port,) = container_of(BY_NAME["StatefulSet", name])["ports"]
        assert endpoint["port"] == port["name"]


def test_no_more_workers_are_asked_for_than_there_are_partitions() -> None:
    assert SCALED["spec"]["maxReplicaCount"] == int(SETTINGS["ENERGY_PARTITIONS"])
    target = SCALED["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) in BY_NAME
    (trigger,) = SCALED["spec"]["triggers"]
    assert re.findall(r"api_\w+", trigger["metadata"]["query"]) == ["api_view_lag_records"]
