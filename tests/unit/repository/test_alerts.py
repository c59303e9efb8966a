"""Each alert asks for metrics that there are, and has its entry in the runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
#: What `make check` gives to promtool, where there is one.
CASES = yaml.safe_load((ROOT / "deploy/prometheus/alerts_test.yaml").read_text())["tests"]
#: Not ours: node_exporter's, and what the Prometheus client adds to every process.
FOREIGN = ("node_", "process_")
OURS = ("api_", "stream_app_")
#: What Prometheus adds to the name of a counter or of a histogram.
ADDED = re.compile(r"_(total|bucket|sum|count)$")
#: Words of a selector or of PromQL itself that look like names.
WORDS = {
    *("sum", "max", "by", "rate", "on", "and", "or", "vector", "changes", "increase", "up", "job"),
    *("histogram_quantile", "le", "instance", "partition", "view", "fstype", "absent"),
    *("route", "status"),
}
JOBS = {"energy-api", "energy-worker"}
SOURCES = "".join(
    (ROOT / path).read_text(encoding="utf-8")
    for path in (
        "api/metrics.py",
        "api/shared_metrics.py",
        "api/view_metrics.py",
        "stream_app/metrics.py",
    )
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    names = set(re.findall(r"\b(?:api|stream_app|node|process)_[a-z_]+", rule["expr"]))
    assert names or re.search(r"\bup{", rule["expr"])
    ours = {ADDED.sub("", name) for name in names if not name.startswith(FOREIGN)}
    assert {name for name in ours if f'"{name}"' not in SOURCES} == set()


def test_each_alert_has_an_entry_in_the_runbook_and_no_entry_is_left_over() -> None:
    entries = re.findall(r"^## (\w+)$", (ROOT / "docs/RUNBOOK.md").read_text(), re.MULTILINE)
    assert entries == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/RUNBOOK.md#{rule['alert'].lower()}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_written_as_prometheus_wants_it(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "runbook"}
    expression = rule["expr"]
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)
    assert set(re.findall(r'job="([^"]*)"', expression)) <= JOBS
    bare = re.sub(r'"[^"]*"|\[\d+[smh]\]', "", expression)
    names = set(re.findall(r"[a-z][a-z_]*", bare)) - WORDS
    assert {
        name for name in names if not re.match(r"(api|stream_app|node|process)_", name)
    } == set()


def test_promtool_is_given_each_alert_firing_and_quiet() -> None:
    quiet, firing, *_ = CASES
    names = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in quiet["alert_rule_test"]} == names
    assert all(case["exp_alerts"] == [] for case in quiet["alert_rule_test"])
    seen = [each["labels"] for each in firing["promql_expr_test"][0]["exp_samples"]]
    assert set(re.findall(r'alertname="(\w+)"', " ".join(seen))) == names


def test_the_series_made_by_hand_are_ones_that_there_are() -> None:
    written = {
        re.split(r"[{]", series["series"])[0] for case in CASES for series in case["input_series"]
    }
    ours = {name for name in written if not name.startswith(FOREIGN)} - {"up"}
    assert {name for name in ours if f'"{ADDED.sub("", name)}"' not in SOURCES} == set()


def test_each_metric_is_documented_and_no_entry_is_left_over() -> None:
    entries = re.findall(r"`((?:api|stream_app)_[a-z_]+)`", (ROOT / "docs/METRICS.md").read_text())
    made = re.findall(r'"((?:api|stream_app)_[a-z_]+)"', SOURCES)
    assert sorted(entries) == sorted(made)
