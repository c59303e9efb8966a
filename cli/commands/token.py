"""`energy token`: make, list and revoke the tokens of the HTTP server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from cli.invocation import AS_JSON, console, environ_of, print_json

if TYPE_CHECKING:
    from api.auth.token_store import TokenStore

app = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke tokens of the HTTP server.",
    epilog="Example: energy token create --name grafana --scope METRICS:READ",
)

_EXAMPLE = (
    "Example: energy token create --name fleet --scope DATASOURCES:APPEND:energy_consumption"
    " --expires-in-days 365"
)


@app.command(epilog=_EXAMPLE)
def create(
    context: typer.Context,
    name: str = typer.Option(..., help="What it is revoked by."),
    scope: list[str] = typer.Option(..., help="What it may do; give it several times."),
    expires_in_days: float | None = typer.Option(None, min=0, help="Not given: never."),
) -> None:
    """Make a token; its secret is printed once, alone on the last line."""
    from api.auth.scopes import SCOPES

    for each in scope:
        if each not in SCOPES:
            raise typer.BadParameter(f"no scope {each!a}; there are {', '.join(SCOPES)}")
    with _store(context) as store:
        secret = store.create(name, scope, expires_in_days)
    typer.echo(f"token {name!a}, scopes {', '.join(scope)}; keep it, it is not shown again:")
    typer.echo(secret)


@app.command("ensure-admin", epilog="Example: energy token ensure-admin")
def ensure_admin(context: typer.Context) -> None:
    """Make an admin token unless there is a valid one; tells the file that has its secret."""
    from api.auth.token_store import ADMIN_TOKEN_NAME, ensure_admin_token
    from contract.settings import HomeSettings
    from local_stack.home import open_home

    settings = HomeSettings.load(environ_of(context))
    home = open_home(settings.home)
    ensure_admin_token(home, settings.tokens_path(home))
    typer.echo(f"the admin token is in {home / ADMIN_TOKEN_NAME}")


@app.command("list", epilog="Example: energy token list --json")
def list_tokens(context: typer.Context, as_json: bool = AS_JSON) -> None:
    """List all tokens, the expired ones too, without their secrets."""
    with _store(context) as store:
        tokens = store.list()
    rows = [
        {
            "name": token.name,
            "scopes": list(token.scopes),
            "created_at": token.created_at.isoformat(),
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        }
        for token in tokens
    ]
    if as_json:
        print_json(rows)
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", "scopes", "created", "expires")
    for token in tokens:
        expires = f"{token.expires_at:%Y-%m-%d %H:%M}Z" if token.expires_at else "never"
        created = f"{token.created_at:%Y-%m-%d %H:%M}Z"
        table.add_row(escape(token.name), ", ".join(token.scopes), created, expires)
    console().print(table)


@app.command(epilog="Example: energy token revoke fleet")
def revoke(context: typer.Context, name: str = typer.Argument(help="As `list` shows it.")) -> None:
    """Make a token invalid at once."""
    with _store(context) as store:
        store.revoke(name)
    typer.echo(f"token {name!a} is revoked")


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
