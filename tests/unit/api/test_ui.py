"""The page's files: who gets them and with which headers, and that they need nothing else."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from api.app import create_app
from api.routes.ui import POLICY, files
from api.settings import ApiSettings
from tests.api_doubles import Caller, HandmadeLive, caller_for

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "api" / "ui"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
OWN = sorted(path for path in PAGE.glob("*") if path.suffix in (".html", ".css", ".js"))


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    """A server that has no view yet, and a client without a token."""
    made = caller_for(tmp_path, None)
    made.token = None
    return made


async def test_browsers_are_sent_to_the_page(caller: Caller) -> None:
    answer = await caller.get("/", accept=BROWSER)
    assert (answer.status, answer.headers["location"]) == (307, "/ui/")
    assert answer.headers["vary"] == "Accept"
    # A proxy may have taken a prefix off the path.
    assert (await caller.get("/ui")).headers["location"] == "ui/"


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_for_programs_there_is_nothing_at_the_root(caller: Caller, accept: str) -> None:
    answer = await caller.get("/", accept=accept)
    assert answer.status == 404
    assert answer.error == "there is nothing at '/'"
    assert (await caller.get("/")).status == 404


async def test_the_page_loads_without_a_token_and_may_load_from_here_only(caller: Caller) -> None:
    answer = await caller.get("/ui/")
    assert answer.status == 200
    assert answer.body == (PAGE / "index.html").read_bytes()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert POLICY.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_the_page_names_all_its_modules_so_that_none_waits_for_another(
    caller: Caller,
) -> None:
    named = re.findall(r"<([\w.]+)>; rel=modulepreload", (await caller.get("/ui/")).headers["link"])
    assert named == [path.name for path in OWN if path.suffix == ".js"]
    assert "link" not in (await caller.get("/ui/app.js")).headers


@pytest.mark.parametrize("path", sorted(files()))
async def test_each_file_has_its_type_and_is_sent_again_only_when_changed(
    caller: Caller, path: str
) -> None:
    types = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    types[".svg"] = "image/svg+xml"
    answer = await caller.get(f"/ui/{path}")
    assert answer.body == (PAGE / path).read_bytes()
    expected = types.get(Path(path).suffix, "text/plain")
    assert answer.headers["content-type"].partition(";")[0] == expected
    assert answer.headers["cache-control"] == "no-cache"
    again = await caller.get(f"/ui/{path}", if_none_match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert (await caller.request("HEAD", f"/ui/{path}")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "vendor/../../app.py",
        "/etc/passwd",
        "..\\app.py",
        "vendor",
        "vendor/",
        "index.html/",
        "index.html%00",
        "nothing.js",
    ],
)
async def test_what_is_no_file_of_the_page_is_not_there(caller: Caller, path: str) -> None:
    answer = await caller.get(f"/ui/{path}")
    assert answer.status == 404
    assert "there is nothing at" in answer.error


def test_nothing_else_is_served_without_the_checks_of_a_route() -> None:
    routes = create_app(ApiSettings.load({}), HandmadeLive(None)).routes
    others = {route.path for route in routes if not isinstance(route, APIRoute)}  # type: ignore[attr-defined]
    assert others == {"/", "/ui", "/ui/{path:path}"}


def test_the_package_has_every_file_of_the_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["api"]
    packed = {path for pattern in patterns for path in (ROOT / "api").glob(pattern)}
    assert {path for path in PAGE.rglob("*") if path.is_file()} <= packed
    assert {str(path.relative_to(PAGE)) for path in packed if path.is_file()} == set(files())


def test_the_chart_library_is_what_its_package_has() -> None:
    directory = PAGE / "vendor" / "uplot"
    sums = (directory / "SHA256SUMS").read_text().splitlines()
    named = dict(reversed(line.split()) for line in sums)
    assert {path.name for path in directory.iterdir()} == {*named, "SHA256SUMS"}
    for name, expected in named.items():
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == expected
    assert "MIT" in (directory / "LICENSE").read_text()


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_a_file_loads_from_here_only_and_writes_text_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//\w+\.", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", text)
    assert not re.search(r"<[^>]+ (style|on\w+)=|<script>|<style", text)


def test_the_page_stays_small() -> None:
    assert sum(len(path.read_text().splitlines()) for path in OWN) < 1_250
    assert sum(path.stat().st_size for path in PAGE.rglob("*") if path.is_file()) < 110_000
