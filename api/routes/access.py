"""What routes depend on: the server's parts, a token with a scope, the view that is served.

The rate of a token is counted before the routes (middleware.py): its headers are on answers that
no route makes, too.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Security
from fastapi.security import APIKeyQuery, HTTPBearer, SecurityScopes
from starlette.requests import Request

from api.auth.authorization import require
from api.auth.token_store import Token
from api.dependencies import Services
from api.http.parameters import NoParameters
from api.view.version_view import ViewVersionView

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
    services: Services = request.app.state.services
    given = request.query_params.getlist("token") or None
    return require(services.tokens, request.scope["headers"], given, needed.scopes)


def needs(*scopes: str) -> Any:
    """Depend on a token with these scopes; without any, on a valid token."""
    return Security(_token, scopes=scopes)


async def _running_view(request: Request) -> ViewVersionView:
    services: Services = request.app.state.services
    return services.live.running()


async def _no_parameters(parameters: Annotated[NoParameters, Query()]) -> None:
    """Refuse every parameter."""


Parts = Annotated[Services, Depends(services_of)]
#: 503 while the view loads.
RunningView = Annotated[ViewVersionView, Depends(_running_view)]
NO_PARAMETERS = Depends(_no_parameters)
