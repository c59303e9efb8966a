"""`energy replay`: build the next view version beside the live one, compare, promote, drop."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.commands.foreground import MOST_WORKERS, say
from cli.invocation import AS_JSON, console, environ_of, print_json
from contract.exit_codes import REFUSED

if TYPE_CHECKING:
    from contract.view_versions import Views
    from kafka_io.cluster_changes import ClusterAdmin
    from operations.replay.comparison import Differences
    from operations.replay.positions import ReplayStatus

YES = typer.Option(False, "--yes", help="Do not ask before the only copy of totals is deleted.")

app = typer.Typer(
    no_args_is_help=True,
    help="Rebuild all totals beside the live ones, compare, then switch.",
    epilog="Example: energy replay start",
)


@app.command(epilog="Example: energy replay start --workers 2 --promote")
def start(
    context: typer.Context,
    begin_at: str | None = typer.Option(
        None, "--from", metavar="earliest|TIMESTAMP|OFFSETS", help="Where in the log; earliest."
    ),
    workers: int = typer.Option(1, min=1, max=MOST_WORKERS, help="How many workers build it."),
    promote: bool = typer.Option(False, "--promote", help="Promote it as soon as it may be."),
    max_rate: int | None = typer.Option(
        None, min=1, help="Readings per second at most, so that live traffic is not starved."
    ),
    accept_partial: bool = typer.Option(
        False, "--accept-partial", help="Leave out the readings before the start."
    ),
) -> None:
    """Build a new view version from the readings log; broken off, it goes on where it was."""
    from local_stack.replay_workers import ReplayOptions, replay

    options = ReplayOptions(begin_at, workers, promote, max_rate, accept_partial)
    raise typer.Exit(replay(options, environ_of(context), say))


@app.command(epilog="Example: energy replay status --json")
def status(
    context: typer.Context,
    digest: bool = typer.Option(
        False, "--digest", help="Add a SHA-256 over device, exact total, readings of each version."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Tell how far the next view version is, and what would change with it."""
    from operations.replay.overview import FAR_RECORDS, read_overview

    cluster, _ = _connect(environ_of(context))
    found = read_overview(cluster, with_digests=digest)
    if as_json:
        print_json(found.as_json())
        return
    typer.echo(", ".join(f"view version {n} is {state}" for n, state in found.states.items()))
    if found.replay is not None:
        _show_positions(found.replay)
        if found.differences is None:
            typer.echo(f"compared once it is at most {FAR_RECORDS:,} records behind the live one")
    if found.differences is not None:
        _show_differences(found.differences, *found.compared)
    for number, sha in found.digests.items():
        typer.echo(f"view version {number}: {sha}")


@app.command(epilog="Example: energy replay promote --wait 30")
def promote(
    context: typer.Context,
    wait: float = typer.Option(0.0, min=0.0, help="Seconds to wait for the gate to open."),
    back: bool = typer.Option(False, "--back", help="Serve the version before again."),
) -> None:
    """Serve the next view version, once it has all that the live one has."""
    from operations.errors import OperationError
    from operations.replay import drop as removal
    from operations.replay import promotion as gate

    cluster, home = _connect(environ_of(context))
    views = _views(cluster)
    live = views.live
    assert live is not None
    following = gate.version_before(views) if back else gate.next_version(views)
    if following is None:
        if views.in_state("previous"):
            typer.echo(f"view version {live} is live already")
            return
        what = "no version before is kept" if back else "nothing is being built"
        raise OperationError(f"view version {live} is live, {what}")
    done = gate.promote(cluster, live, following.view_version, wait)
    by = "" if done.was_written else " (another terminal was faster)"
    typer.echo(f"view version {done.view_version} is live{by}; {done.former} runs on")
    for number in done.dropped:
        removal.remove(cluster, home, number, views.versions[number].partitions)
        typer.echo(f"view version {number} is dropped")
    for number in done.kept:
        typer.echo(
            f"view version {number} is kept: it alone counts readings that the log has no more;"
            " `energy replay drop-old` says which"
        )


@app.command("drop-old", epilog="Example: energy replay drop-old")
def drop_old(context: typer.Context, yes: bool = YES) -> None:
    """End and delete the view version that was live before: there is no way back then."""
    _drop(context, "previous", "no version before is kept", yes=yes)


@app.command(epilog="Example: energy replay abort")
def abort(context: typer.Context, yes: bool = YES) -> None:
    """Drop the view version that is being built; the live one is not touched."""
    _drop(context, "building", "nothing is being built", yes=yes)


def _drop(context: typer.Context, state: Any, nothing: str, *, yes: bool) -> None:
    """Drop the versions in this state, and finish what was interrupted before."""
    from local_stack.home import only_one_on
    from operations.progress import progress
    from operations.replay import drop as removal

    cluster, home = _connect(environ_of(context))
    views = _views(cluster)
    assert views.live is not None
    done, kept = [], False
    for version in views.in_state(state):
        number = version.view_version
        only = removal.counted_only_by(cluster, version, views.versions[views.live])
        if only and not _is_wanted(
            f"view version {number} alone counts the readings at partition:offsets {only}, which"
            " the log has no more: their totals would be gone for good",
            yes=yes,
        ):
            kept = True
            continue
        typer.echo(f"view version {number}: waiting for its workers to end")
        with progress("writers ended") as on_progress:
            removal.drop(cluster, home, number, on_progress)
        done.append(f"view version {number}")
    for number in removal.leftovers(cluster, home, views):
        removal.remove(cluster, home, number, views.versions[number].partitions)
        done.append(f"view version {number}")
    if state == "building" and not done and not kept:
        with only_one_on(home, "replay start"):
            kept = _delete_unborn(cluster, views, done, yes=yes)
    if done:
        typer.echo(f"dropped: {', '.join(done)}")
    elif not kept:
        typer.echo(f"{nothing}; nothing is done")
    if kept:
        raise typer.Exit(REFUSED)


def _delete_unborn(cluster: ClusterAdmin, views: Views, done: list[str], *, yes: bool) -> bool:
    """Delete the changelogs that a start left behind before it gave birth in them.

    One that holds records may be the only copy of totals that `energy_views` has lost. Adds to
    `done`; returns whether one was kept.
    """
    from contract.device_totals import DEVICE_TOTALS
    from operations.views.adoption import unknown_versions

    kept = False
    for number, is_used in unknown_versions(cluster, views).items():
        name = DEVICE_TOTALS.changelog(number).name
        if is_used and not _is_wanted(
            f"{name} holds records, and no view version is known that they belong to", yes=yes
        ):
            kept = True
            continue
        cluster.delete_topics([name])
        done.append(name if is_used else f"{name} (empty)")
    return kept


def _is_wanted(what: str, *, yes: bool) -> bool:
    """Ask before something is deleted that nothing brings back; without a terminal it is kept."""
    if yes:
        return True
    if sys.stdin.isatty():
        return typer.confirm(f"{what}. Delete it?")
    typer.echo(f"kept: {what}; --yes deletes it")
    return False


def _connect(environ: Mapping[str, str]) -> tuple[ClusterAdmin, Path]:
    from kafka_io.cluster_changes import ClusterAdmin
    from local_stack.home import open_home
    from operations.settings import BrokerSettings, TopicSettings

    cluster = ClusterAdmin(TopicSettings.load(environ))
    home = open_home(BrokerSettings.load(environ).home)
    cluster.brokers()
    return cluster, home


def _views(cluster: ClusterAdmin) -> Views:
    from operations.errors import Refused
    from operations.topics.declared import current_views

    views = current_views(cluster)
    if views is None or views.live is None:
        raise Refused("no view version is live yet; `energy topics create` makes the first")
    return views


def _show_positions(replay: ReplayStatus) -> None:
    from rich.table import Table

    from local_stack.replay_progress import line

    typer.echo(line(replay.version, replay.partitions, replay.rate))
    table = Table()
    for title in ("partition", "from", "at", "target", "done"):
        table.add_column(title, justify="right")
    for p in replay.partitions:
        row = (p.partition, p.from_, p.at, p.target)
        table.add_row(*map(str, row), f"{100 * p.share:.1f} %")
    console().print(table)


def _show_differences(found: Differences, live: int, following: int) -> None:
    from rich.table import Table

    if found.not_compared:
        places = ", ".join(map(str, found.not_compared))
        typer.echo(f"not compared, the two were at no common offset: partitions {places}")
    typer.echo(
        f"from version {live} to {following}, where compared: {found.devices:,} devices change,"
        f" all totals together by {found.sum}, readings by {found.readings:,}"
    )
    if found.examples:
        table = Table(title=f"the first {len(found.examples)}")
        table.add_column("device")
        table.add_column(f"version {live}", justify="right")
        table.add_column(f"version {following}", justify="right")
        for each in found.examples:
            table.add_row(each.device_id, each.live or "unknown", each.following or "unknown")
        console().print(table)
