"""Bearer tokens, encrypted keys, and passwords that are replaced while readings come."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kafka import wait_until
from tests.secured.acls import rights
from tests.secured.cluster import SecuredCluster
from tests.secured.conftest import reading
from tests.secured.parts import Installation

KEY_PASSWORD = "opens-the-key"
WRITE = "/v0/events?name=energy_consumption&wait=true"


@pytest.mark.timeout(150)
def test_a_bearer_token_lets_both_clients_in(secured: SecuredCluster, tmp_path: Path) -> None:
    installation = Installation(secured, secured.oauth, tmp_path, "oauth.")
    try:
        installation.run("topics", "create")
        worker = installation.keep_running("worker")
        api = installation.keep_running("api")
        installation.make_token()
        wait_until(installation.is_ready, f"the API serves; {api.text[-500:]}", 60)
        installation.post(WRITE, [reading("a", 0.1), reading("a", 0.2)])
        wait_until(lambda: installation.totals() == {"a": "0.3"}, "both are counted")
        assert api.stop() == worker.stop() == 0, worker.text
    finally:
        installation.close()


@pytest.mark.timeout(120)
def test_an_encrypted_key_lets_both_clients_in_and_another_password_does_not(
    secured: SecuredCluster, tmp_path: Path
) -> None:
    user = "energy-operator"
    login = secured.mtls(user)
    certificate, key = secured.authority.client(user, KEY_PASSWORD)
    login |= {"KAFKA_SSL_CERT_FILE": str(certificate), "KAFKA_SSL_KEY_FILE": str(key)}
    installation = Installation(secured, lambda _: login, tmp_path, "key.")
    installation.run("topics", "create", KAFKA_SSL_KEY_PASSWORD=KEY_PASSWORD)
    # Reads with aiokafka where batches are looked at.
    installation.run("status", KAFKA_SSL_KEY_PASSWORD=KEY_PASSWORD)
    said = installation.run("topics", "check", code=1, KAFKA_SSL_KEY_PASSWORD="another")
    assert "another" not in said
    assert len(said.strip().splitlines()) == 1, said


@pytest.mark.timeout(280)
def test_passwords_are_replaced_without_a_restart_or_a_lost_row(
    secured: SecuredCluster, tmp_path: Path
) -> None:
    installation = Installation(secured, secured.scram, tmp_path, "rotated.")
    try:
        installation.run("topics", "create")
        worker = installation.keep_running("worker")
        api = installation.keep_running("api")
        installation.make_token()
        wait_until(installation.is_ready, f"the API serves; {api.text[-500:]}", 60)
        oracle = tmp_path / "oracle.json"
        fleet = installation.keep_running(
            *("simulate", "--readings", "15000", "--rate", "250", "--oracle", str(oracle)),
        )
        for user in {right.user for right in rights()}:
            secured.set_password(user, f"second-password-of-{user}")
        # So that each connection is a new one, with the new password.
        for broker in secured.brokers.values():
            broker.stop(20)
            broker.start()
            broker.wait_ready(90)
        wait_until(lambda: fleet.exit_codes, "the fleet has ended", 120)
        assert fleet.exit_codes == [0], fleet.text
        wanted = json.loads(oracle.read_text())
        wait_until(lambda: installation.totals() == wanted, "every total is the oracle's", 60)
        installation.post(WRITE, [reading("posted", 1)])
        wait_until(lambda: installation.totals().get("posted") == "1", "it is counted")
        assert api.exit_codes == worker.exit_codes == [], "nobody was started again"
    finally:
        installation.close()
