"""Three brokers that let nobody in without TLS and a name, and allow nothing that is not in a list.

Each broker is a controller too. What brokers say to each other is TLS with a certificate on both
sides; they and the tests' admin are the only super users. The one listener without TLS is for
`LocalBroker.wait_ready`: who comes in there has no right at all.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from local_stack.broker.java import check_broker_parts
from local_stack.broker.properties import HOST
from tests.certificates import Authority, put
from tests.kafka import ANSWER_SECONDS, wait_until
from tests.secured.acls import Right
from tests.three_brokers import NODES, READY_SECONDS, ThreeBrokers

ADMIN = "the-tests"
#: Name of the listener -> its protocol.
WAYS_IN = {"SCRAM": "SASL_SSL", "MTLS": "SSL", "OAUTH": "SASL_SSL"}
#: What it limits, replicas that are throttled, is not here: changed to see who has heard of it.
UNUSED_CONFIG = "follower.replication.throttled.rate"
_LOGIN = "org.apache.kafka.common.security"
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}


class SecuredCluster(ThreeBrokers):
    """The brokers, who may do what there, and what clients need to come in."""

    def __init__(self, directory: Path) -> None:
        check_broker_parts(print)
        self.authority = Authority(directory, "authority")
        self._directory = directory
        self.ca_file = directory / "trusted.pem"
        self._users: set[str] = set()
        self._stores = self._changes = 0
        certificate = self.authority.server("broker", f"IP:{HOST}")
        put(self.ca_file, self.authority.ca_file.read_text())
        super().__init__(
            directory,
            ways_in=WAYS_IN,
            properties=_security(certificate, self.authority.ca_file),
        )

    def another_authority(self) -> Authority:
        return Authority(self._directory, "another-authority")

    def trust(self, *authorities: Authority) -> None:
        """Have brokers and clients trust these and nobody else, from the next connection on."""
        trusted = "".join(each.ca_file.read_text() for each in authorities)
        put(self.ca_file, trusted)
        self._have_brokers_read("truststore", trusted)

    def certify(self, authority: Authority) -> None:
        """Give the brokers, and whoever comes in with a certificate, another one."""
        self.authority = authority
        for user in self._users:
            self._certify(user)
        both = authority.server("broker", f"IP:{HOST}").read_text()
        self._have_brokers_read("keystore", both)

    def _have_brokers_read(self, store: str, content: str) -> None:
        """Put it into a new file, which stays as it is; returns once all have read it.

        They do so at a time of their own: one that is late must not find what is for the next step.
        """
        # The admin's own files may be others now.
        self.admin = AdminClient(self.client_config())
        self._stores += 1
        file = self._directory / f"{store}-{self._stores}.pem"
        put(file, content)
        names = [f"listener.name.{way_in.lower()}.ssl.{store}.location" for way_in in WAYS_IN]
        for broker in self.brokers.values():
            # As it starts it asks the others with what server.properties says.
            broker.properties |= dict.fromkeys(names, str(file))
        self._have_each_know(dict.fromkeys(names, str(file)))

    def _have_each_know(self, configs: dict[str, str]) -> None:
        """Give each broker these configs; returns once it has read them, and all before them."""
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in configs.items()
        ]
        for node in NODES:
            wanted = ConfigResource(ResourceType.BROKER, str(node), incremental_configs=entries)
            for done in self.admin.incremental_alter_configs([wanted]).values():
                done.result(ANSWER_SECONDS)

        def has(node: int) -> bool:
            asked = self.admin.describe_configs([ConfigResource(ResourceType.BROKER, str(node))])
            (found,) = [done.result(ANSWER_SECONDS) for done in asked.values()]
            return all(name in found and found[name].value == configs[name] for name in configs)

        wait_until(lambda: all(map(has, NODES)), f"all have read {configs}", READY_SECONDS)

    def client_config(self) -> dict[str, Any]:
        """A foreign client's settings: the super user's."""
        login = self.mtls(ADMIN)
        return {
            "bootstrap.servers": login["KAFKA_BOOTSTRAP_SERVERS"],
            "security.protocol": "SSL",
            "ssl.ca.location": login["KAFKA_SSL_CA_FILE"],
            "ssl.certificate.location": login["KAFKA_SSL_CERT_FILE"],
            "ssl.key.location": login["KAFKA_SSL_KEY_FILE"],
            "log_level": 0,
        }

    def scram(self, user: str) -> dict[str, str]:
        """The environment of somebody who comes in with a password."""
        return {
            **self._tls("SCRAM"),
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD_FILE": str(self._password_file(user)),
        }

    def mtls(self, user: str) -> dict[str, str]:
        """The environment of somebody who comes in with a certificate."""
        if user not in self._users:
            self._users.add(user)
            self._certify(user)
        certificate, key = self._certificate_files(user)
        return {
            **self._tls("MTLS"),
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CERT_FILE": str(certificate),
            "KAFKA_SSL_KEY_FILE": str(key),
        }

    def oauth(self, user: str, seconds: float = 3600) -> dict[str, str]:
        """The environment of somebody who comes in with a token."""
        file = self._directory / f"{user}.jwt"
        file.write_text(token(user, seconds))
        return {
            **self._tls("OAUTH"),
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "KAFKA_SASL_OAUTH_TOKEN_FILE": str(file),
        }

    def set_password(self, user: str, password: str) -> None:
        """Make a user of SCRAM, or give one another password, and write its file."""
        change = UserScramCredentialUpsertion(
            user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password.encode()
        )
        for done in self.admin.alter_user_scram_credentials([change]).values():
            done.result(ANSWER_SECONDS)
        put(self._password_file(user), password + "\n")

    def allow(self, rights: Iterable[Right]) -> None:
        """Put rights into the cluster; returns once each broker has heard of them."""
        bindings = [
            AclBinding(*_of(each), "*", AclOperation[each.operation], AclPermissionType.ALLOW)
            for each in rights
        ]
        for done in self.admin.create_acls(bindings).values():
            done.result(ANSWER_SECONDS)
        # The controller has answered. Whom a client asks next may be late, and would refuse it.
        self._changes += 1
        self._have_each_know({UNUSED_CONFIG: str(self._changes)})

    def take_away(self, right: Right) -> None:
        """Take one right away; it counts when this returns, or a moment later."""
        wanted = AclBindingFilter(
            *_of(right), "*", AclOperation[right.operation], AclPermissionType.ALLOW
        )
        for done in self.admin.delete_acls([wanted]).values():
            assert len(done.result(ANSWER_SECONDS)) == 1, right

    def _tls(self, way_in: str) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers(way_in),
            "KAFKA_SSL_CA_FILE": str(self.ca_file),
        }

    def _certify(self, user: str) -> None:
        made = self.authority.client(user)
        for file, new in zip(self._certificate_files(user), made, strict=True):
            put(file, new.read_text())

    def _certificate_files(self, user: str) -> tuple[Path, Path]:
        return self._directory / f"{user}.pem", self._directory / f"{user}.key"

    def _password_file(self, user: str) -> Path:
        return self._directory / f"{user}.password"


def _of(right: Right) -> tuple[ResourceType, str, ResourcePatternType, str]:
    pattern = ResourcePatternType[right.pattern_type.upper()]
    return _RESOURCES[right.resource_type], right.name, pattern, right.principal


def _security(certificate: Path, ca_file: Path) -> dict[str, str]:
    protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "SSL", **WAYS_IN}
    required = {f"listener.name.{n}.ssl.client.auth": "required" for n in ("mtls", "controller")}
    return {
        **required,
        "listener.security.protocol.map": ",".join(map(":".join, protocols.items())),
        "inter.broker.listener.name": "MTLS",
        # As controllers they stay with these: what is said there is no client's matter.
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificate),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca_file),
        # So that one table of rights is true of each way in.
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
        "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.scram.scram-sha-512.sasl.jaas.config": (
            f"{_LOGIN}.scram.ScramLoginModule required;"
        ),
        "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.oauth.oauthbearer.sasl.jaas.config": (
            f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required"
            ' unsecuredLoginStringClaim_sub="broker";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:broker;User:{ADMIN}",
    }


def token(user: str, seconds: float) -> str:
    """A JSON Web Token without a signature, which the brokers here take for who it says."""
    now = time.time()
    claims = {"sub": user, "iat": now, "exp": now + seconds}
    return ".".join([*(_part(each) for each in ({"alg": "none"}, claims)), ""])


def _part(claims: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
