"""What aiokafka's connections log in with: the files as they are at that moment."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection

from contract.login_files import FilePassword, TokenFile
from kafka_io import logins


def connection(mechanism: str, password: str) -> AIOKafkaConnection:
    assert logins.authenticator_plain is AIOKafkaConnection.authenticator_plain
    return AIOKafkaConnection(
        "localhost",
        9092,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism=mechanism,
        sasl_plain_username="energy",
        sasl_plain_password=password,
    )


@pytest.mark.parametrize(
    ("mechanism", "begin"),
    [("PLAIN", "authenticator_plain"), ("SCRAM-SHA-512", "authenticator_scram")],
)
async def test_a_login_takes_the_password_that_the_file_has_now(
    tmp_path: Path, mechanism: str, begin: str
) -> None:
    file = tmp_path / "password"
    file.write_text("first")
    made = connection(mechanism, FilePassword.of(file))
    file.write_text("second")
    found = getattr(made, begin)()._sasl_plain_password
    assert found in ("second", b"second")


async def test_a_password_of_no_file_stays() -> None:
    assert connection("PLAIN", "first").authenticator_plain()._sasl_plain_password == "first"


def test_a_file_of_tokens_is_taken_for_one_who_gives_them(tmp_path: Path) -> None:
    assert isinstance(TokenFile(tmp_path), AbstractTokenProvider)
