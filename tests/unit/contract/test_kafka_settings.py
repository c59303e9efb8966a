"""Settings are complete and in range, or refused with variable, bound and value."""

import ssl
from pathlib import Path

import pytest

from contract.errors import SettingError, echo
from contract.kafka import KafkaSettings
from contract.login_files import TokenFile
from contract.settings import HomeSettings, Settings
from operations.settings import BrokerSettings
from producer.settings import ProducerSettings

PASSWORD = "hunter2-secret"
SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "energy",
    "KAFKA_SASL_PASSWORD": PASSWORD,
}


def refused(environ: dict[str, str]) -> SettingError:
    with pytest.raises(SettingError) as caught:
        KafkaSettings.load(environ)
    return caught.value


def test_defaults_reach_the_local_broker():
    settings = KafkaSettings.load({"PATH": "/bin", "API_PORT": "x"})
    expected = {"bootstrap.servers": "127.0.0.1:9092", "security.protocol": "PLAINTEXT"}
    assert settings.for_confluent() == expected
    assert settings.for_aiokafka() == {key.replace(".", "_"): v for key, v in expected.items()}


def test_who_asks_one_after_the_other_asks_brokers_that_live():
    settings = KafkaSettings.load({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2,c:3"})
    told = settings.with_living(["c:3", "d:4"])
    assert told.for_aiokafka()["bootstrap_servers"] == "c:3,d:4"
    assert told.for_confluent()["bootstrap.servers"] == "a:1,b:2,c:3"
    assert settings.for_aiokafka()["bootstrap_servers"] == "a:1,b:2,c:3"


@pytest.mark.parametrize(
    "text", ["", "abc", "1_0", "\uff14", "nan", "inf", "-1", "0", " 1", "1 ", "+1", "1e1", "1.0"]
)
@pytest.mark.parametrize(
    ("variable", "role"),
    [("PRODUCER_QUEUE_RECORDS", ProducerSettings), ("ENERGY_BROKER_PORT", BrokerSettings)],
)
def test_s1_what_is_no_whole_number_in_range_is_refused(
    variable: str, role: type[Settings], text: str
):
    with pytest.raises(SettingError) as caught:
        role.load({variable: text})
    assert str(caught.value).startswith(f"{variable}: must be ")
    assert str(caught.value).endswith(f" (it is {echo(text)})")


@pytest.mark.parametrize(
    "text", ["", "abc", "1_0", "\uff14", "nan", "inf", "-1", "+1", " 1", "1e1", ".5", "86400.1"]
)
def test_s1_what_is_no_number_in_range_is_refused(text: str):
    variable = "PRODUCER_DELIVERY_TIMEOUT_SECONDS"
    with pytest.raises(SettingError, match=rf"{variable}: must be .* \(it is "):
        ProducerSettings.load({variable: text})


@pytest.mark.parametrize("text", ["0", "65536", "-1", "99999999999999999999"])
def test_s2_a_port_out_of_range_is_refused(text: str):
    with pytest.raises(SettingError, match=r"ENERGY_BROKER_PORT: must be "):
        BrokerSettings.load({"ENERGY_BROKER_PORT": text})


def test_overrides_win_and_none_means_not_given():
    environ = {"PRODUCER_LINGER_MS": "1", "PRODUCER_DELIVERY_TIMEOUT_SECONDS": "0.25"}
    settings = ProducerSettings.load(environ, linger_ms=2, queue_records=None)
    assert (settings.linger_ms, settings.queue_records) == (2, 200_000)
    assert settings.delivery_timeout_seconds == 0.25


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        ProducerSettings.load({}).linger_ms = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("[::1]:9092", "[::1]:9092"),
        (" a:1 , b.example:65535", "a:1,b.example:65535"),
        ("kafka_1:9092", "kafka_1:9092"),
    ],
)
def test_s3_lists_with_blanks_and_ip6_are_accepted(text: str, servers: str):
    settings = KafkaSettings.load({"KAFKA_BOOTSTRAP_SERVERS": text})
    assert settings.for_confluent()["bootstrap.servers"] == servers


@pytest.mark.parametrize(
    "text", ["", "a", "a:", ":1", "a:0", "a:65536", "a:1,", "a:1 b:1", "::1:9"]
)
def test_s3_what_is_no_list_of_servers_is_refused(text: str):
    error = refused({"KAFKA_BOOTSTRAP_SERVERS": text})
    assert str(error).startswith("KAFKA_BOOTSTRAP_SERVERS: must be host:port")


def test_s4_an_unknown_protocol_is_refused_with_those_there_are():
    error = refused({"KAFKA_SECURITY_PROTOCOL": "TLS"})
    assert str(error) == (
        "KAFKA_SECURITY_PROTOCOL: must be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"
        " (it is 'TLS')"
    )


@pytest.mark.parametrize(
    "missing", ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]
)
def test_s4_sasl_that_is_incomplete_is_refused(missing: str):
    environ = {name: text for name, text in SASL.items() if name != missing}
    error = refused(environ)
    assert str(error) == f"{missing}: must be set with SASL_SSL"


def test_s4_oauthbearer_needs_its_token_and_nothing_else(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("e30.e30.\n")
    environ = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}
    error = refused(environ)
    assert str(error) == "KAFKA_SASL_OAUTH_TOKEN_FILE: must be set with OAUTHBEARER"
    settings = KafkaSettings.load(environ | {"KAFKA_SASL_OAUTH_TOKEN_FILE": str(file)})
    config = settings.for_confluent()
    assert config["sasl.mechanism"] == "OAUTHBEARER"
    assert config["oauth_cb"](None)[0] == "e30.e30."
    assert "sasl.username" not in config
    assert isinstance(settings.for_aiokafka()["sasl_oauth_token_provider"], TokenFile)
    assert settings.in_sight == " that our token may see"


def test_s4_password_and_file_together_are_refused(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("x")
    error = refused(SASL | {"KAFKA_SASL_PASSWORD_FILE": str(file)})
    assert error.name == "KAFKA_SASL_PASSWORD_FILE"
    assert PASSWORD not in str(error)


@pytest.mark.parametrize(
    "variable", ["KAFKA_SASL_PASSWORD_FILE", "KAFKA_SSL_CA_FILE", "KAFKA_SSL_CERT_FILE"]
)
def test_s5_a_missing_file_is_refused(variable: str, tmp_path: Path):
    error = refused({variable: str(tmp_path / "none")})
    assert str(error).startswith(f"{variable}: must name a file that exists (it is ")


def test_s5_a_certificate_needs_its_key(tmp_path: Path):
    file = tmp_path / "certificate"
    file.write_text("x")
    error = refused({"KAFKA_SSL_CERT_FILE": str(file)})
    assert error.name == "KAFKA_SSL_KEY_FILE"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_s5_a_password_file_loses_its_final_line_feed(tmp_path: Path, ending: str):
    file = tmp_path / "password"
    file.write_bytes((PASSWORD + ending).encode())
    environ = {name: text for name, text in SASL.items() if name != "KAFKA_SASL_PASSWORD"}
    settings = KafkaSettings.load(environ | {"KAFKA_SASL_PASSWORD_FILE": str(file)})
    assert settings.for_confluent()["sasl.password"] == PASSWORD
    assert settings.for_aiokafka()["sasl_plain_password"] == PASSWORD


def test_both_clients_get_the_same_login(tmp_path: Path):
    settings = KafkaSettings.load(SASL)
    assert settings.for_confluent() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "energy",
        "sasl.password": PASSWORD,
    }
    config = settings.for_aiokafka()
    context = config.pop("ssl_context")
    assert config == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "energy",
        "sasl_plain_password": PASSWORD,
    }
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_secret_is_never_shown():
    settings = KafkaSettings.load(SASL)
    assert PASSWORD not in repr(settings) + str(settings)
    error = refused(SASL | {"KAFKA_SECURITY_PROTOCOL": "x"})
    assert PASSWORD not in str(error)


def test_home_has_a_default():
    assert HomeSettings.load({}).home == Path(".energy")
    assert HomeSettings.load({"ENERGY_HOME": "/data"}).home == Path("/data")


def test_an_echo_is_cut_and_escaped():
    assert echo("\x1b[31m\u202e") == r"'\x1b[31m\u202e'"
    assert echo("a" * 65) == "'" + "a" * 64 + "...'"
