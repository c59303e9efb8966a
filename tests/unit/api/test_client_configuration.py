"""docs/clients/configuration.md: what its blocks would ask, asked."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.ingest.idempotency import KeyedWrites
from api.settings import ApiSettings
from tests.api_doubles import Caller, ScriptedPublisher, caller_for, filled_view
from tests.imports_double import MemoryImports
from tests.series_double import MemorySeries, MemorySource
from tests.unit.api.test_places_and_time import sample

DOCUMENT = Path(__file__).parents[3] / "docs" / "clients" / "configuration.md"
BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
API = "http://127.0.0.1:8000"
READING = {
    "timestamp": "2025-10-26T02:15:00.5Z",
    "device_id": "heater",
    "energy": "0.1",
    "location": "Hall",
}


def block(language: str, number: int = 0) -> str:
    found: list[str] = [text for each, text in BLOCKS if each == language]
    return found[number]


def filled(template: str, **values: str) -> str:
    """Put values in place of `{{ name }}`; fails where there is none."""
    return re.sub(r"{{ (\w+) }}", lambda found: values[found[1]], template)


def target_of(url: str) -> str:
    assert url.startswith(API), url
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


@pytest.fixture
async def caller(tmp_path: Path, publisher: ScriptedPublisher) -> Caller:
    imports = MemoryImports()
    settings = ApiSettings(home=tmp_path)
    keyed = KeyedWrites(
        settings,
        settings.idempotency_keys,
        keys=imports.keys(),  # type: ignore[arg-type]
        writer_of=imports.writer,  # type: ignore[arg-type]
    )
    series = MemorySource(MemorySeries([sample("2025-10-26T02:15:00Z", 3, "heater")]))
    view = await filled_view({"heater": (3, 1)})
    return caller_for(tmp_path, view, publisher, keyed=keyed, series=series)


@pytest.fixture
def home_assistant() -> dict[str, Any]:
    # `!secret` is Home Assistant's: here the secret is its name.
    return dict(yaml.safe_load(block("yaml").replace("!secret ", "secret ")))


async def test_home_assistant_reads_the_total(
    caller: Caller, home_assistant: dict[str, Any]
) -> None:
    (resource,) = home_assistant["rest"]
    assert resource["headers"] == {"Authorization": "secret energy_authorization"}
    answer = await caller.get(target_of(resource["resource"]))
    (sensor,) = resource["sensor"]
    shown = re.fullmatch(r"{{ value_json\.(\w+) }}", sensor["value_template"])
    assert shown
    assert answer.json()[shown[1]] == "3"


async def test_home_assistant_sends_a_reading_once(
    caller: Caller, home_assistant: dict[str, Any]
) -> None:
    command = home_assistant["rest_command"]["energy_reading"]
    assert command["method"] == "post"
    key = filled(command["headers"]["Idempotency-Key"], **READING)
    answers = [
        await caller.post(
            target_of(command["url"]),
            filled(command["payload"], **(READING | changed)).encode(),
            idempotency_key=key,
        )
        for changed in ({}, {}, {"energy": "0.2"})
    ]
    assert [each.status for each in answers] == [202, 202, 422]
    assert answers[0].json() == {"successful_rows": 1, "quarantined_rows": 0}


async def test_telegraf_writes_readings(caller: Caller) -> None:
    (output,) = tomllib.loads(block("toml"))["outputs"]["kafka"]
    assert (output["topic"], output["required_acks"]) == ("energy_consumption", -1)
    moment = '{{ .Time.UTC.Format "2006-01-02T15:04:05.999999999Z" }}'
    template = output["template"].replace(moment, READING["timestamp"])
    names = {"device": "heater", "location": "Hall", "energy": "0.1"}
    text = re.sub(r'{{ \.(?:Tag|Field) "(\w+)" }}', lambda found: names[found[1]], template)
    answer = await caller.events(text.encode())
    assert answer.json() == {"successful_rows": 1, "quarantined_rows": 0}
    ((_, value),) = caller.publisher.rows
    assert json.loads(value) == {
        "timestamp": READING["timestamp"],
        "device_id": "heater",
        "location": "Hall",
        "energy_consumed": 0.1,
    }


async def test_telegraf_reads_the_total_and_does_not_send_it_back(caller: Caller) -> None:
    configuration = tomllib.loads(block("toml"))
    (given,) = configuration["inputs"]["prometheus"]
    (url,) = given["urls"]
    assert given["http_headers"] == {"Authorization": "Bearer ${ENERGY_TOKEN}"}
    answer = await caller.get(target_of(url))
    gauge, _, labels = answer.body.decode().splitlines()[-1].partition("{")
    assert (gauge, labels) == ("total_energy_consumed", 'device_id="heater"} 3')
    assert gauge not in configuration["outputs"]["kafka"][0]["namepass"]


async def test_grafana_reads_consumption_over_time(caller: Caller) -> None:
    (source,) = yaml.safe_load(block("yaml", 1))["datasources"]
    query = json.loads(block("json"))
    assert source["url"] in source["jsonData"]["allowedHosts"]
    url = source["url"] + query["url"]
    # As Grafana writes the edges of what is looked at.
    url = url.replace("${__from:date:iso}", "2025-10-26T00:00:00.000Z")
    url = url.replace("${__to:date:iso}", "2025-10-27T00:00:00.000Z")
    answer = await caller.get(target_of(url))
    (row,) = answer.json()[query["root_selector"]]
    values = [row[column["selector"]] for column in query["columns"]]
    assert values == ["2025-10-26T02:00:00+00:00", 3]


async def test_grafana_reads_totals(caller: Caller) -> None:
    (source,) = yaml.safe_load(block("yaml", 1))["datasources"]
    query = json.loads(block("json", 1))
    answer = await caller.get(target_of(source["url"] + query["url"]))
    (row,) = answer.json()[query["root_selector"]]
    assert [row[column["selector"]] for column in query["columns"]] == ["heater", 3, "3"]


async def test_prometheus_scrapes_totals_as_grafana_asks_for_them(caller: Caller) -> None:
    (job,) = yaml.safe_load(block("yaml", 2))["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    asked = f"http://{target}{job['metrics_path']}?{urlencode(job['params'], doseq=True)}"
    answer = await caller.get(target_of(asked))
    # As Prometheus reads it: with the parser of its own client.
    (family,) = text_string_to_metric_families(answer.body.decode())
    (total,) = family.samples
    labels = ",".join(f'{name}="{value}"' for name, value in total.labels.items())
    assert f"`{total.name}{{{labels}}}`" in DOCUMENT.read_text(encoding="utf-8")
    assert (family.type, total.value) == ("gauge", 3)
