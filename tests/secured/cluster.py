"""Three brokers that let nobody in without TLS and a name, and allow nothing that is not in a list.

Each broker is a controller too. What brokers say to each other is TLS with a certificate on both
sides; they and the tests' admin are the only super users. The one listener without TLS is for
`LocalBroker.wait_ready`: who comes in there has no right at all.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from local_stack.broker.java import check_broker_parts
from local_stack.broker.process import LocalBroker
from local_stack.broker.properties import HOST, Listener
from local_stack.ports import free_port
from tests.certificates import Authority
from tests.kafka import ANSWER_SECONDS, wait_until
from tests.secured.acls import Right
from tests.shared_broker import QUICK_PROPERTIES

NODES = (1, 2, 3)
READY_SECONDS = 90
ADMIN = "the-tests"
#: Name of the listener -> its protocol.
WAYS_IN = {"SCRAM": "SASL_SSL", "MTLS": "SSL", "OAUTH": "SASL_SSL"}
COPIES = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # Who stops answering leaves the copies in sync this soon.
    "replica.lag.time.max.ms": "3000",
}
_LOGIN = "org.apache.kafka.common.security"
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}


class SecuredCluster:
    """The brokers, who may do what there, and what clients need to come in."""

    def __init__(self, directory: Path) -> None:
        check_broker_parts(print)
        self.authority = Authority(directory, "authority")
        self._directory = directory
        self._admin_files = self.authority.client(ADMIN)
        certificate = self.authority.server("broker", f"IP:{HOST}")
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        voters = {node: f"{HOST}:{free_port()}" for node in NODES}
        quorum = ",".join(f"{node}@{at}" for node, at in voters.items())
        self.ports = {node: {name: free_port() for name in WAYS_IN} for node in NODES}
        self.brokers: dict[int, LocalBroker] = {}
        for node, voter in voters.items():
            home = directory / f"broker-{node}"
            home.mkdir()
            (home / "cluster_id").write_text(cluster_id, encoding="ascii")
            port = free_port()
            bound = {"PLAINTEXT": port, **self.ports[node]}
            self.brokers[node] = LocalBroker(
                home,
                port,
                properties={
                    **QUICK_PROPERTIES,
                    **COPIES,
                    **_security(certificate, self.authority.ca_file),
                    "node.id": str(node),
                    "controller.quorum.voters": quorum,
                    "listeners": ",".join(
                        [f"{n}://{HOST}:{p}" for n, p in bound.items()] + [f"CONTROLLER://{voter}"]
                    ),
                },
                extra_listeners=[Listener(n, p, p) for n, p in self.ports[node].items()],
                jvm_options=["-Xmx256m", "-Xms128m"],
            )

    def start(self) -> None:
        """Start all; return once each knows the others."""
        for broker in self.brokers.values():
            broker.start()
        for broker in self.brokers.values():
            broker.wait_ready(READY_SECONDS)
        self.admin = AdminClient(self.client_config())
        wait_until(self.is_whole, "all are there")

    def is_whole(self) -> bool:
        """Whether all brokers are counted on, and every copy of every partition is in sync."""
        found = self.admin.list_topics(timeout=5)
        partitions = (p for topic in found.topics.values() for p in topic.partitions.values())
        return len(found.brokers) == len(NODES) and all(
            len(each.isrs) == len(each.replicas) for each in partitions
        )

    def make_whole(self) -> None:
        """Start those that are gone again; return once nothing is missed any more."""
        gone = [broker for broker in self.brokers.values() if broker.pid is None]
        for broker in gone:
            broker.start()
        for broker in gone:
            broker.wait_ready(READY_SECONDS)
        wait_until(self.is_whole, "every copy is in sync again", READY_SECONDS)

    def kill(self) -> None:
        for broker in self.brokers.values():
            broker.kill()

    def bootstrap_servers(self, way_in: str) -> str:
        return ",".join(f"{HOST}:{ports[way_in]}" for ports in self.ports.values())

    def client_config(self) -> dict[str, Any]:
        """A foreign client's settings: the super user's."""
        certificate, key = self._admin_files
        return {
            "bootstrap.servers": self.bootstrap_servers("MTLS"),
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority.ca_file),
            "ssl.certificate.location": str(certificate),
            "ssl.key.location": str(key),
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
        certificate = self.authority.ca_file.with_name(f"{user}.pem")
        key = certificate.with_suffix(".key")
        if not certificate.exists():
            self.authority.client(user)
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
        self._password_file(user).write_text(password + "\n")

    def allow(self, rights: Iterable[Right]) -> None:
        """Put rights into the cluster."""
        bindings = [
            AclBinding(*_of(each), "*", AclOperation[each.operation], AclPermissionType.ALLOW)
            for each in rights
        ]
        for done in self.admin.create_acls(bindings).values():
            done.result(ANSWER_SECONDS)

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
            "KAFKA_SSL_CA_FILE": str(self.authority.ca_file),
        }

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
