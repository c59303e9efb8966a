"""What an import writes with: a client that has the login as the files have it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from producer.imports.transactions import ImportWriter
from producer.settings import ProducerSettings


class Client:
    """Takes everything."""

    def __init__(self, config: dict[str, object]) -> None:
        self.password = config["sasl.password"]

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={})

    def init_transactions(self, seconds: float) -> None: ...

    def poll(self, seconds: float) -> None: ...

    def purge(self) -> None: ...


def test_a_client_is_outdated_from_a_new_password_to_the_next_fence(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first")
    made: list[Client] = []

    def factory(config: dict[str, object]) -> Any:
        made.append(Client(config))
        return made[-1]

    login = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": "energy",
        "KAFKA_SASL_PASSWORD_FILE": str(file),
    }
    writer = ImportWriter(ProducerSettings.load(login), "load", "a", factory)
    writer.fence()
    assert not writer.is_outdated
    (tmp_path / "next").write_text("second")
    (tmp_path / "next").replace(file)
    assert writer.is_outdated
    writer.fence()
    assert not writer.is_outdated
    assert [client.password for client in made] == ["first", "second"]
