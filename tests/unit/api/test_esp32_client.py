"""docs/clients/esp32.md: its C against stubs of ESP-IDF, and the reading that it makes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from contract.validation import validate

DOCUMENT = Path(__file__).parents[3] / "docs" / "clients" / "esp32.md"
STUBS = {
    "esp_http_client.h": """
        typedef int esp_err_t;
        #define ESP_OK 0
        typedef enum { HTTP_METHOD_GET, HTTP_METHOD_POST } esp_http_client_method_t;
        typedef struct esp_http_client *esp_http_client_handle_t;
        typedef struct {
            const char *url; esp_http_client_method_t method; int timeout_ms;
        } esp_http_client_config_t;
        esp_http_client_handle_t esp_http_client_init(const esp_http_client_config_t *config);
        esp_err_t esp_http_client_set_header(
            esp_http_client_handle_t client, const char *key, const char *value);
        esp_err_t esp_http_client_set_post_field(
            esp_http_client_handle_t client, const char *data, int len);
        esp_err_t esp_http_client_perform(esp_http_client_handle_t client);
        int esp_http_client_get_status_code(esp_http_client_handle_t client);
        esp_err_t esp_http_client_cleanup(esp_http_client_handle_t client);
    """,
    "esp_random.h": "#include <stdint.h>\nuint32_t esp_random(void);",
    "freertos/FreeRTOS.h": "#include <stdint.h>\n#define pdMS_TO_TICKS(ms) ((uint32_t)(ms))",
    "freertos/task.h": "void vTaskDelay(uint32_t ticks);",
}
GCC = shutil.which("gcc")
#: What runs on any machine: the reading, without the client that only a board has.
PRINTING = """
uint32_t esp_random(void) { return 0xfedcba98u; }
int main(void)
{
    reading_t reading;
    make_reading(&reading, 1761444900, 4000000123u);
    puts(reading.key);
    puts(reading.body);
}
"""


def code() -> str:
    found = re.search(r"^```c\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_it_uses_only_names_that_are_stubbed() -> None:
    asked = set(re.findall(r"\besp_http_client_\w+", code()))
    assert asked
    assert {name for name in asked if name not in STUBS["esp_http_client.h"]} == set()


if GCC is not None:

    @pytest.fixture
    def stubs(tmp_path: Path) -> Path:
        for name, text in STUBS.items():
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return tmp_path

    def test_it_compiles_against_stubs(stubs: Path) -> None:
        (stubs / "client.c").write_text(code())
        command = [GCC, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-I", "."]
        subprocess.run([*command, "client.c"], cwd=stubs, check=True, timeout=30)

    def test_its_reading_is_one(stubs: Path) -> None:
        (stubs / "client.c").write_text(code().partition("/* 0: nobody")[0] + PRINTING)
        subprocess.run([GCC, "-I", ".", "client.c", "-o", "client"], cwd=stubs, check=True)
        ran = subprocess.run([stubs / "client"], capture_output=True, check=True, text=True)
        key, body = ran.stdout.splitlines()
        assert key == "fedcba98" * 4
        assert json.loads(body)["energy_consumed"] == 4000000.123
        reading = validate(body.encode())
        assert (reading.device_id, reading.location) == ("esp32_1", "Hall")
