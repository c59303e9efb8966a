"""Bearer tokens, encrypted keys, and passwords and certificates replaced while readings come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from urllib.error import HTTPError

import pytest

from contract.kafka import KafkaSettings
from kafka_io.cluster import Cluster
from kafka_io.errors import NoBroker
from tests.installation import Installation
from tests.kafka import wait_until
from tests.secured.acls import rights
from tests.secured.cluster import SecuredCluster
from tests.secured.conftest import reading
from tests.secured.parts import SecuredInstallation
from tests.three_brokers import NODES

KEY_PASSWORD = "opens-the-key"
KAFKA_IS_AWAY = (503, 504)
PAUSE_SECONDS = 0.2
WRITE = "/v0/events?name=energy_consumption&wait=true"


@pytest.mark.timeout(150)
def test_a_bearer_token_lets_both_clients_in(secured: SecuredCluster, tmp_path: Path) -> None:
    installation = SecuredInstallation(secured, secured.oauth, tmp_path, "oauth.")
    try:
        worker, api = installation.start()
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
    installation = SecuredInstallation(secured, lambda _: login, tmp_path, "key.")
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
    with under_load(SecuredInstallation(secured, secured.scram, tmp_path, "rotated.")):
        for user in {right.user for right in rights()}:
            secured.set_password(user, f"second-password-of-{user}")
        connect_anew(secured)


@pytest.mark.timeout(280)
def test_certificates_and_their_authority_are_replaced_without_a_restart_or_a_lost_row(
    secured: SecuredCluster, tmp_path: Path
) -> None:
    installation = SecuredInstallation(secured, secured.mtls, tmp_path, "certified.")
    former, new = secured.authority, secured.another_authority()
    certificate, key = map(str, former.client("energy-operator"))
    login = secured.mtls("energy-operator")
    shows_former = login | {"KAFKA_SSL_CERT_FILE": certificate, "KAFKA_SSL_KEY_FILE": key}
    trusts_former = login | {"KAFKA_SSL_CA_FILE": str(former.ca_file)}
    with under_load(installation):
        secured.trust(former, new)
        secured.certify(new)
        assert Cluster(KafkaSettings.load(shows_former)).brokers() == len(NODES), "both count"
        secured.trust(new)
        for outdated in (shows_former, trusts_former):
            with pytest.raises(NoBroker, match="certificate"):
                Cluster(KafkaSettings.load(outdated)).brokers()
        connect_anew(secured)


def connect_anew(secured: SecuredCluster) -> None:
    """Restart one broker after the other, so that each connection is a new one."""
    for node in NODES:
        secured.restart(node)


@contextmanager
def under_load(installation: Installation) -> Iterator[None]:
    """Send readings meanwhile, by a fleet and over HTTP; nobody restarts, and all are counted."""
    try:
        worker, api = installation.start()
        oracle = installation.directory / "oracle.json"
        fleet = installation.keep_running("simulate", "--rate", "100", "--oracle", str(oracle))
        over = Event()
        with ThreadPoolExecutor(1) as pool:
            posting = pool.submit(post_until, over, installation)
            try:
                wait_until(lambda: len(installation.totals()) > 1, "both are counted")
                yield
            finally:
                over.set()
        installation.post(WRITE, [reading("posted", 1)])
        posted = posting.result() + 1
        assert fleet.stop() == 0, fleet.text
        assert " 0 unknown" in fleet.text
        wanted = json.loads(oracle.read_text()) | {"posted": str(posted)}
        wait_until(lambda: installation.totals() == wanted, "every total is the oracle's", 60)
        assert (worker.exit_codes, api.exit_codes) == ([], []), "nobody was started again"
        assert fleet.exit_codes == [0]
    finally:
        installation.close()


def post_until(over: Event, installation: Installation) -> int:
    """Post readings of 1 one after the other, a last one when it is over; returns how many.

    Asks for their total meanwhile: it never misses one that it has shown.
    """
    total = "/v0/pipes/energy_consumption_by_device.json?device_id=posted"
    count = shown = 0
    is_last = False
    while not is_last:
        is_last = over.wait(PAUSE_SECONDS)
        post_once(installation, f"key-{count}")
        count += 1
        now = sum(row["total_energy_consumed"] for row in installation.get(total)["data"])
        assert shown <= now <= count, (shown, now, count)
        shown = now
    return count


def post_once(installation: Installation, key: str) -> None:
    """Post a reading until it is taken; with the same key it counts once."""

    def is_taken() -> bool:
        try:
            installation.post(WRITE, [reading("posted", 1)], Idempotency_Key=key)
        except HTTPError as error:
            if error.code not in KAFKA_IS_AWAY:
                raise
            return False
        return True

    wait_until(is_taken, "a reading is taken", 90)
