"""Settings from environment variables: complete and in range, or refused by name.

A role declares a frozen class of fields, each with its variable as alias; `load` fills it from
a mapping. Only a `__main__` hands in the real environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from contract.errors import SettingError

TOKENS_NAME = "tokens.json"

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")


def _plain_integer(value: Any) -> Any:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise ValueError("must be a whole number")
    return value


def _plain_decimal(value: Any) -> Any:
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("must be a number")
    return value


#: `int()` and pydantic take "1_0", " 1" and other scripts' digits; a setting does not.
Integer = Annotated[int, BeforeValidator(_plain_integer)]
Seconds = Annotated[float, BeforeValidator(_plain_decimal)]
Port = Annotated[Integer, Field(ge=1, le=65_535)]


class Settings(BaseModel):
    """Frozen settings; a field's alias is its environment variable."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")

    @classmethod
    def load(cls, environ: Mapping[str, str], **overrides: Any) -> Self:
        """Fill the settings from a mapping of environment variables.

        Variables of other roles are passed over; `overrides` (by field name) win, and None
        among them means "not given".
        Raises: SettingError that names the variable, the bound and, unless secret, the value.
        """
        names = {field.alias or name: name for name, field in cls.model_fields.items()}
        found: dict[str, Any] = {
            names[variable]: text for variable, text in environ.items() if variable in names
        }
        found |= {name: value for name, value in overrides.items() if value is not None}
        try:
            return cls(**found)
        except ValidationError as error:
            raise cls._translated(error, found) from None

    @classmethod
    def _translated(cls, error: ValidationError, found: Mapping[str, Any]) -> SettingError:
        first = error.errors(include_url=False)[0]
        place = str(first["loc"][0]) if first["loc"] else ""
        by_alias = {field.alias or name: name for name, field in cls.model_fields.items()}
        name = by_alias.get(place, place)
        field = cls.model_fields.get(name)
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, SettingError):
            return cause
        problem = str(cause) if cause else first["msg"].removeprefix("Input should be ")
        if not cause and first["msg"].startswith("Input should be "):
            problem = "must be " + problem
        secret = field is not None and "SecretStr" in str(field.annotation)
        value = None if secret or name not in found else str(found[name])
        variable = (field.alias if field is not None else None) or place or "settings"
        return SettingError(variable, problem, value=value)


class HomeSettings(Settings):
    """Where local state lives."""

    home: Path = Field(Path(".energy"), alias="ENERGY_HOME")
    #: May be read-only, as a mounted secret is; not set: tokens.json in ENERGY_HOME.
    tokens_file: Path | None = Field(None, alias="API_TOKENS_FILE")

    def tokens_path(self, home: Path) -> Path:
        """Return where the tokens are, for an ENERGY_HOME that has been checked."""
        return self.tokens_file.absolute() if self.tokens_file else home / TOKENS_NAME


__all__ = ["HomeSettings", "Integer", "Port", "Seconds", "SecretStr", "Settings"]
