"""The OpenAPI document tells the truth, as far as the token reaches; and the page is whole."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from api.app import create_app
from api.auth.scopes import SCOPES
from api.settings import ApiSettings
from tests.api_doubles import Answer, Caller, HandmadeLive, caller_for, filled_view
from tests.quarantine_double import MemoryLog, quarantine_record
from tests.series_double import MemorySeries, MemorySource, Sample
from tests.unit.api.test_routes import TABLE, send

OPENAPI = "/v0/pipes/openapi.json"


async def served(tmp_path: Path, scope: str = "ADMIN", *, is_loaded: bool = True) -> Caller:
    view = await filled_view({"device_7": (1, 1), "huge": (10**308, 1)}, {"huge": (10**308, 1)})
    log = MemoryLog({0: [quarantine_record(0, 1)]})
    samples = [Sample("device_7", place, second, 10**308) for place in "ab" for second in (0, 1)]
    series = MemorySource(MemorySeries(samples))
    return caller_for(
        tmp_path, view if is_loaded else None, scope=scope, quarantine=log, series=series
    )


async def document_of(caller: Caller) -> dict[str, Any]:
    answer = await caller.get(OPENAPI)
    assert answer.status == 200
    return dict(answer.json())


@pytest.fixture
async def caller(tmp_path: Path) -> Caller:
    return await served(tmp_path)


def check(document: dict[str, Any], name: tuple[str, str], answer: Answer) -> None:
    """Hold an answer against what the document says of it."""
    responses = document["paths"][name[1]][name[0].lower()]["responses"]
    assert str(answer.status) in responses, (name, answer.status)
    content = responses[str(answer.status)].get("content", {})
    assert answer.headers["content-type"] in content, name
    schema = content[answer.headers["content-type"]]["schema"]
    if "json" in answer.headers["content-type"] and "ndjson" not in answer.headers["content-type"]:
        whole = {**schema, "components": document["components"]}
        jsonschema_rs.validator_for(whole).validate(json.loads(answer.body))


@pytest.mark.parametrize("name", TABLE, ids=" ".join)
async def test_answers_and_errors_are_what_the_document_says(
    tmp_path: Path, name: tuple[str, str]
) -> None:
    caller = await served(tmp_path)
    document = await document_of(caller)
    method, path = name
    check(document, name, await send(caller, *name))
    if not TABLE[name]:
        return
    target = path.replace("{device_id}", "device_7")
    check(document, name, await caller.request(method, f"{target}?%ZZ=1"))
    check(document, name, await caller.request(method, f"{target}?{'a' * 70_000}"))
    unknown = await caller.request(method, f"{target}?colour=red")
    assert unknown.status == 400
    check(document, name, unknown)
    caller.token = "wrong"
    check(document, name, await send(caller, *name))
    (tmp_path / "loading").mkdir()
    loading = await served(tmp_path / "loading", is_loaded=False)
    check(document, name, await send(loading, *name))


async def test_the_document_is_where_fastapi_has_it_too(caller: Caller) -> None:
    assert (await caller.get("/openapi.json")).json() == await document_of(caller)


async def test_the_document_is_made_once_and_holds_no_other_up(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, makers = caller.app.openapi(), []

    def made() -> dict[str, Any]:
        makers.append(threading.current_thread())
        return document

    monkeypatch.setattr(caller.app, "openapi", made)
    await document_of(caller)
    assert makers != [threading.main_thread()]
    assert len(makers) == 1
    assert create_app(ApiSettings.load({}), HandmadeLive(None)).openapi() is document


async def test_the_document_has_no_answer_that_there_is_not(caller: Caller) -> None:
    document = await document_of(caller)
    assert "HTTPValidationError" not in json.dumps(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert ("422" in operation["responses"]) == (method == "post" and "pipes" not in path)


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_token_sees_only_what_it_may_do(tmp_path: Path, scope: str) -> None:
    caller = await served(tmp_path, scope)
    paths = (await document_of(caller))["paths"]
    seen = {(method.upper(), path) for path, each in paths.items() for method in each}
    assert seen == {name for name, scopes in TABLE.items() if not scopes or scope in scopes}


async def test_programs_that_know_openapi_understand_it(caller: Caller) -> None:
    schema = schemathesis.openapi.from_dict(await document_of(caller))
    schema.validate()
    assert {result.ok().path for result in schema.get_all_operations()} == {
        path for _, path in TABLE
    }


async def test_operation_ids_are_unique(caller: Caller) -> None:
    paths = (await document_of(caller))["paths"]
    ids = [each["operationId"] for methods in paths.values() for each in methods.values()]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"\w+", each) for each in ids)


async def test_the_page_is_whole_in_itself_and_may_fetch_from_here_only(caller: Caller) -> None:
    answer = await caller.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = answer.body.decode()
    assert "SwaggerUIBundle(" in page
    assert not re.search(
        r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", page[: page.index("<script>")]
    )
    assert page.count("</script") == page.count("<script") == 2
    assert "<!--" not in page
    assert f'url: "{OPENAPI}"' in page
    policy = answer.headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_h49_strangers_see_neither(caller: Caller) -> None:
    good, caller.token = caller.token, None
    for target in (OPENAPI, "/docs"):
        assert (await caller.get(target)).status == 403
        assert (await caller.get(f"{target}?token={good}")).status == 200
        assert good not in (await caller.get(f"{target}?token={good}")).body.decode()
