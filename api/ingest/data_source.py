"""The data source that a request names: there is one."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from api.errors import NotFound
from contract.errors import echo
from contract.topics import DATA_SOURCE


def _known(name: str) -> str:
    if not name:
        raise ValueError(f"missing; the data source is {DATA_SOURCE}")
    if name != DATA_SOURCE:
        raise NotFound(f"unknown data source {echo(name)}; the only one is {DATA_SOURCE}")
    return name


DataSource = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": [DATA_SOURCE], "examples": [DATA_SOURCE]}),
]
