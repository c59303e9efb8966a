"""Parquet of strangers: read in a process of its own, which has only so much memory.

How large a page becomes is the file's to say, and a fault in the reader's C++ ends its process.
So it is another one than the server: a few kB that become gigabytes, or that crash it, are a
file that cannot be read. The same values come out as from columnar.py.

    python -m producer.files.confined FD POSITION MEMORY_BYTES CPU_SECONDS

The child is given no more of the environment than it needs, so no password. It reads the file at
that descriptor and writes one length and one message after the other; the last one says how it
ended. Without that it was killed, or ran out of memory or time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, BinaryIO

import msgspec

from producer.errors import FileBroken, FileRefused
from producer.files.rows import Start
from producer.judging import BadRow, Rows, unreadable

#: With what Arrow itself takes; a page of an honest writer has 1 MiB.
MEMORY_BYTES = 400 << 20
#: Of the processor, from one slice of rows to the next; an honest one takes some 50 ms.
CPU_SECONDS = 60
_LENGTH_BYTES = 4
#: What finds Python, its libraries and the time zones, and how text is written.
_KEPT = ("PATH", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TZDIR", "LANG")
#: One pool, which asks the kernel for what is used; no threads, which reserve stacks.
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}


class _Some(msgspec.Struct, array_like=True, tag=True):
    """Some rows; of a bad one its line, what there is of it, and why."""

    values: list[bytes]
    lines: list[int]
    bad: list[tuple[int, bytes, str]]
    next_position: int


class _Ended(msgspec.Struct, array_like=True, tag=True):
    """The end; `refused` and `broken` say why it is not the file's."""

    refused: str = ""
    broken: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Some | _Ended).decode


def confined_rows(
    file: BinaryIO,
    start: Start,
    memory_bytes: int = MEMORY_BYTES,
    cpu_seconds: int = CPU_SECONDS,
) -> Iterator[Rows]:
    """Yield the values of a file that has a descriptor.

    Raises: FileRefused, before anything is yielded; FileBroken.
    """
    descriptor = file.fileno()
    arguments = map(str, (descriptor, start.position, memory_bytes, cpu_seconds))
    process = subprocess.Popen(
        [sys.executable, "-m", "producer.files.confined", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[descriptor],
        env={name: os.environ[name] for name in _KEPT if name in os.environ} | _ENVIRONMENT,
    )
    assert process.stdout is not None
    is_begun = False
    try:
        while not isinstance(message := _received(process.stdout), _Ended):
            if message is None:
                # Without a message it has ended, or is about to.
                is_slow = process.wait() == -signal.SIGXCPU
                most = f"{cpu_seconds} s for some rows" if is_slow else f"{memory_bytes >> 20} MiB"
                problem = f"reading the Parquet file takes more than {most}"
                raise FileBroken(problem) if is_begun else FileRefused(problem)
            is_begun = True
            bad = [BadRow(line, raw, unreadable(reason)) for line, raw, reason in message.bad]
            end = message.next_position
            yield Rows(message.values, message.lines, bad, end, end + 1)
        if message.refused:
            raise FileRefused(message.refused)
        if message.broken:
            raise FileBroken(message.broken)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _received(stream: IO[bytes]) -> _Some | _Ended | None:
    length = int.from_bytes(stream.read(_LENGTH_BYTES))
    data = stream.read(length)
    return _decode(data) if data and len(data) == length else None


def _send(message: _Some | _Ended) -> None:
    data = _encode(message)
    sys.stdout.buffer.write(len(data).to_bytes(_LENGTH_BYTES) + data)
    sys.stdout.buffer.flush()


def _main(descriptor: int, position: int, memory_bytes: int, cpu_seconds: int) -> None:
    from producer.files.columnar import parquet_rows

    _limit_memory(memory_bytes)
    _limit_cpu(cpu_seconds)
    end = _Ended()
    try:
        for rows in parquet_rows(os.fdopen(descriptor, "rb"), Start(position, position + 1)):
            bad = [(bad.line, bad.raw, bad.error.faults[0].reason) for bad in rows.bad]
            _send(_Some(list(rows.values), list(rows.lines), bad, rows.next_position))
            _limit_cpu(cpu_seconds)
    except FileRefused as error:
        end = _Ended(refused=str(error))
    except FileBroken as error:
        end = _Ended(broken=str(error))
    except MemoryError:
        return
    _send(end)


def _limit_memory(memory_bytes: int) -> None:
    """Let the kernel refuse more; where it cannot, the process is still another one."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def _limit_cpu(more_seconds: int) -> None:
    """Let the kernel end the process once it has used so much more, as `_limit_memory`."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        # Only the soft limit: the next slice has as much again.
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + more_seconds, most))


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:]))
