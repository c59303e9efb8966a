"""`energy check`: do the books balance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.invocation import AS_JSON, connect, print_json

if TYPE_CHECKING:
    from operations.books.findings import Account, Books


def check(
    context: typer.Context,
    view_version: int | None = typer.Option(
        None, min=1, help="Check this view version instead of the live one."
    ),
    wait: float = typer.Option(
        30.0, min=0.0, help="Seconds to wait for totals and series to reach the same offsets."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Check that the series adds up to every total, to the last digit; exit 1 if not."""
    import msgspec

    from operations.books.check import check_books
    from operations.progress import progress
    from operations.topics.declared import existing_version

    cluster, home = connect(context)
    version = existing_version(cluster, view_version)
    with progress("records read and added up") as on_progress:
        found = check_books(cluster, home, version, wait_seconds=wait, on_progress=on_progress)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        typer.echo("\n".join(lines(found, wait)))
    if not found.is_balanced:
        raise typer.Exit(1)


def lines(found: Books, wait: float) -> list[str]:
    """Say it for a person: one line where all is right, else the first differences."""
    if found.is_balanced:
        offsets = ",".join(f"{p}:{offset}" for p, offset in enumerate(found.applied_offsets))
        return [
            f"the books of view version {found.view_version} balance: {found.devices:,} devices"
            f" at {found.locations:,} locations, {found.readings:,} readings, sum {found.sum}"
            f" (up to partition:offset {offsets})"
        ]
    said = []
    if found.differing or found.miscounts:
        said.append(
            f"the books of view version {found.view_version} do not balance: {found.differing:,}"
            f" of {found.devices:,} devices differ; keep its topics for the investigation, and"
            " build a new view version: energy replay start"
        )
    said += [
        f"partition {each.partition}, {each.device_id}: its total is {_account(each.totals)}, its"
        f" locations and hours are {_account(each.series)}"
        for each in found.differences
    ]
    if found.differing > len(found.differences):
        said.append(f"and {found.differing - len(found.differences):,} more")
    said += [
        f"partition {each.partition}, {each.view}: its marker has counted {each.counted:,}"
        f" readings, its rows hold {each.readings:,}"
        for each in found.miscounts
    ]
    said += [
        f"partition {each.partition} was not compared: the totals are at offset"
        f" {each.totals_offset}, the series at {each.series_offset}, and within {wait:g} s they"
        " were at no common one; `energy status` says whether a worker has it, --wait S waits"
        " longer"
        for each in found.not_compared
    ]
    return said


def _account(account: Account | None) -> str:
    if account is None:
        return "unknown"
    return f"{account.sum} of {account.readings:,} reading{'s'[: account.readings != 1]}"
