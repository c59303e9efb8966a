"""`energy token`: make, list and revoke the tokens of the HTTP server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from cli.invocation import AS_JSON, console, environ_of, print_json

if TYPE_CHECKING:
    from api.auth.bounds import Bounds
    from api.auth.token_store import TokenStore

app = typer.Typer(
    no_args_is_help=True,
    help="Create, list and revoke API tokens.",
    epilog="Example: energy token create --name grafana --scope METRICS:READ",
)

_EXAMPLE = (
    "Example: energy token create --name heater --scope DATASOURCES:APPEND:energy_consumption"
    " --scope PIPES:READ:energy_consumption_by_device --device heater_1 --device heater_2"
)


@app.command(epilog=_EXAMPLE)
def create(
    context: typer.Context,
    name: str = typer.Option(..., help="A name to revoke it by."),
    scope: list[str] = typer.Option(..., help="What it may do. Repeatable."),
    expires_in_days: float | None = typer.Option(
        None, min=0, help="Days until it expires. Default: never."
    ),
    device: list[str] = typer.Option(
        [], help="Restrict it to this device. Repeatable. Default: all devices."
    ),
    location: list[str] = typer.Option(
        [], help="Restrict it to this location. Repeatable. Default: all locations."
    ),
) -> None:
    """Create a token; its secret is printed once, alone on the last line.

    With --device, --location or both, the token is limited: rows that it writes for others go to
    the quarantine, and it reads only its own rows.
    """
    from api.auth.bounds import Bounds
    from api.auth.scopes import ABOUT_ALL_ROWS, SCOPES

    for each in scope:
        if each not in SCOPES:
            raise typer.BadParameter(f"no scope {each!a}; there are {', '.join(SCOPES)}")
    bounds = Bounds(frozenset(device) or None, frozenset(location) or None)
    is_bound = bounds != Bounds()
    with _store(context) as store:
        secret = store.create(name, scope, expires_in_days, bounds if is_bound else None)
    for each in scope if is_bound else ():
        if each in ABOUT_ALL_ROWS:
            typer.echo(f"{each} is about all rows: no token of devices or places can have it")
    bound_to = f", {_bounds_text(bounds)}" if is_bound else ""
    typer.echo(
        f"token {name!a}, scopes {', '.join(scope)}{bound_to}; keep it, it is not shown again:"
    )
    typer.echo(secret)


@app.command("ensure-admin", epilog="Example: energy token ensure-admin")
def ensure_admin(context: typer.Context) -> None:
    """Create an admin token unless there is a valid one; prints the file with its secret."""
    from api.auth.token_store import ADMIN_TOKEN_NAME, ensure_admin_token
    from contract.settings import HomeSettings
    from local_stack.home import open_home

    settings = HomeSettings.load(environ_of(context))
    home = open_home(settings.home)
    ensure_admin_token(home, settings.tokens_path(home))
    typer.echo(f"the admin token is in {home / ADMIN_TOKEN_NAME}")


@app.command("list", epilog="Example: energy token list --json")
def list_tokens(context: typer.Context, as_json: bool = AS_JSON) -> None:
    """List all tokens, including expired ones, without their secrets."""
    with _store(context) as store:
        tokens = store.list()
    rows = [
        {
            "name": token.name,
            "scopes": list(token.scopes),
            "created_at": token.created_at.isoformat(),
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
            "devices": _sorted(token.bounds.devices if token.bounds else None),
            "locations": _sorted(token.bounds.locations if token.bounds else None),
        }
        for token in tokens
    ]
    if as_json:
        print_json(rows)
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", "scopes", "only", "created", "expires")
    for token in tokens:
        expires = f"{token.expires_at:%Y-%m-%d %H:%M}Z" if token.expires_at else "never"
        created = f"{token.created_at:%Y-%m-%d %H:%M}Z"
        only = escape(_bounds_text(token.bounds)) if token.bounds else "all rows"
        table.add_row(escape(token.name), ", ".join(token.scopes), only, created, expires)
    console().print(table)


@app.command(epilog="Example: energy token revoke fleet")
def revoke(context: typer.Context, name: str = typer.Argument(help="As `list` shows it.")) -> None:
    """Revoke a token at once."""
    with _store(context) as store:
        store.revoke(name)
    typer.echo(f"token {name!a} is revoked")


def _bounds_text(bounds: Bounds) -> str:
    """Say what a token is bound to, with hostile characters escaped."""
    parts = [
        f"only {kind} {', '.join(ascii(text) for text in sorted(texts))}"
        for kind, texts in (("devices", bounds.devices), ("locations", bounds.locations))
        if texts is not None
    ]
    return ", ".join(parts)


def _sorted(texts: frozenset[str] | None) -> list[str] | None:
    return None if texts is None else sorted(texts)


@contextmanager
def _store(context: typer.Context) -> Iterator[TokenStore]:
    from api.auth.token_store import TokenError, TokenStore
    from contract.settings import HomeSettings
    from local_stack.home import open_home
    from operations.errors import OperationError

    settings = HomeSettings.load(environ_of(context))
    home = settings.home if settings.tokens_file else open_home(settings.home)
    try:
        yield TokenStore(settings.tokens_path(home))
    except TokenError as error:
        raise OperationError(str(error)) from error
