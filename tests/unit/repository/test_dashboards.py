"""deploy/grafana: what Grafana needs of a dashboard, metrics that there are, questions answered."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api_doubles import MemoryLog, caller_for, filled_view
from tests.series_double import MemorySeries, MemorySource
from tests.unit.api.test_places_and_time import sample
from tests.unit.repository.test_alerts import ADDED, JOBS, SOURCES

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARDS = {
    path.name: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}
KINDS = {
    "prometheus": "energy-prometheus",
    "yesoreyeram-infinity-datasource": "energy-api",
}
COLUMNS = 24
#: What the Prometheus client adds to every process, and what Prometheus says of a target.
FOREIGN = re.compile(r"process_\w+|up")


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """All but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(kind: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [
        (name, panel, target)
        for name, dashboard in DASHBOARDS.items()
        for panel in panels(dashboard)
        for target in panel["targets"]
        if target["datasource"]["type"] == kind
    ]


EXPRESSIONS = [target["expr"] for _, _, target in targets("prometheus")]
QUESTIONS = [(panel["title"], target) for _, panel, target in targets(next(reversed(KINDS)))]


def test_there_are_two() -> None:
    assert sorted(DASHBOARDS) == ["energy.json", "pipeline.json"]
    assert len({each["uid"] for each in DASHBOARDS.values()}) == 2


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_has_what_grafana_needs(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert re.fullmatch(r"[a-z-]{1,40}", dashboard["uid"])
    assert dashboard["title"]
    assert dashboard["schemaVersion"] >= 39
    assert "id" not in dashboard, "it is of one database"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    kind = variables["datasource"]["query"]
    assert variables["datasource"]["type"] == "datasource"
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["datasource"] == {"type": kind, "uid": "${datasource}"}
        assert panel["targets"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(dashboard["panels"])))
    assert used == variables.keys()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_lies_on_another(name: str) -> None:
    cells = {
        panel["id"]: {
            (x, y)
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        }
        for panel in DASHBOARDS[name]["panels"]
    }
    assert all(x < COLUMNS for each in cells.values() for x, _ in each)
    for one, other in combinations(cells, 2):
        assert not cells[one] & cells[other], (one, other)


def test_the_data_sources_are_provisioned_and_the_dashboards_are_where_they_are_mounted() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/energy.yaml").read_text())
    assert {each["type"]: each["uid"] for each in provisioned["datasources"]} == KINDS
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/energy.yaml").read_text())[
        "providers"
    ]
    for file in ("docker-compose.yml", "deploy/compose/production.yml"):
        grafana = yaml.safe_load((ROOT / file).read_text())["services"]["grafana"]
        mounted = [volume.split(":")[:2] for volume in grafana["volumes"]]
        (source,) = (source for source, at in mounted if at == provider["options"]["path"])
        assert source.endswith("grafana/dashboards")


def test_the_pipeline_asks_for_metrics_that_there_are() -> None:
    assert len(EXPRESSIONS) > 30
    asked = set()
    for expression in EXPRESSIONS:
        bare = re.sub(r'"[^"]*"', "", expression)
        asked |= set(re.findall(r"\b(?:api|stream_app|process|energy)_[a-z_]+", bare))
    ours = {ADDED.sub("", each) for each in asked if not FOREIGN.fullmatch(each)}
    ours.discard("energy_build_info")
    assert {each for each in ours if f'"{each}"' not in SOURCES} == set()
    shown = {"lag_seconds", "publish_to_visible_seconds", "publish_to_commit_seconds"}
    assert all(any(name.endswith(each) for name in ours) for each in shown)
    jobs = set(re.findall(r'job=~?"([^"]*)"', " ".join(EXPRESSIONS)))
    assert {job for each in jobs for job in each.split("|")} <= JOBS


@pytest.mark.parametrize(("title", "target"), QUESTIONS, ids=[title for title, _ in QUESTIONS])
async def test_the_api_answers_what_the_energy_dashboard_asks(
    title: str, target: dict[str, Any], tmp_path: Path
) -> None:
    series = MemorySource(MemorySeries([sample("2025-10-26T02:15:00Z", 3, "fridge")]))
    view = await filled_view({"fridge": (3, 1)})
    caller = caller_for(tmp_path, view, series=series, quarantine=MemoryLog({0: []}))
    url = target["url"]
    for variable in DASHBOARDS["energy.json"]["templating"]["list"]:
        url = url.replace(f"${{{variable['name']}}}", str(variable.get("current", {}).get("value")))
    url = url.replace("${__from:date:iso}", "2025-10-26T00:00:00.000Z")
    url = url.replace("${__to:date:iso}", "2025-10-27T00:00:00.000Z")
    assert "$" not in url
    answer = await caller.get(url)
    assert answer.status == 200, answer.body
    found = answer.json()
    columns = {each["name"] for each in found["meta"]}
    asked = {each["selector"].split(".")[0] for each in target["columns"]}
    assert asked <= columns, title
    assert target["root_selector"] == "data"
    if "quarantine" not in url:
        assert found["data"], "the device and the period that are shown first have data"
