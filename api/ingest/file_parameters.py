"""The parameters of an append: what the file is, and how CSV in it is written."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic.json_schema import SkipJsonSchema

from api.errors import BadRequest
from api.http.parameters import Parameters
from api.ingest.data_source import DataSource
from api.ingest.upload_rows import NO_URL
from producer.files.cells import Dialect
from producer.files.rows import Format


def _one_character(text: str) -> str:
    if len(text.encode()) != 1 or text in '"\r\n\0':
        raise ValueError("must be one ASCII character other than a quote")
    return text


_PATTERN = r"^[\u0001-\u0009\u000B\u000C\u000E-\u0021\u0023-\u007F]$"
Character = Annotated[
    str, AfterValidator(_one_character), WithJsonSchema({"type": "string", "pattern": _PATTERN})
]


class FileParameters(Parameters):
    """What a file is."""

    format: Format | SkipJsonSchema[None] = Field(
        None, description="Not given: by name, Content-Type and content"
    )
    dialect_delimiter: Character = Field(",", description="CSV: what stands between cells")
    dialect_escapechar: Character | SkipJsonSchema[None] = Field(
        None, description="CSV: what takes a quote's meaning away"
    )
    dialect_new_line: Literal["\n", "\r\n", "\\n", "\\r\\n"] | SkipJsonSchema[None] = Field(
        None, description="CSV: does not matter, each is taken"
    )
    mode: Literal["append"] = Field("append", description="The only one there is")

    @model_validator(mode="before")
    @classmethod
    def _no_url(cls, given: dict[str, Any]) -> dict[str, Any]:
        if "url" in given:
            raise BadRequest(NO_URL)
        return given

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.dialect_delimiter == self.dialect_escapechar:
            raise BadRequest("parameter dialect_escapechar: must not be the delimiter")
        return self

    @property
    def dialect(self) -> Dialect:
        """How CSV is read."""
        return Dialect(self.dialect_delimiter, self.dialect_escapechar)


class AppendParameters(FileParameters):
    """What a file is, and where its rows go."""

    name: DataSource = Field(description="The data source")


class NamedAppendParameters(FileParameters):
    """The same where the path names the data source already."""

    name: DataSource | SkipJsonSchema[None] = Field(None, description="As in the path")
