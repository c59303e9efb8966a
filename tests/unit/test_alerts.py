"""Each alert asks for metrics that there are, and has its entry in the runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/monitoring/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
#: Not ours: node_exporter's, and what the Prometheus client adds to every process.
FOREIGN = ("node_", "process_")
SOURCES = "".join(
    (ROOT / room / "metrics.py").read_text(encoding="utf-8") for room in ("api", "stream_app")
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    names = set(re.findall(r"\b(?:api|stream_app|node|process)_[a-z_]+", rule["expr"]))
    assert names
    ours = {name.removesuffix("_total") for name in names if not name.startswith(FOREIGN)}
    assert {name for name in ours if f'"{name}"' not in SOURCES} == set()


def test_each_alert_has_an_entry_in_the_runbook_and_no_entry_is_left_over() -> None:
    entries = re.findall(r"^## (\w+)$", (ROOT / "docs/RUNBOOK.md").read_text(), re.MULTILINE)
    assert entries == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/RUNBOOK.md#{rule['alert'].lower()}"
