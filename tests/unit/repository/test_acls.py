"""deploy/kafka/acls.yaml: what is made of it, and names that are those of the code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from contract.import_positions import import_transactional_id
from contract.topics import IMPORTS, QUARANTINE, READINGS, VIEWS, app_id, views_transactional_id
from contract.views import all_views
from tools.acls import PAGE, ROOT, SCRIPT, Row, files, pascal, rows

ROWS = rows()
OPERATIONS = {
    "topic": {"READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE_CONFIGS"},
    "group": {"READ", "DELETE", "DESCRIBE"},
    "transactional_id": {"WRITE"},
    "cluster": {"DESCRIBE_CONFIGS"},
}
KINDS = ("load", "backfill", "keyed", "requeue")


def names(kind: str) -> set[str]:
    """Every name of this kind in Kafka, for two view versions."""
    views = all_views()
    if kind == "topic":
        logs = {view.changelog(number).name for view in views for number in (1, 12)}
        return {READINGS.name, QUARANTINE.name, VIEWS.name, IMPORTS.name} | logs
    if kind == "group":
        return {app_id(1), app_id(12), "energy-keys-reader"}
    ids = {view.transactional_id(12, 3) for view in views}
    ids |= {view.probe_transactional_id(12, 3) for view in views}
    ids |= {import_transactional_id(each, "an-id") for each in KINDS}
    return ids | {views_transactional_id()}


def covers(row: Row, name: str) -> bool:
    if row["pattern_type"] == "prefixed":
        return name.startswith(row["name"])
    return bool(name == row["name"])


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_is_made_of_the_table_is_made_of_this_one(path: Path) -> None:
    assert path.read_text() == files()[path], "run `make acls`"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['principal']}-{row['name']}")
def test_a_row_is_of_something_that_is_there(row: Row) -> None:
    kind = row["resource_type"]
    assert set(row["operations"]) <= OPERATIONS[kind]
    assert len(set(row["operations"])) == len(row["operations"])
    if kind == "cluster":
        assert (row["name"], row["pattern_type"]) == ("kafka-cluster", "literal")
    elif not row.get("is_source"):
        assert any(covers(row, name) for name in names(kind))


@pytest.mark.parametrize("kind", ["topic", "group", "transactional_id"])
def test_somebody_has_a_right_to_everything_that_is_named(kind: str) -> None:
    ours = [row for row in ROWS if row["resource_type"] == kind]
    for name in names(kind):
        assert any(covers(row, name) for row in ours), name


def test_no_right_is_there_that_another_one_includes() -> None:
    """READ, WRITE, DELETE and ALTER include DESCRIBE."""
    for row in ROWS:
        if "DESCRIBE" in row["operations"]:
            assert row["operations"] == ["DESCRIBE"]


def test_the_script_allows_each_row_and_begins_names_with_the_prefix() -> None:
    done = subprocess.run(
        ["sh", SCRIPT],
        env={"PATH": os.environ["PATH"], "KAFKA_ACLS": "echo", "ENERGY_PREFIX": "test."},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(ROWS)
    for line, row in zip(lines, ROWS, strict=True):
        words = line.split()
        assert words[words.index("--allow-principal") + 1] == row["principal"]
        given = [words[at + 1] for at, word in enumerate(words) if word == "--operation"]
        assert given == [pascal(each) for each in row["operations"]]
        if row["resource_type"] == "cluster":
            assert "--cluster" in words
            continue
        prefix = "" if row.get("is_source") else "test."
        kind = row["resource_type"].replace("_", "-")
        assert words[words.index(f"--{kind}") + 1] == prefix + row["name"]
        assert words[words.index("--resource-pattern-type") + 1] == row["pattern_type"]


def test_the_page_names_every_kind_of_transactional_id() -> None:
    text = PAGE.read_text()
    for kind in KINDS:
        assert f"`energy-import-{kind}-{{id}}`" in text
    assert "deploy/kafka/acls.md" in (ROOT / "deploy" / "README.md").read_text()
