"""X41: an upgrade, a downgrade, and two builds at once on one view version.

The other build is this one with a part of it replaced before anything else runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.views import DEFAULT_RULES
from tests.fault.pipeline import Pipeline
from tests.fault.workers import run_to_the_end

OTHER_RULES = """
import contract.views

known = contract.views.VIEWS_OF_RULES
views = known["1"]
known.clear()
known["next"] = views
"""

NEXT_FORMAT = """
import contract.device_totals as rows

write, read = rows.encode_total, rows.decode_total

def encode_total(total, readings):
    return b"2" + write(total, readings)[1:]

def decode_total(value):
    return read(b"1" + value[1:])

rows.encode_total, rows.decode_total = encode_total, decode_total
"""


def build(directory: Path, code: str) -> dict[str, str]:
    """Settings with which a worker is that build."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(directory)}


@pytest.mark.timeout(150)
def test_x41_a_build_with_other_rules_refuses_and_disturbs_nobody(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    other = {**pipeline.environ, **build(tmp_path / "other", OTHER_RULES)}
    other |= {"STREAM_APP_DATADIR": str(tmp_path / "other-state")}
    worker = pipeline.workers.add()
    pipeline.fleet.start()
    pipeline.wait_progress(1_000)
    for _ in range(2):
        ended, _ = run_to_the_end(other)
        assert ended.returncode == 3, ended.stderr
        assert f"follow rules {DEFAULT_RULES}, this program has rules next" in ended.stderr
        assert "Traceback" not in ended.stderr
        pipeline.wait_progress(1_000)
    assert worker.exit_codes == []
    pipeline.finish()


@pytest.mark.timeout(150)
@pytest.mark.parametrize("lose_directory", [False, True], ids=["store_kept", "store_lost"])
def test_x41_a_downgrade_below_a_format_it_does_not_know_is_refused(
    pipeline: Pipeline, tmp_path: Path, lose_directory: bool
) -> None:
    upgraded = pipeline.workers.add(**build(tmp_path / "next", NEXT_FORMAT))
    pipeline.fleet.publish(2_000)
    pipeline.drain()
    assert upgraded.stop() == 0
    if lose_directory:
        upgraded.lose_directory()
    pipeline.fleet_of().publish(100)
    pipeline.fleet.finish()
    environ = {**pipeline.environ, "STREAM_APP_DATADIR": str(upgraded.directory)}
    ended, _ = run_to_the_end(environ)
    if not lose_directory:
        # The store alone may be damaged: the changelog is asked, of each partition when it is met.
        assert ended.returncode == 75
        for _ in range(pipeline.partitions):
            if ended.returncode == 75:
                ended, _ = run_to_the_end(environ)
    assert ended.returncode == 3, ended.stderr
    assert "no row of device_totals: b'2 " in ended.stderr
    assert "another build of this program" in ended.stderr
    assert "Traceback" not in ended.stderr
