"""`energy load`: publish files of readings, each row once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from cli.invocation import AS_JSON, print_json, producer_settings
from contract.errors import SettingError
from contract.exit_codes import RESTART_ME, WRONG_USE, of_os_error
from local_stack.signals import Stop

if TYPE_CHECKING:
    from producer.files.cells import Dialect
    from producer.files.rows import Format
    from producer.imports.file_load import Loaded
    from producer.imports.load_notes import Source


def load(
    context: typer.Context,
    files: list[str] = typer.Argument(
        ..., metavar="FILE...", help="Files to load; - is standard input."
    ),
    format: Literal["ndjson", "csv", "parquet"] | None = typer.Option(  # noqa: A002 - its name
        None, help="Default: by file name (.ndjson, .csv, .parquet ...), then by content."
    ),
    delimiter: str = typer.Option(",", help="CSV: the delimiter; \\t is a tab."),
    escape: str | None = typer.Option(None, help="CSV: the escape character."),
    columns: str | None = typer.Option(
        None, help="CSV without a header: the column names, comma-separated."
    ),
    resume: bool = typer.Option(
        False, "--resume", help="Resume an interrupted load; the file may have moved."
    ),
    max_rate: float | None = typer.Option(
        None, min=1, help="Limit in rows per second. Default: none."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Publish files of readings; invalid rows go to the quarantine with file and line."""
    from operations.progress import progress
    from producer.errors import ProducerStopped
    from producer.imports.file_load import Loads

    settings = producer_settings(context)
    sources = [_source(name, format, _dialect(delimiter, escape, columns)) for name in files]
    if resume and any(source.path is None for source in sources):
        raise SettingError(
            "--resume", "does not work with standard input: nothing reads that twice"
        )
    done: dict[int, Loaded] = {}
    with Stop(RESTART_ME) as stop:
        try:
            with Loads(settings, sources, stop.event, resume=resume, max_rate=max_rate) as loads:
                for number, source in enumerate(sources):
                    with progress(f"kB of {source.name}") as on_progress:
                        for loaded in loads.load(number, on_progress):
                            # What has come of it is told also when it fails.
                            done[number] = loaded
        except ProducerStopped:
            if not stop.is_set():
                raise
        finally:
            _show(list(done.values()), as_json)
        if len(done) < len(sources) or not all(each.is_complete for each in done.values()):
            raise typer.Exit(stop.exit_code)


def _dialect(delimiter: str, escape: str | None, columns: str | None) -> Dialect:
    from contract.decoding import COLUMNS
    from producer.files.cells import Dialect

    delimiter = "\t" if delimiter == "\\t" else delimiter
    for option, text in (("--delimiter", delimiter), ("--escape", escape)):
        if text is not None and (len(text.encode()) != 1 or text in '"\r\n\0'):
            raise SettingError(option, "must be one ASCII character, not a quote or a line end")
    order = None if columns is None else tuple(columns.split(","))
    if order and any(order.count(column) != 1 for column in COLUMNS):
        raise SettingError("--columns", f"must name each of {', '.join(COLUMNS)} once")
    return Dialect(delimiter, escape, order)


def _source(name: str, given: Format | None, dialect: Dialect) -> Source:
    from producer.files.content import format_of
    from producer.imports.load_notes import Source

    if name == "-":
        return Source(None, given, dialect)
    path = Path(name)
    try:
        if not path.is_file():
            problem = "is a directory" if path.is_dir() else "no such file"
            raise SettingError("FILE", f"{problem}: {name}")
        path.open("rb").close()
    except OSError as error:
        if of_os_error(error) != WRONG_USE:
            raise
        raise SettingError("FILE", f"cannot be read: {name}: {error.strerror}") from error
    return Source(path, given or format_of(path.name), dialect)


def _show(done: Sequence[Loaded], as_json: bool) -> None:
    if as_json:
        files = [
            {
                "file": each.file,
                "import_id": each.import_id,
                "successful_rows": each.successful_rows,
                "quarantined_rows": each.quarantined_rows,
                "complete": each.is_complete,
            }
            for each in done
        ]
        totals = {
            name: sum(getattr(each, name) for each in done)
            for name in ("successful_rows", "quarantined_rows")
        }
        print_json({**totals, "files": files})
        return
    for each in done:
        end = "complete" if each.is_complete else "interrupted; --resume continues it"
        if each.file == "-" and not each.is_complete:
            end = "interrupted"
        typer.echo(
            f"{each.file}: {each.successful_rows:,} rows acknowledged, {each.quarantined_rows:,}"
            f" quarantined, import {each.import_id}, {end}"
        )
