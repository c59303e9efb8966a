"""All of it on a cluster that allows what deploy/kafka/acls.yaml says, while a broker is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from tests.installation import Installation
from tests.kafka import wait_until
from tests.secured.cluster import SecuredCluster
from tests.secured.conftest import ARCHIVED, reading
from tests.secured.parts import SecuredInstallation, written_out

READINGS_SENT = 3_000
#: Way in -> ENERGY_PREFIX: two installations that share the cluster and never meet.
WAYS = {"scram": "", "mtls": "second."}


@pytest.fixture(params=WAYS)
def installation(
    secured: SecuredCluster, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    login = getattr(secured, request.param)
    installation = SecuredInstallation(secured, login, tmp_path, WAYS[request.param])
    yield installation
    installation.close()


@pytest.mark.timeout(280)
def test_all_of_it_runs_with_these_rights_and_is_exact(
    secured: SecuredCluster, installation: Installation, archive: str, tmp_path: Path
) -> None:
    run = installation.run
    worker, api = installation.start()
    oracle = tmp_path / "oracle.json"
    simulate = ["--readings", str(READINGS_SENT), "--rate", "400", "--bad", "0.01"]
    fleet = installation.keep_running("simulate", *simulate, "--oracle", str(oracle))
    write = "/v0/events?name=energy_consumption&wait=true"
    assert installation.post(write, [reading("posted", 0.1), {"bad": 1}]) == {
        "successful_rows": 1,
        "quarantined_rows": 1,
    }
    secured.brokers[3].kill()
    for _ in range(2):
        installation.post(write, [reading("posted", 0.2)], Idempotency_Key="the-same")
    (tmp_path / "rows.ndjson").write_text(
        "".join(json.dumps(reading("loaded", each)) + "\n" for each in range(100))
    )
    run("load", "rows.ndjson")
    for _ in range(2):
        run("backfill", archive, "--id", "the-archive")
    run("replay", "start", "--promote")
    secured.brokers[3].start()
    wait_until(lambda: fleet.exit_codes, "the fleet has ended", 60)
    assert fleet.exit_codes == [0], fleet.text

    expected = Counter(
        {device: Decimal(total) for device, total in json.loads(oracle.read_text()).items()}
    )
    with localcontext(prec=200):
        expected["posted"] += Decimal("0.3")
        expected["loaded"] += Decimal(sum(range(100)))
        for number in range(ARCHIVED):
            expected[f"archived_{number % 7}"] += Decimal("0.25")
    wanted = {device: written_out(total) for device, total in expected.items()}
    wait_until(lambda: installation.totals() == wanted, "every total is the oracle's", 60)

    secured.brokers[3].wait_ready(90)
    status = json.loads(run("status", "--json"))
    assert (status["view_version"], status["problems"]) == (2, [])
    assert "balance" in run("check")
    run("topics", "check")
    run("topics", "grow", "3")
    run("replay", "drop-old")
    fixed = run(
        *("quarantine", "requeue", "--field", "energy_consumed", "--set", "energy_consumed=1"),
        "--yes",
    )
    assert fixed
    assert "energy_consumption" in run("quarantine", "list")
    assert api.stop() == 0, api.text
    assert worker.stop() == 0, worker.text
