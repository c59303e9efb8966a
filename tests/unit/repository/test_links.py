"""What the documents point at exists: files, directories, modules, sections."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DIRECTORIES = sorted(each for each in ROOT.iterdir() if each.is_dir() and each.name[0] != ".")
DOCUMENTS = [*ROOT.glob("*.md"), *(found for each in DIRECTORIES for found in each.rglob("*.md"))]
#: It says what was: a path in it may have another name today.
HISTORY = ROOT / "CHANGELOG.md"
ROOMS = [each.parent.name for each in ROOT.glob("*/__init__.py")]

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
#: `room/...`, or anything with a slash that ends as a file of ours does.
PATH = re.compile(
    rf"(?<![\w/.$:-])((?:{'|'.join(each.name for each in DIRECTORIES)})/[\w./-]*"
    r"|(?:\.\./)?[\w-]+(?:/[\w.-]+)*/[\w.-]+\.(?:py|md|ya?ml|json|svg|xml|conf|sh|lock|toml))(?!\w)"
)
MODULE = re.compile(rf"(?<![\w/.-])((?:{'|'.join(ROOMS)})(?:\.[a-z_]\w*)+)(?![\w/])")
#: A config of Kafka's that begins like one of our rooms.
NO_MODULES = {"producer.id.expiration.ms"}
DOCUMENT_IN_CODE = re.compile(r"\b(?:docs|deploy)/\w+\.md\b")


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def anchors(document: Path) -> set[str]:
    """What a forge makes of the headings."""
    headings = HEADING.findall(FENCED.sub("", text_of(document)))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def exists(path: str, document: Path) -> bool:
    return any((base / path).exists() for base in (ROOT, document.parent))


def is_module(name: str) -> bool:
    """Whether it is a module, or a name in one."""
    path = ROOT / name.replace(".", "/")
    return any(each.is_dir() or each.with_suffix(".py").is_file() for each in (path, path.parent))


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_each_link_leads_to_a_file_and_a_section(document: Path) -> None:
    for target in LINK.findall(FENCED.sub("", text_of(document))):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_readme_leads_to_every_document() -> None:
    readme = ROOT / "README.md"
    targets = {target.partition("#")[0] for target in LINK.findall(text_of(readme))}
    assert {name_of(each) for each in DOCUMENTS} - targets == {"README.md"}


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d != HISTORY], ids=name_of)
def test_each_path_that_is_named_exists(document: Path) -> None:
    text = re.sub(r"https?://\S+", "", text_of(document))
    paths = {each.rstrip(".") for each in PATH.findall(text)}
    assert {each for each in paths if not exists(each, document)} == set()
    assert {each for each in MODULE.findall(text) if not is_module(each)} <= NO_MODULES


@pytest.mark.parametrize("room", ROOMS)
def test_each_document_that_code_names_exists(room: str) -> None:
    for module in (ROOT / room).rglob("*.py"):
        for path in DOCUMENT_IN_CODE.findall(text_of(module)):
            assert (ROOT / path).is_file(), f"{module}: {path}"
