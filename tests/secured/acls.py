"""Reads deploy/kafka/acls.yaml, as somebody would who makes a cluster from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

FILE = Path(__file__).parents[2] / "deploy" / "kafka" / "acls.yaml"


class Right(NamedTuple):
    """One operation on one resource that a principal needs."""

    principal: str
    resource_type: str
    name: str
    pattern_type: str
    operation: str
    is_source: bool = False
    """Of somebody else's topic, which a backfill copies."""

    @property
    def user(self) -> str:
        return self.principal.removeprefix("User:")


def table() -> list[dict[str, Any]]:
    """The rows as they stand in the file."""
    rows: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["acls"]
    return rows


def rights() -> list[Right]:
    """Each right by itself."""
    return [
        Right(
            principal=row["principal"],
            resource_type=row["resource_type"],
            name=row["name"],
            pattern_type=row["pattern_type"],
            operation=operation,
            is_source=row.get("is_source", False),
        )
        for row in table()
        for operation in row["operations"]
    ]


def begin_with(prefix: str) -> list[Right]:
    """The rights that an installation with an ENERGY_PREFIX needs beside those without one."""
    return [
        right._replace(name=prefix + right.name)
        for right in rights()
        if right.resource_type != "cluster" and not right.is_source
    ]
