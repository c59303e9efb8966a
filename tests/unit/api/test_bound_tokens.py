"""Tokens of devices or places: how they are kept, and which routes they may use."""

import json
import re
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from api.auth.bounds import MOST, Bounds
from api.auth.scopes import SCOPES
from api.auth.token_file import decode_tokens
from api.auth.token_store import TokenError, TokenStore, ensure_admin_token
from cli import app as cli
from contract.errors import Fault
from contract.settings import TOKENS_NAME
from tests.api_doubles import caller_for, filled_view
from tests.series_double import MemorySeries, MemorySource
from tests.unit.api.test_routes import TABLE, send

HEATER = Bounds(devices=frozenset({"heater", "a,b", "DEVICE:x"}))
DOCUMENT = Path(__file__).parents[3] / "docs" / "TOKENS.md"


class FormerToken(msgspec.Struct):
    """A token as version 0.1.0 reads and writes it."""

    name: str
    sha256: str
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None = None


class FormerFile(msgspec.Struct):
    """The file as version 0.1.0 has it."""

    tokens: tuple[FormerToken, ...] = ()
    v: Literal[1] = 1


@pytest.mark.parametrize(
    "bounds",
    [
        HEATER,
        Bounds(locations=frozenset({"", "Hall", "BOUND:ADMIN"})),
        Bounds(frozenset({"heater"}), frozenset({"Hall"})),
        None,
    ],
)
def test_bounds_come_back_as_they_were_given(tmp_path: Path, bounds: Bounds | None) -> None:
    secret = TokenStore(tmp_path / TOKENS_NAME).create("t", ["ADMIN", "METRICS:READ"], None, bounds)
    token = TokenStore(tmp_path / TOKENS_NAME).find(secret)
    assert token.bounds == bounds
    assert token.scopes == ("ADMIN", "METRICS:READ")


def test_an_older_build_lets_a_bound_token_do_nothing_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / TOKENS_NAME
    store = TokenStore(path)
    secret = store.create("bound", list(SCOPES), None, HEATER)
    free = store.create("free", ["METRICS:READ"])
    former = msgspec.json.decode(path.read_bytes(), type=FormerFile)
    assert not set(former.tokens[0].scopes) & set(SCOPES)
    assert former.tokens[1].scopes == ("METRICS:READ",)
    # It revokes another one, and writes the file.
    path.write_bytes(msgspec.json.encode(FormerFile(former.tokens[:1])))
    found = TokenStore(path).find(secret)
    assert (found.bounds, found.scopes) == (HEATER, SCOPES)
    assert TokenStore(path).find(free) is None


def test_a_token_whose_bounds_were_taken_out_by_hand_has_no_rows() -> None:
    stored = {
        "name": "t",
        "sha256": "00" * 32,
        "scopes": ["BOUND:ADMIN"],
        "created_at": "2025-01-01T00:00:00Z",
    }
    (token,) = decode_tokens(json.dumps({"tokens": [stored]}).encode())
    assert len(token.bounds.faults("heater", "Hall")) == 2


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(),
        Bounds(devices=frozenset()),
        Bounds(devices=frozenset({""})),
        Bounds(devices=frozenset({"a\nb"})),
        Bounds(devices=frozenset({"x" * 257})),
        Bounds(locations=frozenset({"x" * 257})),
        Bounds(devices=frozenset(map(str, range(MOST + 1)))),
    ],
)
def test_bounds_that_no_reading_can_have_are_refused(tmp_path: Path, bounds: Bounds) -> None:
    store = TokenStore(tmp_path / TOKENS_NAME)
    with pytest.raises(TokenError):
        store.create("t", ["ADMIN"], None, bounds)
    assert store.list() == ()


def test_a_bound_admin_is_not_the_admin_of_this_home(tmp_path: Path) -> None:
    secret = TokenStore(tmp_path / TOKENS_NAME).create("admin", ["ADMIN"], None, HEATER)
    (tmp_path / "admin_token").write_text(secret)
    made = TokenStore(tmp_path / TOKENS_NAME).find(ensure_admin_token(tmp_path))
    assert made.bounds is None


def test_bounds_say_what_is_theirs() -> None:
    both = Bounds(frozenset({"a", "b"}), frozenset({"x"}))
    assert both.faults("a", "x") == both.faults(None, None) == ()
    assert both.faults("c", "y") == (
        Fault("device_id", "the token may not write for this device"),
        Fault("location", "the token may not write for this location"),
    )
    assert both.narrow(None, None) == (("a", "b"), ("x",))
    assert both.narrow(["b", "c", "a"], ["y"]) == (("b", "a"), ())
    assert Bounds(locations=frozenset({"x"})).narrow(None, ["x"]) == (None, ("x",))
    tags = {HEATER.tag, both.tag, Bounds(both.devices).tag, Bounds(None, both.devices).tag}
    assert len(tags) == 4
    assert both.tag == Bounds(frozenset({"b", "a"}), frozenset({"x"})).tag


def test_the_command_makes_and_shows_bound_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"ENERGY_HOME": str(tmp_path / "home")}
    arguments = ["token", "create", "--name", "t", "--scope", "METRICS:READ"]
    bounds = ["--device", "heater", "--device", "a,b", "--location", "Hall"]
    assert cli.run([*arguments, *bounds], environ) == 0
    *said, secret = capsys.readouterr().out.splitlines()
    assert "only devices 'a,b', 'heater', only locations 'Hall'" in said[-1]
    assert said[0].startswith("METRICS:READ is about all rows")
    token = TokenStore(tmp_path / "home" / TOKENS_NAME).find(secret)
    assert token.bounds == Bounds(frozenset({"heater", "a,b"}), frozenset({"Hall"}))
    arguments[3] = "free"
    assert cli.run(arguments, environ) == 0
    capsys.readouterr()
    assert cli.run(["token", "list", "--json"], environ) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert listed["t"]["devices"] == ["a,b", "heater"]
    assert listed["t"]["locations"] == ["Hall"]
    assert listed["free"]["devices"] is listed["free"]["locations"] is None
    assert cli.run([*arguments[:3], "wrong", *arguments[4:], "--device", ""], environ) == 1
    assert "device ''" in capsys.readouterr().err


def decisions() -> dict[tuple[str, str], str]:
    """Method and path of each route in the document -> what a bound token gets there."""
    found: dict[tuple[str, str], str] = {}
    for line in DOCUMENT.read_text().splitlines():
        if not line.startswith(("| `GET ", "| `POST ")):
            continue
        _, routes, decision, _ = line.split("|")
        for method, path, choice in re.findall(r"`(GET|POST) ([^`\[]+)(\[[^`]+\])?`", routes):
            extensions = {"": [""], "[.json]": ["", ".json"]}.get(choice)
            for extension in extensions or FORMATS:
                assert (method, path + extension) not in found
                found[method, path + extension] = decision.strip()
    return found


FORMATS = ("", ".json", ".csv", ".csvwithnames", ".ndjson", ".parquet", ".prometheus")


def test_every_route_has_a_decision_for_bound_tokens_and_nothing_else_has() -> None:
    assert set(decisions()) == set(TABLE)


@pytest.mark.parametrize("name", TABLE, ids=" ".join)
async def test_a_route_does_with_a_bound_token_what_is_decided(
    tmp_path: Path, name: tuple[str, str]
) -> None:
    view = await filled_view({"device_7": (1, 1)})
    bounds = Bounds(devices=frozenset({"device_7"}))
    caller = caller_for(tmp_path, view, bounds=bounds, series=MemorySource(MemorySeries()))
    answer = await send(caller, *name)
    if decisions()[name].startswith("403"):
        assert answer.status == 403
        assert "limited to some devices or places" in answer.error
    else:
        assert answer.status in (200, 202)


async def test_the_document_has_what_a_bound_token_may_ask(tmp_path: Path) -> None:
    bounds = Bounds(devices=frozenset({"device_7"}))
    caller = caller_for(tmp_path, await filled_view({"device_7": (1, 1)}), bounds=bounds)
    for path in ("/openapi.json", "/v0/pipes/openapi.json"):
        paths = (await caller.get(path)).json()["paths"]
        shown = {(method.upper(), name) for name, methods in paths.items() for method in methods}
        assert shown == {name for name, said in decisions().items() if not said.startswith("403")}
