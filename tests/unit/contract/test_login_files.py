"""Passwords, tokens and certificates that are replaced count for the next connection."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.kafka import KafkaSettings
from contract.login_files import TOKEN_SECONDS, ClientContext, FilePassword, TokenFile
from tests.certificates import Authority, put

KEY_PASSWORD = "opens-the-key"


def token(**claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}."


def test_a_password_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "password"
    put(file, "first\n")
    password = FilePassword.of(file)
    assert password == "first"
    put(file, "second\r\n")
    assert (password, password.again()) == ("first", "second")
    file.unlink()
    assert password.again() == "first"


async def test_a_token_is_read_for_each_connection_of_both_libraries(tmp_path: Path) -> None:
    file = tmp_path / "token"
    tokens = TokenFile(file)
    for text in ("one", "two"):
        put(file, f"{text}\n")
        assert await tokens.token() == text
        assert tokens(None)[0] == text


@pytest.mark.parametrize("text", ["opaque", "a.b.c", token(sub="a"), token(exp="soon")])
def test_librdkafka_asks_soon_for_a_token_that_does_not_say_how_long_it_lives(
    tmp_path: Path, text: str
) -> None:
    put(tmp_path / "token", text)
    _, until = TokenFile(tmp_path / "token")(None)
    assert until - time.time() == pytest.approx(TOKEN_SECONDS, abs=5)


@pytest.mark.parametrize(("lives", "seconds"), [(3600, TOKEN_SECONDS), (10, 10), (-10, -10)])
def test_librdkafka_asks_again_soon_and_never_after_the_token_has_expired(
    tmp_path: Path, lives: float, seconds: float
) -> None:
    put(tmp_path / "token", token(exp=time.time() + lives))
    _, until = TokenFile(tmp_path / "token")(None)
    assert until - time.time() == pytest.approx(seconds, abs=5)


class Server:
    """Asks for a certificate, and notes whose it was."""

    def __init__(self, authority: Authority) -> None:
        self.seen: list[str] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority.server("server", "IP:127.0.0.1"))
        self._context.load_verify_locations(authority.ca_file)
        self._context.verify_mode = ssl.CERT_REQUIRED

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subject = writer.get_extra_info("peercert")["subject"]
        self.seen.append(dict(part for parts in subject for part in parts)["commonName"])
        writer.write(b"x")
        await writer.drain()
        writer.close()

    async def visit(self, context: ssl.SSLContext) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        assert await reader.read(1) == b"x"
        writer.close()
        return self.seen[-1]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[Server]:
    server = Server(authority)
    await server.start()
    yield server
    await server.stop()


async def test_a_certificate_that_is_replaced_is_shown_to_the_next_server(
    authority: Authority, server: Server, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    first = [path.read_bytes() for path in authority.client("first", KEY_PASSWORD)]
    second = [path.read_bytes() for path in authority.client("second", KEY_PASSWORD)]
    put(certificate, first[0])
    put(key, first[1])
    assert b"ENCRYPTED" in first[1]
    context = ClientContext.of(authority.ca_file, certificate, key, KEY_PASSWORD)
    assert await server.visit(context) == "first"
    put(certificate, second[0])
    assert await server.visit(context) == "first", "its key is not there yet"
    put(key, second[1])
    assert await server.visit(context) == "second"


async def test_an_authority_counts_for_the_next_connection_when_it_is_added_or_taken_out(
    authority: Authority, tmp_path: Path
) -> None:
    theirs = Authority(tmp_path, "theirs")
    server = Server(theirs)
    await server.start()
    trusted = tmp_path / "ca.crt"
    put(trusted, authority.ca_file.read_bytes())
    certificate, key = theirs.client("guest")
    context = ClientContext.of(trusted, certificate, key, None)
    with pytest.raises(ssl.SSLCertVerificationError):
        await server.visit(context)
    put(trusted, authority.ca_file.read_bytes() + theirs.ca_file.read_bytes())
    assert await server.visit(context) == "guest"
    put(trusted, authority.ca_file.read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        await server.visit(context)
    await server.stop()


def test_a_key_needs_its_password(authority: Authority) -> None:
    certificate, key = authority.client("first", KEY_PASSWORD)
    environ = {
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CERT_FILE": str(certificate),
        "KAFKA_SSL_KEY_FILE": str(key),
    }
    with pytest.raises(ssl.SSLError):
        KafkaSettings.load(environ).ssl_context()
    settings = KafkaSettings.load(environ | {"KAFKA_SSL_KEY_PASSWORD": KEY_PASSWORD})
    settings.ssl_context()
    assert settings.for_confluent()["ssl.key.password"] == KEY_PASSWORD
    assert KEY_PASSWORD not in repr(settings)


def test_the_settings_see_that_a_file_was_replaced(tmp_path: Path) -> None:
    file = tmp_path / "password"
    put(file, "first")
    settings = KafkaSettings.load(
        {
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": "energy",
            "KAFKA_SASL_PASSWORD_FILE": str(file),
        }
    )
    before = settings.fingerprint()
    assert settings.fingerprint() == before
    put(file, "other")
    assert settings.fingerprint() != before
    assert settings.for_confluent()["sasl.password"] == "other"
    file.unlink()
    assert settings.fingerprint() != before
