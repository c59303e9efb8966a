"""Query parameters, strictly: each name known, each value decodable, none twice by accident.

Raises BadRequest that names the parameter; names and values are escaped in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from api.errors import BadRequest
from contract.errors import echo

PARAMETERS = 2_000
#: 2**63 - 1 has this many digits; more cannot be meant.
_INTEGER = re.compile(r"[0-9]{1,18}")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
#: What official clients add to any request; ignored.
RESERVED = frozenset({"from", "cli_version", "debug", "attrs"})
RESERVED_PREFIX = "__tb__"

Parameters = Mapping[str, list[str]]


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
        raise BadRequest(f"{what} {echo(name)}: no valid percent-encoding")
    try:
        return (unquote_to_bytes(escaped) if b"%" in escaped else escaped).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"{what} {echo(name)}: not UTF-8") from None


def check_names(
    parameters: Parameters, known: Iterable[str], repeatable: Iterable[str] = ()
) -> None:
    """Refuse unknown names, and known ones that come twice; reserved ones are passed over."""
    for name, values in parameters.items():
        if name in known:
            if len(values) > 1 and name not in repeatable:
                raise BadRequest(f"parameter {name}: given {len(values)} times")
        elif name not in RESERVED and not name.startswith(RESERVED_PREFIX) and name != "token":
            names = ", ".join(sorted(known))
            there = f"there are {names}" if names else "this path takes none"
            raise BadRequest(f"no parameter {echo(name)}; {there}")


def one(parameters: Parameters, name: str) -> str | None:
    """Return the value of a parameter, None if it is not given."""
    values = parameters.get(name)
    return values[0] if values else None


def whole_number(parameters: Parameters, name: str) -> int | None:
    """Return a number from 0 on, in ASCII digits; None if it is not given."""
    text = one(parameters, name)
    if text is None:
        return None
    if not _INTEGER.fullmatch(text):
        raise BadRequest(f"parameter {name}: {echo(text)} is no whole number from 0 on")
    return int(text)


def choice(parameters: Parameters, name: str, choices: Iterable[str]) -> str | None:
    """Return a value that must be one of a few; None if it is not given."""
    text = one(parameters, name)
    if text is not None and text not in choices:
        raise BadRequest(f"parameter {name}: {echo(text)} is none of {', '.join(choices)}")
    return text
