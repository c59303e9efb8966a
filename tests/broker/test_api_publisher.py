"""Events over HTTP into a real log: acknowledged rows are there, refused ones are set aside."""

import json
import time
from pathlib import Path

from api.app import create_app
from api.auth.token_store import TokenStore
from api.home_directory import prepare_home
from api.settings import ApiSettings
from contract.settings import TOKENS_NAME
from contract.topics import QUARANTINE, READINGS
from tests.api_doubles import Caller, HandmadeLive
from tests.kafka import Kafka
from tests.records import reading_value


async def test_rows_reach_the_log_and_the_quarantine(own_kafka: Kafka, tmp_path: Path) -> None:
    for topic in (READINGS, QUARANTINE):
        own_kafka.create_topic(topic.name, 2)
    home = prepare_home(tmp_path / "home")
    token = TokenStore(home / TOKENS_NAME).create("test", ["ADMIN"])
    settings = ApiSettings(home=home, bootstrap_servers=own_kafka.bootstrap_servers)
    app = create_app(settings, HandmadeLive(None))
    caller = Caller(app, token)
    rows = [reading_value(f"device_{number}", str(number)) for number in range(3_000)]
    async with app.router.lifespan_context(app):
        answer = await caller.events(b"\n".join([*rows, b'{"device_id": "x"}']))
        assert (answer.status, answer.json()) == (
            202,
            {"successful_rows": 3_000, "quarantined_rows": 1},
        )
    written = own_kafka.read(READINGS.name)
    assert sorted(record.value() or b"" for record in written) == sorted(rows)
    assert all(
        record.key() == json.loads(record.value() or b"")["device_id"].encode()
        for record in written
    )
    (refused,) = own_kafka.read(QUARANTINE.name)
    content = json.loads(refused.value() or b"")
    assert content["__value"] == '{"device_id": "x"}'
    assert content["__line"] == 3_001
    assert refused.headers() is None


async def test_b25_without_a_broker_nothing_is_written_and_the_answer_is_503(
    tmp_path: Path,
) -> None:
    home = prepare_home(tmp_path / "home")
    token = TokenStore(home / TOKENS_NAME).create("test", ["ADMIN"])
    settings = ApiSettings(home=home, bootstrap_servers="127.0.0.1:1", delivery_timeout_seconds=8)
    app = create_app(settings, HandmadeLive(None))
    async with app.router.lifespan_context(app):
        began = time.monotonic()
        answer = await Caller(app, token).events(reading_value())
        took = time.monotonic() - began
    assert answer.status == 503
    assert "Kafka does not answer" in answer.json()["error"]
    assert took < 3, "a client is not kept waiting for what cannot come"
    assert answer.headers["retry-after"]
