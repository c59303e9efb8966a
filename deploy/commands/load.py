"""`energy load`: publish files of readings, each row once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, BinaryIO

import typer

from contract.errors import SettingError
from contract.exit_codes import RESTART_ME, WRONG_USE, of_os_error
from deploy.invocation import AS_JSON, environ_of, is_debug, print_json
from deploy.signals import Stop

if TYPE_CHECKING:
    from producer.files.delimited import Dialect
    from producer.loading import Loaded, Source
    from producer.settings import ProducerSettings


class FileFormat(StrEnum):
    """What is in a file."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


def load(
    context: typer.Context,
    files: list[str] = typer.Argument(..., metavar="FILE...", help="- is standard input."),
    format: FileFormat | None = typer.Option(  # noqa: A002 - the option's name
        None, help="Not given: by each file's name (.ndjson, .jsonl, .csv, .parquet; .gz, .zst)."
    ),
    delimiter: str = typer.Option(",", help="CSV: what stands between cells; \\t is a tab."),
    escape: str | None = typer.Option(None, help="CSV: what takes a quote's meaning away."),
    columns: str | None = typer.Option(
        None, help="CSV without a header: the order of its columns, with commas between."
    ),
    resume: bool = typer.Option(
        False, "--resume", help="Go on with a load that broke off; no row counts twice."
    ),
    max_rate: float | None = typer.Option(
        None, min=1, help="Rows per second at most. Not given: as fast as they are taken."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Publish files of readings; bad rows go to the quarantine with file and line."""
    from deploy.sparse_log import show_sparsely
    from producer.settings import ProducerSettings

    settings = ProducerSettings.load(environ_of(context))
    if not is_debug(context):
        show_sparsely("producer")
    sources = [_source(name, format, _dialect(delimiter, escape, columns)) for name in files]
    if resume and any(source.path is None for source in sources):
        raise SettingError("--resume", "is not for standard input, which cannot be read again")
    done: dict[str, Loaded] = {}
    with Stop(RESTART_ME) as stop, ExitStack() as closing:
        opened = [(source, closing.enter_context(_open(source))) for source in sources]
        try:
            for source, file in opened:
                for loaded in _load_one(settings, source, file, stop.event, resume, max_rate):
                    # What has come of it is told also when it fails.
                    done[loaded.import_id] = loaded
                if stop.is_set():
                    break
        finally:
            _show(list(done.values()), as_json)
        if len(done) < len(sources) or not all(each.is_complete for each in done.values()):
            raise typer.Exit(stop.exit_code)


def _dialect(delimiter: str, escape: str | None, columns: str | None) -> Dialect:
    from contract.reading import COLUMNS
    from producer.files.delimited import Dialect

    delimiter = "\t" if delimiter == "\\t" else delimiter
    for option, text in (("--delimiter", delimiter), ("--escape", escape)):
        if text is not None and (len(text.encode()) != 1 or text in '"\r\n\0'):
            raise SettingError(option, "must be one ASCII character, no quote or line end")
    order = COLUMNS if columns is None else tuple(columns.split(","))
    if any(order.count(column) != 1 for column in COLUMNS):
        raise SettingError("--columns", f"must name each of {', '.join(COLUMNS)} once")
    return Dialect(delimiter, escape, order)


def _source(name: str, form: FileFormat | None, dialect: Dialect) -> Source:
    from producer.files.reading import format_of
    from producer.loading import Source

    if name == "-":
        return Source(None, form.value if form else "ndjson", dialect)
    path = Path(name)
    try:
        if not path.is_file():
            problem = "is a directory" if path.is_dir() else "there is no such file"
            raise SettingError("FILE", f"{problem}: {name}")
        path.open("rb").close()
    except OSError as error:
        if of_os_error(error) != WRONG_USE:
            raise
        raise SettingError("FILE", f"cannot be read: {name}: {error.strerror}") from error
    found = form.value if form else format_of(path.name)
    if found is None:
        raise SettingError("--format", f"must be given, the name does not say it: {name}")
    return Source(path, found, dialect)


@contextmanager
def _open(source: Source) -> Iterator[BinaryIO]:
    from producer.loading import searchable

    if source.path is not None:
        with source.path.open("rb") as file:
            yield file
    elif source.format == "parquet":
        with searchable(sys.stdin.buffer) as file:
            yield file
    else:
        yield sys.stdin.buffer


def _load_one(
    settings: ProducerSettings,
    source: Source,
    file: BinaryIO,
    stopping: Event,
    resume: bool,
    max_rate: float | None,
) -> Iterator[Loaded]:
    """Yield how far the load of a file has come."""
    from deploy.progress import progress
    from producer.errors import ProducerStopped
    from producer.loading import load as begin

    with progress(f"kB of {source.name}") as on_progress:
        try:
            yield from begin(
                settings, source, file, on_progress, stopping, resume=resume, max_rate=max_rate
            )
        except ProducerStopped:
            if not stopping.is_set():
                raise


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
        end = "complete" if each.is_complete else "broken off; --resume goes on with it"
        if each.file == "-" and not each.is_complete:
            end = "broken off"
        typer.echo(
            f"{each.file}: {each.successful_rows:,} rows acknowledged, {each.quarantined_rows:,}"
            f" quarantined, import {each.import_id}, {end}"
        )
