"""`/ui/`: the page for people, and `/`, which sends browsers there.

The page needs no token to load and has nothing in it: it asks the routes of the API, with the
token that its user gives it. All its files come from the package, and its policy lets it load
from and talk to this server only; it cannot even write HTML from text.
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.http.media_types import BY_EXTENSION, HTML, PLAIN
from api.query.freshness_headers import is_same

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Asked for again each time, and answered 304: a page is never of two versions.
    "Cache-Control": "no-cache",
}

router = APIRouter()


class _File(NamedTuple):
    content: bytes
    media_type: str
    entity_tag: str


@cache
def files() -> dict[str, _File]:
    """Read all files of the page: path below `/ui/` -> file. What is not here is not served."""
    found = {}

    def read(directory: Traversable, path: str) -> None:
        for each in directory.iterdir():
            if each.is_dir():
                read(each, f"{path}{each.name}/")
                continue
            content = each.read_bytes()
            tag = f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
            media_type = BY_EXTENSION.get(each.name.rpartition(".")[2], PLAIN)
            found[path + each.name] = _File(content, media_type, tag)

    read(resources.files("api") / "ui", "")
    return found


@cache
def _modules() -> str:
    """Name all modules of the page, so that none is asked for only when another has come."""
    own = (path for path in files() if path.endswith(".js") and "/" not in path)
    return ", ".join(f"<{path}>; rel=modulepreload" for path in sorted(own))


async def _root(request: Request) -> Response:
    """Send browsers to the page; for programs there is nothing here."""
    if not _takes_html(request):
        raise HTTPException(404)
    return RedirectResponse("/ui/", headers={"Vary": "Accept"})


async def _without_slash(request: Request) -> Response:
    """Send to the page; relative, because a proxy may have taken a prefix off the path."""
    return RedirectResponse("ui/")


async def _file(request: Request) -> Response:
    # Read once, without holding the others up.
    file = (await asyncio.to_thread(files)).get(request.path_params["path"] or "index.html")
    if file is None:
        raise HTTPException(404)
    headers = {**_HEADERS, "ETag": file.entity_tag}
    if file.media_type == HTML:
        headers["Link"] = _modules()
    if is_same(request.scope["headers"], file.entity_tag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _takes_html(request: Request) -> bool:
    """Whether Accept names HTML, as of all clients only browsers do."""
    return any("text/html" in accept.lower() for accept in request.headers.getlist("accept"))


# Plain routes: there is nothing for FastAPI to check, nor for the document to say.
router.add_route("/", _root)
router.add_route("/ui", _without_slash)
router.add_route("/ui/{path:path}", _file)
