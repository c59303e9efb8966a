"""`energy replay`: build the next view version beside the live one, compare, promote, drop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import typer

from cli.commands.foreground import MOST_WORKERS, say
from cli.invocation import AS_JSON, connect, environ_of, print_json
from contract.exit_codes import REFUSED

if TYPE_CHECKING:
    from contract.view_versions import Views
    from kafka_io.cluster_changes import ClusterAdmin

YES = typer.Option(False, "--yes", help="Delete the only copy of totals without asking.")

app = typer.Typer(
    no_args_is_help=True,
    help="Rebuild all totals next to the live ones, compare, then switch.",
    epilog="Example: energy replay start",
)


@app.command(epilog="Example: energy replay start --workers 2 --promote")
def start(
    context: typer.Context,
    begin_at: str | None = typer.Option(
        None,
        "--from",
        metavar="earliest|TIMESTAMP|OFFSETS",
        help="Where to start in the log. Default: earliest.",
    ),
    workers: int = typer.Option(
        1, min=1, max=MOST_WORKERS, help="Number of workers that build it."
    ),
    promote: bool = typer.Option(
        False, "--promote", help="Promote it as soon as it has caught up."
    ),
    max_rate: int | None = typer.Option(
        None, min=1, help="Limit in readings per second, to leave room for live traffic."
    ),
    accept_partial: bool = typer.Option(
        False, "--accept-partial", help="Accept that readings before the start are left out."
    ),
    series: Literal["on", "off"] | None = typer.Option(
        None, help="Whether the version has sums by place and time. Default: ENERGY_SERIES."
    ),
) -> None:
    """Build a new view version from the readings log; if interrupted, it resumes."""
    from local_stack.replay_workers import ReplayOptions, replay
    from operations.replay.begin import Wanted

    wanted = Wanted(begin_at, series, accept_partial)
    options = ReplayOptions(wanted, workers, promote, max_rate)
    raise typer.Exit(replay(options, environ_of(context), say))


@app.command(epilog="Example: energy replay status --json")
def status(
    context: typer.Context,
    digest: bool = typer.Option(
        False,
        "--digest",
        help="Add a SHA-256 of each version's devices, exact totals and readings.",
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Show the progress of the next view version, and what it would change."""
    from cli.replay_tables import show_differences, show_positions
    from operations.replay.overview import FAR_RECORDS, read_overview

    cluster, home = connect(context)
    found = read_overview(cluster, home, with_digests=digest)
    if as_json:
        print_json(found.as_json())
        return
    typer.echo(", ".join(f"view version {n} is {state}" for n, state in found.states.items()))
    if found.replay is not None:
        show_positions(found.replay)
        if not found.differences:
            typer.echo(f"compared once it is at most {FAR_RECORDS:,} records behind the live one")
    for each in found.differences:
        show_differences(each, *found.compared)
    for number, sha in found.digests.items():
        typer.echo(f"view version {number}: {sha}")


@app.command(epilog="Example: energy replay promote --wait 30")
def promote(
    context: typer.Context,
    wait: float = typer.Option(
        0.0, min=0.0, help="Seconds to wait for the new version to catch up."
    ),
    back: bool = typer.Option(False, "--back", help="Switch back to the previous version."),
) -> None:
    """Switch to the next view version once it has caught up with the live one."""
    from operations.errors import OperationError
    from operations.replay import drop as removal
    from operations.replay import promotion as gate
    from operations.topics.declared import live_views

    cluster, home = connect(context)
    views, live = live_views(cluster)
    following = gate.version_before(views) if back else gate.next_version(views)
    if following is None:
        if views.in_state("previous"):
            typer.echo(f"view version {live} is live already")
            return
        what = "no previous version is kept" if back else "nothing is being built"
        raise OperationError(f"view version {live} is live, {what}")
    done = gate.promote(cluster, live, following.view_version, wait)
    by = "" if done.was_written else " (another terminal was faster)"
    typer.echo(f"view version {done.view_version} is live{by}; {done.former} keeps running")
    for number in done.dropped:
        removal.remove(cluster, home, views.versions[number])
        typer.echo(f"view version {number} is dropped")
    for number in done.kept:
        typer.echo(
            f"view version {number} is kept: it alone counts readings that the log no longer has;"
            " `energy replay drop-old` says which"
        )


@app.command("drop-old", epilog="Example: energy replay drop-old")
def drop_old(context: typer.Context, yes: bool = YES) -> None:
    """Stop and delete the previous view version; you cannot switch back after this."""
    _drop(context, "previous", "no previous version is kept", yes=yes)


@app.command(epilog="Example: energy replay abort")
def abort(context: typer.Context, yes: bool = YES) -> None:
    """Discard the view version being built; the live one is not touched."""
    _drop(context, "building", "nothing is being built", yes=yes)


def _drop(context: typer.Context, state: Any, nothing: str, *, yes: bool) -> None:
    """Drop the versions in this state, and finish what was interrupted before."""
    from local_stack.home import only_one_on
    from operations.progress import progress
    from operations.replay import drop as removal
    from operations.topics.declared import live_views

    cluster, home = connect(context)
    views, live = live_views(cluster)
    done, kept = [], False
    for version in views.in_state(state):
        number = version.view_version
        only = removal.counted_only_by(cluster, version, views.versions[live])
        if only and not _is_wanted(
            f"view version {number} alone counts the readings at partition:offsets {only}, which"
            " the log no longer has: their totals would be lost forever",
            yes=yes,
        ):
            kept = True
            continue
        typer.echo(f"view version {number}: waiting for its workers to end")
        with progress("writers fenced") as on_progress:
            removal.drop(cluster, home, number, on_progress)
        done.append(f"view version {number}")
    for number in removal.leftovers(cluster, home, views):
        removal.remove(cluster, home, views.versions[number])
        done.append(f"view version {number}")
    if state == "building" and not done and not kept:
        with only_one_on(home, "replay start"):
            kept = _delete_unborn(cluster, views, done, yes=yes)
    if done:
        typer.echo(f"dropped: {', '.join(done)}")
    elif not kept:
        typer.echo(f"{nothing}; nothing was done")
    if kept:
        raise typer.Exit(REFUSED)


def _delete_unborn(cluster: ClusterAdmin, views: Views, done: list[str], *, yes: bool) -> bool:
    """Delete the changelogs that a start left behind before it gave birth in them.

    One that holds records may be the only copy of totals that `energy_views` has lost. Adds to
    `done`; returns whether one was kept.
    """
    from operations.views.adoption import changelogs_of, unknown_versions

    kept = False
    for number, is_used in unknown_versions(cluster, views).items():
        names = list(changelogs_of(cluster, number).values())
        shown = " and ".join(names)
        holds = "holds" if len(names) == 1 else "hold"
        if is_used and not _is_wanted(
            f"{shown} {holds} records that belong to no known view version", yes=yes
        ):
            kept = True
            continue
        cluster.delete_topics(names)
        done.append(shown if is_used else f"{shown} (empty)")
    return kept


def _is_wanted(what: str, *, yes: bool) -> bool:
    """Ask before something is deleted that nothing brings back; without a terminal it is kept."""
    if yes:
        return True
    if sys.stdin.isatty():
        return typer.confirm(f"{what}. Delete it?")
    typer.echo(f"kept: {what}; --yes deletes it")
    return False
