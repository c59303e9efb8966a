"""Lets aiokafka's connections take passwords and tokens as their files have them now.

aiokafka keeps the password of a client as it was made, and asks that who gives tokens is of a
class of its own. Importing this is enough; whatever makes a client of aiokafka imports it.
"""

from __future__ import annotations

from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection

from contract.login_files import FilePassword, TokenFile

_connections: Any = AIOKafkaConnection
_plain = _connections.authenticator_plain
_scram = _connections.authenticator_scram


def _read_again(connection: Any) -> None:
    password = connection._sasl_plain_password
    if isinstance(password, FilePassword):
        connection._sasl_plain_password = password.again()


def authenticator_plain(connection: Any) -> Any:
    """Begin to log in as aiokafka does, with the password as it is now."""
    _read_again(connection)
    return _plain(connection)


def authenticator_scram(connection: Any) -> Any:
    """Begin to log in as aiokafka does, with the password as it is now."""
    _read_again(connection)
    return _scram(connection)


AbstractTokenProvider.register(TokenFile)
_connections.authenticator_plain = authenticator_plain
_connections.authenticator_scram = authenticator_scram
