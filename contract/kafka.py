"""How to reach Kafka: one set of settings, mapped for both client libraries."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from contract.errors import SettingError
from contract.login_files import ClientContext, FilePassword, TokenFile, fingerprint
from contract.settings import Settings

#: Hosts on which the one local broker is expected, which cannot keep three copies.
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
_SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")


class KafkaSettings(Settings):
    """The cluster and how to log in to it."""

    bootstrap_servers: str = Field("127.0.0.1:9092", alias="KAFKA_BOOTSTRAP_SERVERS")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", alias="KAFKA_SECURITY_PROTOCOL"
    )
    sasl_mechanism: Mechanism | None = Field(None, alias="KAFKA_SASL_MECHANISM")
    sasl_username: str | None = Field(None, alias="KAFKA_SASL_USERNAME")
    sasl_password: SecretStr | None = Field(None, alias="KAFKA_SASL_PASSWORD")
    sasl_password_file: Path | None = Field(None, alias="KAFKA_SASL_PASSWORD_FILE")
    sasl_oauth_token_file: Path | None = Field(None, alias="KAFKA_SASL_OAUTH_TOKEN_FILE")
    ssl_ca_file: Path | None = Field(None, alias="KAFKA_SSL_CA_FILE")
    ssl_cert_file: Path | None = Field(None, alias="KAFKA_SSL_CERT_FILE")
    ssl_key_file: Path | None = Field(None, alias="KAFKA_SSL_KEY_FILE")
    ssl_key_password: SecretStr | None = Field(None, alias="KAFKA_SSL_KEY_PASSWORD")
    _living: tuple[str, ...] = PrivateAttr(())

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers(cls, text: str) -> str:
        servers = [server.strip() for server in text.split(",")]
        for server in servers:
            if not _SERVER.fullmatch(server) or not 1 <= int(server.rsplit(":", 1)[1]) <= 65_535:
                raise ValueError("must be host:port[,host:port...] with ports from 1 to 65535")
        return ",".join(servers)

    @field_validator(
        "ssl_ca_file",
        "ssl_cert_file",
        "ssl_key_file",
        "sasl_password_file",
        "sasl_oauth_token_file",
    )
    @classmethod
    def _file(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError("must name a file that exists")
        return path

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.sasl_password is not None and self.sasl_password_file is not None:
            raise SettingError(
                "KAFKA_SASL_PASSWORD_FILE", "must not be set together with KAFKA_SASL_PASSWORD"
            )
        if self.security_protocol.startswith("SASL_"):
            for variable, value in self._needed():
                if value is None:
                    raise SettingError(variable, f"must be set with {self._login}")
        if (self.ssl_cert_file is None) != (self.ssl_key_file is None):
            raise SettingError(
                "KAFKA_SSL_KEY_FILE", "must be set together with KAFKA_SSL_CERT_FILE"
            )
        return self

    @property
    def _login(self) -> str:
        return "OAUTHBEARER" if self.sasl_mechanism == "OAUTHBEARER" else self.security_protocol

    def _needed(self) -> tuple[tuple[str, object], ...]:
        mechanism = ("KAFKA_SASL_MECHANISM", self.sasl_mechanism)
        if self.sasl_mechanism == "OAUTHBEARER":
            return mechanism, ("KAFKA_SASL_OAUTH_TOKEN_FILE", self.sasl_oauth_token_file)
        return (
            mechanism,
            ("KAFKA_SASL_USERNAME", self.sasl_username),
            ("KAFKA_SASL_PASSWORD", self.sasl_password or self.sasl_password_file),
        )

    @property
    def is_local(self) -> bool:
        """Whether the cluster is reached through loopback only."""
        servers = self.bootstrap_servers.split(",")
        return all(server.rsplit(":", 1)[0] in LOOPBACK_HOSTS for server in servers)

    @property
    def in_sight(self) -> str:
        """Return what to add where a topic is missing: Kafka hides those one has no right to."""
        if self.token is not None:
            return " that our token may see"
        if self.security_protocol.startswith("SASL_"):
            return f" that user {self.sasl_username} may see"
        return " that our certificate may see" if self.ssl_cert_file is not None else ""

    @property
    def first_servers(self) -> list[str]:
        """Return whom an aiokafka client asks first: brokers known to live, else those set."""
        return [*self._living] or self.bootstrap_servers.split(",")

    def with_living(self, servers: Iterable[str]) -> Self:
        """Return these settings for aiokafka clients that only begin at the named brokers.

        aiokafka asks one bootstrap server after the other, in an order by chance, and waits for
        one that hangs for as long as for an answer.
        """
        settings = self.model_copy()
        settings._living = tuple(servers)
        return settings

    @property
    def token(self) -> TokenFile | None:
        """Return where the bearer token is, with OAUTHBEARER."""
        is_used = self.security_protocol.startswith("SASL_") and self._login == "OAUTHBEARER"
        file = self.sasl_oauth_token_file if is_used else None
        return None if file is None else TokenFile(file)

    def fingerprint(self) -> tuple[object, ...]:
        """Return what changes when a file of the login is replaced, the token's aside."""
        return fingerprint(
            (self.sasl_password_file, self.ssl_ca_file, self.ssl_cert_file, self.ssl_key_file)
        )

    def password(self) -> str | None:
        """Return the SASL password, from its variable or its file (without a final LF)."""
        if self.sasl_password_file is not None:
            return FilePassword.of(self.sasl_password_file)
        return self.sasl_password.get_secret_value() if self.sasl_password else None

    def for_confluent(self) -> dict[str, Any]:
        """Return the connection part of a confluent-kafka configuration."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        if self.token is not None:
            config |= {"sasl.mechanism": self.sasl_mechanism, "oauth_cb": self.token}
        elif self.security_protocol.startswith("SASL_"):
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.password(),
            }
        for name, path in (
            ("ssl.ca.location", self.ssl_ca_file),
            ("ssl.certificate.location", self.ssl_cert_file),
            ("ssl.key.location", self.ssl_key_file),
        ):
            if path is not None:
                config[name] = str(path)
        if self.ssl_key_password is not None:
            config["ssl.key.password"] = self.ssl_key_password.get_secret_value()
        return config

    def for_aiokafka(self) -> dict[str, Any]:
        """Return the connection part of an aiokafka client's keyword arguments."""
        config: dict[str, Any] = {
            "bootstrap_servers": ",".join(self.first_servers),
            "security_protocol": self.security_protocol,
        }
        if self.token is not None:
            config |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_oauth_token_provider": self.token,
            }
        elif self.security_protocol.startswith("SASL_"):
            config |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.password(),
            }
        if self.security_protocol.endswith("SSL"):
            config["ssl_context"] = self.ssl_context()
        return config

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context that verifies the broker, and shows our certificate if we have one."""
        password = self.ssl_key_password
        return ClientContext.of(
            self.ssl_ca_file,
            self.ssl_cert_file,
            self.ssl_key_file,
            password.get_secret_value() if password is not None else None,
        )
