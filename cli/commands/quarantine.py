"""`energy quarantine`: show what could not be counted, and publish what can be repaired."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from cli.invocation import AS_JSON, console, print_json, producer_settings
from contract.errors import SettingError

if TYPE_CHECKING:
    from operations.quarantine.requeue import Example, Preview
    from operations.quarantine.rows import Choice, QuarantinedRow

app = typer.Typer(
    no_args_is_help=True,
    help="List rejected records; correct and republish them.",
    epilog="Example: energy quarantine list",
)

_FIELD = typer.Option(
    None, help="Only rows with an error in this field; `value`: the whole record."
)
_REASON = typer.Option(None, help="Only rows with this text in a reason.")
_DEVICE = typer.Option(None, help="Only rows with this device_id, as received.")
_IMPORT_ID = typer.Option(None, help="Only rows rejected by this import.")
_SINCE = typer.Option(
    None, metavar="TIME", help="Only rows quarantined at or after this time, UTC."
)
_UNTIL = typer.Option(None, metavar="TIME", help="Only rows quarantined before this time, UTC.")
_ORIGIN = typer.Option(None, help="Only this row, as `list` names it. Repeatable.")
_VALUE_CHARACTERS = 100


@app.command("list", epilog="Example: energy quarantine list --field timestamp --limit 5")
def list_rows(
    context: typer.Context,
    field: str | None = _FIELD,
    reason: str | None = _REASON,
    device: str | None = _DEVICE,
    import_id: str | None = _IMPORT_ID,
    since: str | None = _SINCE,
    until: str | None = _UNTIL,
    origin: list[str] | None = _ORIGIN,
    limit: int = typer.Option(20, min=1, max=100_000, help="Number of rows, newest first."),
    as_json: bool = AS_JSON,
) -> None:
    """List quarantined rows, newest first, with their reasons and whether they were requeued."""
    from operations.progress import progress
    from operations.quarantine.requeue import requeued_marks
    from operations.quarantine.rows import read_rows

    choice = _choice(field, reason, device, import_id, since, until, origin)
    settings = producer_settings(context)
    requeued = requeued_marks(settings)
    newest: list[tuple[int, int, int, QuarantinedRow]] = []
    matching = 0
    with progress("rows read") as on_progress:
        for row in read_rows(settings, choice):
            matching += 1
            on_progress(matching, None)
            place = (row.timestamp_ms, row.partition, row.offset, row)
            (heapq.heappush if len(newest) < limit else heapq.heappushpop)(newest, place)
    rows = [row for *_, row in sorted(newest, reverse=True)]
    if as_json:
        marks = [{"origin": r.origin, "requeued": r.mark in requeued} for r in rows]
        shown = [mark | row.columns for mark, row in zip(marks, rows, strict=True)]
        print_json({"matching": matching, "rows": shown})
    else:
        _show_rows(rows, matching, requeued)


@app.command(epilog="Example: energy quarantine requeue --field location --set location=unknown")
def requeue(
    context: typer.Context,
    changes: list[str] | None = typer.Option(
        None, "--set", metavar="FIELD=VALUE", help="A correction. Repeatable."
    ),
    field: str | None = _FIELD,
    reason: str | None = _REASON,
    device: str | None = _DEVICE,
    import_id: str | None = _IMPORT_ID,
    since: str | None = _SINCE,
    until: str | None = _UNTIL,
    origin: list[str] | None = _ORIGIN,
    yes: bool = typer.Option(False, "--yes", help="Do not ask for confirmation."),
    as_json: bool = AS_JSON,
) -> None:
    """Publish rows that are valid readings after --set; each row at most once, ever.

    Without --yes it shows what would happen and asks; with --json it only shows.
    """
    from operations.progress import progress
    from operations.quarantine.repair import read_changes
    from operations.quarantine.requeue import preview
    from operations.quarantine.requeue import requeue as publish

    choice = _choice(field, reason, device, import_id, since, until, origin)
    texts = read_changes(changes or [])
    settings = producer_settings(context)
    with progress("rows read") as on_progress:
        seen = preview(settings, choice, texts, on_progress)
    if not as_json:
        _show_preview(seen)
    requeued = 0
    if seen.valid and (yes or (not as_json and _is_wanted(seen))):
        try:
            with progress("readings") as on_progress:
                requeued = publish(settings, choice, texts, seen, on_progress)
        except (KeyboardInterrupt, SystemExit):
            typer.echo(
                "interrupted; run the same command again to continue, nothing counts twice",
                err=True,
            )
            raise
    if as_json:
        _print_result(seen, requeued)
    elif seen.valid and requeued < seen.valid:
        typer.echo(f"{requeued:,} readings published, the others by another command meanwhile")
    elif seen.valid:
        typer.echo(f"{requeued:,} readings published")


def _choice(
    field: str | None,
    reason: str | None,
    device: str | None,
    import_id: str | None,
    since: str | None,
    until: str | None,
    origins: Sequence[str] | None,
) -> Choice:
    from contract.decoding import COLUMNS
    from operations.quarantine.rows import WHOLE_VALUE, Choice

    if field is not None and field not in (*COLUMNS, WHOLE_VALUE):
        names = ", ".join((*COLUMNS, WHOLE_VALUE))
        raise SettingError("--field", f"must be one of {names}", value=field)
    begin, end = _time("--since", since), _time("--until", until)
    return Choice(field, reason, device, import_id, begin, end, frozenset(origins or ()))


def _time(option: str, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(option, "must be a time, 2025-04-30 10:11:21", value=text) from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _is_wanted(seen: Preview) -> bool:
    if not sys.stdin.isatty():
        raise SettingError("--yes", "must be given where no terminal can ask; nothing was written")
    return typer.confirm(f"Publish {seen.valid:,} readings?", abort=True)


def _show_rows(rows: Sequence[QuarantinedRow], matching: int, requeued: set[str]) -> None:
    from rich.table import Table

    table = Table("origin", "quarantined (UTC)", "why", "value", "requeued")
    for row in rows:
        why = "\n".join(f"{column}: {reason}" for column, reason in row.faults)
        value = (row.value or b"").decode(errors="backslashreplace")
        table.add_row(
            _plain(_name(row)),
            _plain(row.columns["insertion_date"]),
            "\n".join(map(_plain, why.split("\n"))),
            _plain(value),
            "yes" if row.mark in requeued else "",
        )
    console().print(table)
    typer.echo(f"{len(rows):,} of {matching:,} rows, the newest first")


def _name(row: QuarantinedRow) -> str:
    file, line = row.columns.get("__file"), row.columns.get("__line")
    place = "" if line is None else f" ({file or 'body'}, line {line})"
    return row.origin + place


def _show_preview(seen: Preview) -> None:
    typer.echo(
        f"{seen.matching:,} rows: {seen.valid:,} would be published, {seen.invalid:,} still would"
        f" not pass, {seen.already:,} were requeued before"
    )
    for title, examples in (("published", seen.examples), ("would not pass", seen.failing)):
        for each in examples:
            typer.echo(f"  {title}: {each.origin}: {_line(each.received)}")
            typer.echo(f"    {'->' if title == 'published' else 'because'} {_line(each.result)}")
    for reason, count in seen.reasons.most_common(10):
        typer.echo(f"  {count:,} x {reason}")


def _print_result(seen: Preview, requeued: int) -> None:
    def shown(examples: Sequence[Example]) -> list[dict[str, str]]:
        return [each._asdict() for each in examples]

    print_json(
        {
            "matching": seen.matching,
            "valid": seen.valid,
            "invalid": seen.invalid,
            "requeued_before": seen.already,
            "requeued": requeued,
            "reasons": dict(seen.reasons.most_common()),
            "examples": shown(seen.examples),
            "invalid_examples": shown(seen.failing),
        }
    )


def _line(text: str) -> str:
    """Escape and cut what came from outside: it may hold what steers a terminal."""
    cut = text if len(text) <= _VALUE_CHARACTERS else text[:_VALUE_CHARACTERS] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def _plain(text: str) -> str:
    """Do the same for a cell of a table."""
    from rich.markup import escape

    return escape(_line(text))
