"""Writes from deploy/kafka/acls.yaml what is made of it: `make acls`.

The table of deploy/kafka/acls.md, the commands of acls.sh, the users of the Strimzi overlay. A test
holds the files equal to this.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

Row = dict[str, Any]
ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "deploy" / "kafka" / "acls.yaml"
PAGE = SOURCE.with_suffix(".md")
SCRIPT = SOURCE.with_suffix(".sh")
STRIMZI = ROOT / "deploy" / "kubernetes" / "overlays" / "strimzi" / "users.yaml"

BEGIN, END = "<!-- made by `make acls` -->\n", "<!-- end -->\n"
#: Kafka's words in other spellings.
_OPTION = {"topic": "topic", "group": "group", "transactional_id": "transactional-id"}
_STRIMZI_TYPE = {"transactional_id": "transactionalId"}
_STRIMZI_PATTERN = {"prefixed": "prefix"}

_SCRIPT_HEAD = """\
#!/bin/sh
# Gives the users of energy-totals their rights. Made from acls.yaml by `make acls`.
#
#   KAFKA_ACLS="kafka-acls.sh --bootstrap-server kafka:9093 --command-config admin.properties" \\
#       ENERGY_PREFIX= sh acls.sh
#
# ENERGY_PREFIX as in the settings of workers and API. Running it again changes nothing.
set -eu
ENERGY_PREFIX=${ENERGY_PREFIX:-}
allow() {
    # shellcheck disable=SC2086 # a command with its options
    ${KAFKA_ACLS:-kafka-acls.sh --bootstrap-server localhost:9092} --add --force "$@" </dev/null
}
"""
_STRIMZI_HEAD = """\
# Who may do what, as deploy/kafka/acls.yaml says. Made from it by `make acls`.
"""


def rows() -> list[Row]:
    """Return the rows of the file, in its order."""
    found: list[Row] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))["acls"]
    return found


def pascal(operation: str) -> str:
    """Return an operation as kafka-acls.sh and Strimzi spell it."""
    return "".join(word.capitalize() for word in operation.split("_"))


def page_table(table: Iterable[Row]) -> str:
    """Return the tables of the page, one for each principal."""
    text = ""
    for principal, group in groupby(table, key=lambda row: str(row["principal"])):
        text += f"\n### {principal}\n\n| resource | operations | what for |\n|---|---|---|\n"
        for row in group:
            star = "*" if row["pattern_type"] == "prefixed" else ""
            text += (
                f"| {row['resource_type']} `{row['name']}{star}` | {', '.join(row['operations'])}"
                f" | {row['why']} |\n"
            )
    return text + "\n"


def page(table: Iterable[Row], before: str) -> str:
    """Return the page with the tables renewed."""
    head, _, rest = before.partition(BEGIN)
    return head + BEGIN + page_table(table) + END + rest.partition(END)[2]


def script(table: Iterable[Row]) -> str:
    """Return the shell script."""
    return _SCRIPT_HEAD + "".join(f"allow {' '.join(_options(row))}\n" for row in table)


def _options(row: Row) -> Iterator[str]:
    yield f"--allow-principal {row['principal']}"
    yield from (f"--operation {pascal(each)}" for each in row["operations"])
    if row["resource_type"] == "cluster":
        yield "--cluster"
        return
    prefix = "" if row.get("is_source") else "${ENERGY_PREFIX}"
    yield f'--{_OPTION[row["resource_type"]]} "{prefix}{row["name"]}"'
    yield f"--resource-pattern-type {row['pattern_type']}"


def strimzi(table: Iterable[Row]) -> str:
    """Return the users for Strimzi's user operator."""
    users = []
    for principal, group in groupby(table, key=lambda row: str(row["principal"])):
        text = f"""\
apiVersion: kafka.strimzi.io/v1
kind: KafkaUser
metadata:
  name: {principal.removeprefix("User:")}
  labels: {{strimzi.io/cluster: energy}}
spec:
  authentication: {{type: scram-sha-512}}
  authorization:
    type: simple
    acls:
"""
        for row in group:
            kind = row["resource_type"]
            named = ""
            if kind != "cluster":
                pattern = row["pattern_type"]
                named = f", name: {row['name']}"
                named += f", patternType: {_STRIMZI_PATTERN.get(pattern, pattern)}"
            text += f"      - resource: {{type: {_STRIMZI_TYPE.get(kind, kind)}{named}}}\n"
            text += f"        operations: [{', '.join(map(pascal, row['operations']))}]\n"
        users.append(text)
    return _STRIMZI_HEAD + "---\n".join(users)


def files() -> dict[Path, str]:
    """Return what each file must say."""
    table = rows()
    before = PAGE.read_text(encoding="utf-8")
    return {PAGE: page(table, before), SCRIPT: script(table), STRIMZI: strimzi(table)}


def main() -> int:
    """Write the files."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
