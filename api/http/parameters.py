"""Parameters, strictly: each name known, each value decodable, none twice by accident.

A route's parameters are a model; FastAPI fills it from a StrictRequest, a route that reads the
Request by itself with `read`. Errors name the parameter; names and values are escaped in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import unquote_to_bytes

from fastapi.exceptions import RequestValidationError
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)
from starlette.datastructures import QueryParams
from starlette.requests import Request

from api.errors import BadRequest
from contract.errors import echo

PARAMETERS = 2_000
#: 2**63 - 1 has this many digits; more cannot be meant.
_INTEGER = re.compile(r"[0-9]{1,18}")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
#: What official clients add to any request; ignored.
RESERVED = frozenset({"from", "cli_version", "debug", "attrs", "token"})
RESERVED_PREFIX = "__tb__"

Given = Mapping[str, list[str]]


def parse_query(query: bytes) -> dict[str, list[str]]:
    """Read a query string, or an urlencoded form, into names and their values in order."""
    found: dict[str, list[str]] = {}
    if not query:
        return found
    if query.count(b"&") >= PARAMETERS:
        raise BadRequest(f"more than {PARAMETERS} parameters")
    for pair in query.split(b"&"):
        if pair:
            escaped, _, value = pair.partition(b"=")
            name = unescape(escaped, "parameter", escaped.decode("latin-1"))
            # A value may be a token: it never stands in an error.
            found.setdefault(name, []).append(unescape(value, "parameter", name))
    return found


def unescape(escaped: bytes, what: str, name: str, *, plus_is_space: bool = True) -> str:
    """Decode percent-encoding to text.

    Raises: BadRequest where it is none, or no UTF-8; says what it is and its name.
    """
    if plus_is_space:
        escaped = escaped.replace(b"+", b" ")
    if _BROKEN_ESCAPE.search(escaped):
        raise BadRequest(f"{what} {echo(name)}: invalid percent-encoding")
    try:
        return (unquote_to_bytes(escaped) if b"%" in escaped else escaped).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"{what} {echo(name)}: not UTF-8") from None


def only(name: str, values: list[str]) -> str:
    """Return the value of a parameter. Raises: BadRequest if it has several."""
    if len(values) > 1:
        raise BadRequest(f"parameter {name}: given {len(values)} times")
    return values[0]


class Query(QueryParams):
    """A request's parameters; what is asked for once must have been given once."""

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of a parameter. Raises: BadRequest if it has several."""
        values = self.getlist(key)
        return only(key, values) if values else default


class StrictRequest(Request):
    """A request whose query FastAPI sees as it was sent, or not at all."""

    @property
    def query_params(self) -> QueryParams:
        """The parameters. Raises: BadRequest."""
        if not hasattr(self, "_query_params"):
            given = parse_query(self.scope["query_string"])
            self._query_params = Query(
                [(n, each) for n, values in given.items() for each in values]
            )
        return self._query_params


class Parameters(BaseModel):
    """The parameters of a route: `Annotated[..., Query()]`; a name it does not have is refused."""

    #: Those that may be given several times.
    repeatable: ClassVar[frozenset[str]] = frozenset()
    _names: ClassVar[frozenset[str]]
    _once: ClassVar[frozenset[str]]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Note the names: asking a model for its fields takes a while."""
        cls._names = frozenset(cls.model_fields)
        cls._once = cls._names - cls.repeatable

    @classmethod
    def read(cls, given: Given) -> Self:
        """Read what was parsed, as FastAPI does. Raises: BadRequest, RequestValidationError."""
        values: dict[str, Any] = {
            name: only(name, each) if name in cls._once else each for name, each in given.items()
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise RequestValidationError(
                [{**each, "loc": ("query", *each["loc"])} for each in error.errors()]
            ) from None

    @model_validator(mode="before")
    @classmethod
    def _know_all_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if (
                name not in cls._names
                and name not in RESERVED
                and not name.startswith(RESERVED_PREFIX)
            ):
                names = ", ".join(sorted(cls._names))
                taken = f"this path takes {names or 'none'}"
                raise BadRequest(f"unknown parameter {echo(name)}; {taken}")
        return given


class NoParameters(Parameters):
    """A path that takes none."""


def _digits(text: Any) -> Any:
    if isinstance(text, str) and not _INTEGER.fullmatch(text):
        raise ValueError("must be a whole number, 0 or more")
    return text


#: What makes an `int` of ASCII digits only; bounds stand before it, or no schema has them.
DIGITS = BeforeValidator(_digits)
WholeNumber = Annotated[int, Field(ge=0, lt=10**18), DIGITS]
