"""What routes depend on: the server's parts, a token with a scope, the view that is served.

The rate of a token is counted before the routes (middleware.py): its headers are on answers that
no route makes, too.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Query, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyQuery, HTTPBearer, SecurityScopes
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request

from api.auth.authorization import require
from api.auth.token_store import Token
from api.dependencies import Services
from api.http.parameters import NoParameters, parse_query
from api.ingest.idempotency_key import KEY_CHARACTERS, key_of
from api.view.totals_view import TotalsView

_IN_HEADER = HTTPBearer(scheme_name="header", auto_error=False)
_AS_PARAMETER = APIKeyQuery(name="token", scheme_name="parameter", auto_error=False)


async def services_of(request: Request) -> Services:
    """Return the parts of the server."""
    services: Services = request.app.state.services
    return services


async def _token(
    needed: SecurityScopes,
    request: Request,
    in_header: Annotated[object, Security(_IN_HEADER)],
    as_parameter: Annotated[object, Security(_AS_PARAMETER)],
) -> Token:
    """Return the token of a request.

    The two schemes are for the document: what they take from a request is not strict enough.
    """
    return _required(needed, request, within_bounds=False)


async def _bound_token(
    needed: SecurityScopes,
    request: Request,
    in_header: Annotated[object, Security(_IN_HEADER)],
    as_parameter: Annotated[object, Security(_AS_PARAMETER)],
) -> Token:
    """Return the token of a request, a bound one too."""
    return _required(needed, request, within_bounds=True)


def _required(needed: SecurityScopes, request: Request, *, within_bounds: bool) -> Token:
    services: Services = request.app.state.services
    given = request.query_params.getlist("token") or None
    return require(
        services.tokens,
        request.scope["headers"],
        given,
        needed.scopes,
        within_bounds=within_bounds,
    )


def admitted(request: Request, scope: str) -> tuple[Services, dict[str, list[str]], Token]:
    """Return the server's parts, the parameters and the token, for a direct route.

    What it depends on it asks for by itself, in the same order. Raises: what `require` raises.
    """
    services: Services = request.app.state.services
    given = parse_query(request.scope["query_string"])
    headers, token = request.scope["headers"], given.get("token")
    return services, given, require(services.tokens, headers, token, (scope,), within_bounds=True)


def needs(*scopes: str, within_bounds: bool = False) -> Any:
    """Depend on a token with these scopes; without any, on a valid token.

    A token of devices or places is refused unless the route keeps to its bounds, and says so.
    """
    return Security(_bound_token if within_bounds else _token, scopes=scopes)


def is_open_to(route: APIRoute, token: Token) -> bool:
    """Whether a route serves such a token, as far as its bounds go."""
    return token.bounds is None or all(
        each.call is not _token for each in route.dependant.dependencies
    )


async def _running_view(request: Request) -> TotalsView:
    services: Services = request.app.state.services
    return services.live.running()


async def _no_parameters(parameters: Annotated[NoParameters, Query()]) -> None:
    """Refuse every parameter."""


async def _idempotency_key(
    request: Request,
    described: Annotated[
        str | SkipJsonSchema[None],
        Header(
            alias="Idempotency-Key",
            description="The same key and body within a day count once and are answered alike",
            min_length=1,
            max_length=KEY_CHARACTERS,
        ),
    ] = None,
) -> str | None:
    """Check it, and describe it; who writes reads it by itself."""
    return key_of(request.scope["headers"])


Parts = Annotated[Services, Depends(services_of)]
#: 503 while the view loads.
RunningView = Annotated[TotalsView, Depends(_running_view)]
NO_PARAMETERS = Depends(_no_parameters)
IDEMPOTENCY_KEY = Depends(_idempotency_key)
