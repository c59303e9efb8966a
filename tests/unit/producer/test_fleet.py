"""The simulated fleet: same bytes for the same seed, good readings good, bad ones bad."""

import json
import random
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from contract.decimals import sum_exactly
from contract.decoding import decode_readings
from contract.errors import SettingError
from producer.client.reading_producer import ReadingProducer
from producer.fleet.bad_values import KINDS, bad_value
from producer.fleet.fleet import Fleet
from producer.fleet.oracle import Oracle
from producer.fleet.simulate import SimulateOptions
from producer.fleet.simulated import Simulated
from producer.pacing import Pace
from producer.settings import ProducerSettings
from tests import oracle
from tests.kafka import wait_until


def fleet_factory(**overrides: object) -> Fleet:
    return Fleet(**{"devices": 100, "seed": 7, "readings": 5000, **overrides})  # type: ignore[arg-type]


def all_of(fleet: Fleet, most: int = 777) -> Simulated:
    whole = Simulated([], [], [])
    while (some := fleet.take(most)).values:
        whole.extend(some)
    return whole


@pytest.mark.parametrize("bad", [0.0, 0.3, 0.9])
def test_the_same_seed_gives_the_same_bytes_however_they_are_taken(bad: float):
    assert all_of(fleet_factory(bad=bad), 1) == all_of(fleet_factory(bad=bad), 5001)
    assert all_of(fleet_factory(bad=bad)) != all_of(fleet_factory(bad=bad, seed=8))


GOLDEN = [
    b'{"timestamp": "2025-04-30 10:11:21", "device_id": "device_0", '
    b'"energy_consumed": 884107995871, "location": "Living Room"}',
    b'{"timestamp": "2025-04-30 10:11:21", "device_id": "device_7", '
    b'"energy_consumed": 71999863748, "location": "Kitchen"}',
]


def test_the_first_values_are_golden():
    made = fleet_factory(devices=8, readings=2, seed=1).take(9)
    assert made.values == GOLDEN
    assert made.keys == [json.loads(value)["device_id"].encode() for value in GOLDEN]


def test_every_reading_is_valid_and_has_the_energy_that_is_told():
    made = all_of(fleet_factory())
    readings, rejected = decode_readings(made.values)
    assert (len(readings), rejected) == (5000, [])
    assert [reading.energy_consumed for reading in readings] == made.energies
    assert [reading.device_id.encode() for reading in readings] == made.keys
    times = [reading.timestamp for reading in readings]
    assert times == sorted(times)
    assert times[-1] == "2025-04-30 10:11:25"


def test_a_quarter_of_the_devices_have_one_reading_and_one_is_hot():
    counts = Counter(all_of(fleet_factory(devices=400, readings=20_000)).keys)
    assert len(counts) == 400
    assert sum(number == 1 for number in counts.values()) == 100
    assert 0.27 < counts[b"device_0"] / 20_000 < 0.33
    assert min(n for n in counts.values() if n > 1) > 20


@pytest.mark.parametrize(("devices", "readings"), [(1, 5), (2, 10), (10, 5), (4, 1), (3, 0)])
def test_small_fleets_give_what_is_asked(devices: int, readings: int):
    assert len(all_of(fleet_factory(devices=devices, readings=readings)).values) == readings


def test_a_fleet_without_end_goes_on():
    fleet = fleet_factory(readings=None)
    assert len(fleet.take(2500).values) == len(fleet.take(2500).values) == 2500


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_bad_values_are_bad(kind: int):
    rng = random.Random(kind)
    for good in fleet_factory(readings=100).take(100).values:
        value = bad_value(kind, good or b"", rng)
        assert oracle.judge(value) is None, value
        assert decode_readings([value])[0] == [], value


@pytest.mark.parametrize("bad", [0.01, 0.1, 0.5, 0.95])
def test_bad_values_come_in_addition_and_have_their_share(bad: float):
    made = all_of(fleet_factory(bad=bad))
    share = made.energies.count(None) / len(made.energies)
    assert len(made.energies) - made.energies.count(None) == 5000
    assert abs(share - bad) < 0.001


def test_the_oracle_leaves_out_what_failed_and_what_is_bad(tmp_path: Path):
    made = all_of(fleet_factory(readings=300, bad=0.2))
    failed = [made.values[place] for place in range(0, len(made.values), 3)]
    kept: dict[str, list[object]] = {}
    bad = 0
    for place, (_, key, energy) in enumerate(zip(*made, strict=True)):
        if place % 3:
            bad += energy is None
            if energy is not None:
                kept.setdefault(key.decode(), []).append(energy)
    expected = Oracle()
    assert expected.add(made, failed) == bad
    expected.write(tmp_path / "oracle.json")
    found = json.loads((tmp_path / "oracle.json").read_text())
    assert {key: Fraction(text) for key, text in found.items()} == {
        key: Fraction(str(sum_exactly(energies)))  # type: ignore[arg-type]
        for key, energies in kept.items()
    }
    assert [path.name for path in tmp_path.iterdir()] == ["oracle.json"]


def test_a_paced_fleet_keeps_its_rate_whatever_sending_takes():
    pace = Pace(rate=250.0, started=100.0)
    sent = 0
    now = 100.0
    for delay in (0.0, 0.001, 0.02, 3.0, 0.0, 0.5):
        now += delay
        due = pace.due(now)
        assert due >= 0
        pace.take(due)
        sent += due
        assert sent == int((now - 100.0) * 250) + 1
        assert 0 < pace.seconds_to_next(now) <= 1 / 250 + 1e-9


def test_what_was_not_sent_in_time_stays_due():
    pace = Pace(rate=1000.0, started=0.0)
    pace.take(100)
    assert pace.due(1.0) == 901
    assert pace.seconds_to_next(1.0) == 0.0


@pytest.mark.parametrize(
    ("option", "overrides"),
    [
        ("--bad", {"bad": 2.0}),
        ("--bad", {"bad": 1.0}),
        ("--bad", {"bad": -0.1}),
        ("--bad", {"bad": float("nan")}),
        ("--rate", {"rate": 0.0}),
        ("--rate", {"rate": float("inf")}),
        ("--rate", {"rate": float("nan")}),
        ("--devices", {"devices": 0}),
        ("--readings", {"readings": -1}),
        ("--oracle", {"oracle": Path("/no/such/directory/oracle.json")}),
    ],
)
def test_s20_an_option_out_of_range_is_refused_by_name(option: str, overrides: dict[str, object]):
    with pytest.raises(SettingError, match=f"^{option}: must "):
        SimulateOptions(ProducerSettings.load({}), **overrides)  # type: ignore[arg-type]


def test_settings_become_an_idempotent_producer_that_waits_for_all():
    config = ProducerSettings.load({"PRODUCER_LINGER_MS": "7"}).for_producer()
    assert (config["enable.idempotence"], config["acks"], config["linger.ms"]) == (True, "all", 7)
    assert config["partitioner"] == "murmur2_random"
    assert config["message.timeout.ms"] == 0, "records are given up all at once: link.py"


@pytest.mark.parametrize(
    "environ",
    [
        {"PRODUCER_LINGER_MS": "-1"},
        {"PRODUCER_QUEUE_RECORDS": "0"},
        {"PRODUCER_QUEUE_BYTES": "1"},
        {"PRODUCER_DELIVERY_TIMEOUT_SECONDS": "x"},
        {"PRODUCER_COMPRESSION": "best"},
        {"PRODUCER_PARTITIONER": "random"},
    ],
)
def test_s1_producer_settings_out_of_range_are_refused_by_name(environ: dict[str, str]):
    with pytest.raises(SettingError, match=f"^{next(iter(environ))}: must be "):
        ProducerSettings.load(environ)


class _HangingClient:
    """A client of librdkafka whose threads hang: it takes records and says nothing of them."""

    def __init__(self, configuration: dict[str, object]) -> None:
        self.taken = self.purged = 0
        self.passwords: list[str] = []

    def __len__(self) -> int:
        return self.taken

    def produce(self, *arguments: object) -> None:
        self.taken += 1

    def set_sasl_credentials(self, user: str, password: str) -> None:
        self.passwords.append(password)

    def poll(self, seconds: float) -> int:
        time.sleep(seconds / 10)
        return 0

    def purge(self, *, blocking: bool) -> None:
        assert not blocking, "that would wait for its threads"
        self.purged += 1


def test_a_client_that_hangs_is_given_up_and_replaced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("producer.client.polled_client._REPORT_SECONDS", 0.2)
    made: list[_HangingClient] = []

    def client(configuration: dict[str, object]) -> _HangingClient:
        made.append(_HangingClient(configuration))
        return made[-1]

    settings = ProducerSettings(delivery_timeout_seconds=0.3)
    producer = ReadingProducer(settings, client_factory=client)  # type: ignore[arg-type]
    try:
        for number in range(1, 3):
            delivery = producer.open()
            delivery.send("readings", [b"a", b"b"])
            delivery.seal()
            outcome = delivery.wait(10)
            assert (outcome.acknowledged.get("readings", 0), outcome.unknown) == (0, 2)
            assert outcome.reason == "Kafka's client does not answer"
            assert producer.records_under_way == 0
            assert len(made) == number + 1
    finally:
        producer.stop(0)


class _Files:
    """What the settings of a client read: there, or away for a moment."""

    def __init__(self) -> None:
        self.are_away = False
        self.made: list[_HangingClient] = []

    def client(self, configuration: dict[str, object]) -> _HangingClient:
        if self.are_away:
            raise OSError("the password file is away")
        self.made.append(_HangingClient(configuration))
        return self.made[-1]


def test_x57_a_client_that_cannot_be_replaced_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("producer.client.polled_client._REPORT_SECONDS", 0.1)
    monkeypatch.setattr("producer.client.reading_producer._RENEW_SECONDS", 0.05)
    files, failures = _Files(), []
    producer = ReadingProducer(
        ProducerSettings(delivery_timeout_seconds=0.2),
        client_factory=files.client,  # type: ignore[arg-type]
        on_not_renewed=lambda: failures.append(1),
    )
    try:
        files.are_away = True
        first = producer.open()
        first.send("readings", [b"a"])
        first.seal()
        given_up = first.wait(10)
        assert given_up.unknown == 1
        # While the files are away: refused at once, nothing handed over, nothing held.
        for _ in range(3):
            later = producer.open()
            later.send("readings", [b"b"])
            later.seal()
            refused = later.wait(1)
            assert (refused.refused, refused.unknown) == (1, 0)
        assert producer.records_under_way == 0
        assert not producer.is_connected
        assert "the password file is away" in str(producer.problem)
        tries = len(failures)
        wait_until(lambda: producer.problem and len(failures) > tries, "another try")
        files.are_away = False
        wait_until(lambda: producer.problem is None, "a new client")
        assert len(files.made) == 2
        again = producer.open()
        again.send("readings", [b"c"])
        assert files.made[-1].taken == 1
    finally:
        producer.stop(0)


def test_a_login_that_is_replaced_makes_a_new_client_and_the_former_one_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("producer.client.reading_producer._LOGIN_SECONDS", 0.0)
    file = tmp_path / "password"
    file.write_text("first")
    login = {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "PLAIN"}
    login |= {"KAFKA_SASL_USERNAME": "energy", "KAFKA_SASL_PASSWORD_FILE": str(file)}
    files = _Files()
    producer = ReadingProducer(ProducerSettings.load(login), client_factory=files.client)  # type: ignore[arg-type]
    try:
        before = producer.open()
        before.send("readings", [b"a"])
        file.write_text("the next one")
        wait_until(lambda: len(files.made) == 2, "a client with the new password")
        after = producer.open()
        after.send("readings", [b"b", b"c"])
        assert [client.taken for client in files.made] == [1, 2]
        assert files.made[0].purged == 0, "what it has under way is not recalled"
        wait_until(lambda: files.made[0].passwords == ["the next one"], "it can come in again")
        assert producer.problem is None
    finally:
        producer.stop(0)


def test_x57_a_thread_that_ends_leaves_no_delivery_waiting(monkeypatch: pytest.MonkeyPatch):
    files = _Files()
    producer = ReadingProducer(ProducerSettings(), client_factory=files.client)  # type: ignore[arg-type]
    try:
        delivery = producer.open()
        delivery.send("readings", [b"a", b"b"])
        delivery.seal()

        def end(seconds: float) -> int:
            raise KeyboardInterrupt  # nothing that the loop catches

        monkeypatch.setattr("threading.excepthook", lambda _: None)
        files.made[0].poll = end  # type: ignore[method-assign]
        outcome = delivery.wait(10)
        assert outcome.unknown == 2
        assert producer.problem is None
        assert len(files.made) == 2
    finally:
        producer.stop(0)


def test_what_is_never_reported_is_unknown_once_nobody_waits_for_it_longer():
    files = _Files()
    producer = ReadingProducer(ProducerSettings(), client_factory=files.client)  # type: ignore[arg-type]
    try:
        delivery = producer.open()
        delivery.send("readings", [b"a", b"b"])
        assert delivery.abandon().unknown == 2
        assert delivery.abandon().unknown == 2
    finally:
        producer.stop(0)
