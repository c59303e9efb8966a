"""What counts as memory of a process: its own pages and shared ones, and no page cache."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process_memory import highest_memory, memory_of

MB = 1024 * 1024
SIZE = 64 * MB


def test_a_file_that_is_mapped_and_read_is_page_cache(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZE))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        before = memory_of(os.getpid())
        assert sum(mapped[at] for at in range(0, SIZE, mmap.PAGESIZE)) == 0
        assert memory_of(os.getpid()) - before < SIZE // 8


@pytest.mark.parametrize("flags", [mmap.MAP_PRIVATE, mmap.MAP_SHARED])
def test_pages_that_no_file_has_count_whether_shared_or_not(flags: int) -> None:
    before = memory_of(os.getpid())
    with mmap.mmap(-1, SIZE, flags=flags | mmap.MAP_ANONYMOUS) as mapped:
        mapped.write(b"x" * SIZE)
        assert memory_of(os.getpid()) - before > SIZE * 7 // 8


def test_the_highest_is_known_when_it_is_given_back_and_when_the_process_has_ended() -> None:
    program = f"x = b'x' * {SIZE}; print(flush=True); input(); del x; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", f"input(); {program}"], stdin=-1, stdout=-1, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def go_on() -> None:
            print(file=process.stdin, flush=True)

        with highest_memory(process.pid) as memory:
            go_on()
            process.stdout.readline()
            memory.look()
            go_on()
            process.stdout.readline()
            assert memory_of(process.pid) < memory.before + SIZE // 2
            go_on()
            process.wait(10)
        assert SIZE * 7 // 8 < memory.growth < SIZE * 2
        assert memory.bytes == memory.before + memory.growth
