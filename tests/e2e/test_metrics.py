"""Each metric that dashboards, rules and documents name is in a scrape of a running stack."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.running_up import UpFactory
from tests.kafka import Kafka, wait_until
from tests.records import reading_value
from tests.unit.repository.test_alerts import RULES
from tests.unit.repository.test_dashboards import EXPRESSIONS

ROOT = Path(__file__).parents[2]
NAMES = re.compile(r"\b(?:api|stream_app|process|energy)_[a-z_]+")
#: Each of them is read with these added.
KINDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}

pytestmark = pytest.mark.timeout(180)


def named() -> dict[str, set[str]]:
    """Where -> metrics, as they are written there; of documents, counters without `_total`."""
    rules = " ".join(re.sub(r'"[^"]*"', "", rule["expr"]) for rule in RULES)
    boards = " ".join(re.sub(r'"[^"]*"', "", each) for each in EXPRESSIONS)
    words = re.findall(r"`([a-z_]+)`", (ROOT / "docs/METRICS.md").read_text(encoding="utf-8"))
    # Topics and views begin with `energy_`, too.
    documents = {word for word in words if NAMES.fullmatch(word) and word[:7] != "energy_"}
    return {
        "rules": set(NAMES.findall(rules)),
        "dashboards": set(NAMES.findall(boards)),
        "documents": documents,
    }


def families(url: str, token: str = "") -> dict[str, str]:
    """Metric -> kind, as a server tells them."""
    request = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
    except HTTPError as error:
        raise AssertionError(error.read().decode()) from None
    return {family.name: family.type for family in text_string_to_metric_families(text)}


#: Only with API_PROCESSES above 1: tests/fault/test_api_processes.py scrapes it.
OF_SEVERAL_PROCESSES = {"api_process_serving"}


def test_every_metric_that_is_named_is_in_a_scrape(up_factory: UpFactory) -> None:
    up = up_factory()
    up.wait_ready()
    kafka = Kafka(f"127.0.0.1:{up.broker_port}")
    kafka.write("energy_consumption", [reading_value(), b"no reading"])
    wait_until(lambda: up.get("/v0/devices/device_1"), "it is counted")
    worker = up.part("stream_app", "STREAM_APP_HTTP_PORT")
    port = worker.environ()["STREAM_APP_HTTP_PORT"]
    token = (up.home / "admin_token").read_text().strip()

    def missing() -> dict[str, set[str]]:
        found = families(f"http://127.0.0.1:{up.api_port}/metrics", token)
        found |= families(f"http://127.0.0.1:{port}/metrics")
        written = {name + end for name, kind in found.items() for end in KINDS.get(kind, ())}
        there = written | found.keys() | OF_SEVERAL_PROCESSES
        return {where: names - there for where, names in named().items()}

    def all_are_there() -> bool:
        # The books are compared and the log is looked at a little after the start.
        return not any(missing().values())

    try:
        wait_until(all_are_there, "every metric is there", 30)
    except AssertionError:
        raise AssertionError(json.dumps({k: sorted(v) for k, v in missing().items()})) from None
    assert all(len(names) > 10 for names in named().values())
