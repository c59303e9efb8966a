"""What is written about the program must be true of it."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

import contract.settings
from api.errors import ApiError
from contract.settings import Settings

ROOT = Path(__file__).parents[3]
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
EXAMPLE = ROOT / "deploy" / ".env.example"
#: Read where the jars are looked for, by local_stack/broker/java.py; no setting of a role.
NO_FIELDS = {"ENERGY_BROKER_LIBS", "ENERGY_PREFIX"}


def documented() -> dict[str, str]:
    """Variable -> default, as .env.example has them."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    return dict(re.findall(r"^#([A-Z][A-Z_]+)=(.*)$", "\n".join(lines), re.MULTILINE))


def fields() -> dict[str, FieldInfo]:
    """Variable -> field, of every settings class in the code."""
    for room in set(ROOMS) - {"tests"}:
        package = importlib.import_module(room)
        for module in pkgutil.walk_packages(package.__path__, f"{room}."):
            if module.name.rpartition(".")[2] in ("settings", "kafka"):
                importlib.import_module(module.name)

    def below(settings: type[Settings]) -> list[type[Settings]]:
        return [settings, *(leaf for each in settings.__subclasses__() for leaf in below(each))]

    return {
        field.alias or name: field
        for settings in below(contract.settings.Settings)
        for name, field in settings.model_fields.items()
    }


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    assert set(documented()) == set(fields()) | NO_FIELDS


@pytest.mark.parametrize("variable", sorted(documented()))
def test_the_example_shows_the_real_default(variable: str) -> None:
    if variable in NO_FIELDS:
        return
    default = fields()[variable].default
    shown = documented()[variable]
    if default is None:
        assert shown == ""
    elif isinstance(default, float):
        assert float(shown) == default
    else:
        assert shown == str(default)


def test_every_setting_has_a_word_of_explanation() -> None:
    """Or stands right below one that has."""
    blocks = re.split(r"\n\s*\n", EXAMPLE.read_text(encoding="utf-8"))
    for block in blocks:
        if re.search(r"^#[A-Z_]+=", block, re.MULTILINE):
            assert block.startswith("# "), block


def test_the_changelog_is_releases_of_short_lines() -> None:
    """Figures and reasons are in docs/BENCHMARKS.md, and what was tried."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[0] == "Unreleased"
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= {
        "Added",
        "Changed",
        "Fixed",
        "Removed",
    }
    for section in text.split("\n## ")[1:]:
        assert "\n- " not in section.split("\n### ", 1)[0], "below no heading"
    assert [line for line in text.splitlines() if len(line) > 260] == []


def test_each_setting_is_in_the_example_once() -> None:
    names = re.findall(r"^#([A-Z][A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) == len(set(names))


def test_each_status_of_a_refusal_is_explained() -> None:
    """docs/RETRIES.md says of each what became of the rows."""

    def below(error: type[ApiError]) -> list[type[ApiError]]:
        return [error, *(leaf for each in error.__subclasses__() for leaf in below(each))]

    rows = re.findall(r"^\| ([\d, ]+) \|", (ROOT / "docs/RETRIES.md").read_text(), re.MULTILINE)
    explained = {int(status) for row in rows for status in row.split(",")}
    assert explained == {each.status for each in below(ApiError)[1:]}
