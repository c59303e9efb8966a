"""What a person sees and does on the page's first view."""

import re

from playwright.sync_api import Page, expect

from api.auth.token_store import TokenStore
from tests.ui.conftest import Opener, keep_picture
from tests.ui.fleet import LONG, MARKUP, TOTAL, TURNED
from tests.ui.running import RunningServer


def rows(page: Page, section: str) -> list[str]:
    return page.locator(f"#{section} tbody th").all_inner_texts()


def test_the_token_in_the_fragment_opens_the_page_and_leaves_the_address(
    open_page: Opener,
) -> None:
    page = open_page()
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    assert page.url.endswith("/ui/")
    assert page.title() == "Energy totals"
    expect(page.locator('#fleet [data-show="readings"]')).to_have_text("3\u202f369")
    expect(page.locator('#fleet [data-show="devices"]')).to_have_text("28")
    expect(page.locator('#fleet [data-show="lag"]')).to_have_text("0")
    expect(page.locator('#fleet [data-show="freshness"]')).to_have_text(re.compile(r"\d m?s"))
    page.reload()
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    keep_picture(page, "overview")


def test_the_root_leads_a_browser_to_the_page(open_page: Opener) -> None:
    page = open_page(path="/")
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    assert page.url.endswith("/ui/")


def test_without_a_token_nothing_is_asked_and_nothing_is_shown(
    open_page: Opener, server: RunningServer
) -> None:
    page = open_page(token="")
    field = page.get_by_label("Token")
    expect(field).to_be_focused()
    expect(page.locator("#overview")).to_be_hidden()
    assert not [url for url in page.watch.asked if "/v0/" in url]  # type: ignore[attr-defined]
    field.fill("wrong")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("does not take this token")
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    page.get_by_role("button", name="Forget token").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert TOTAL not in page.content()


def test_a_device_is_found_by_any_part_of_its_id(open_page: Opener) -> None:
    page = open_page()
    expect(page.locator("#devices tbody tr")).to_have_count(15)
    field = page.get_by_label("Search")
    field.fill("ICE_1")
    expect(page.locator("#devices .hint")).to_have_text("11 found.")
    expected = ["device_1", *(f"device_1{n}" for n in range(10))]
    assert rows(page, "devices") == expected
    field.fill("7")
    # The whole id first.
    expect(page.locator("#devices .hint")).to_have_text("4 found.")
    assert rows(page, "devices") == ["7", "device_17", "device_7", "meter,7"]
    field.fill("nowhere")
    expect(page.locator("#devices .hint")).to_have_text("0 found.")
    field.fill("")
    expect(page.locator("#devices tbody tr")).to_have_count(15)


def test_names_of_enemies_are_text(open_page: Opener) -> None:
    page = open_page()
    expect(page.locator("#devices tbody tr")).to_have_count(15)
    expect(page.locator("#places tbody tr")).to_have_count(7)
    assert {MARKUP, TURNED, LONG} <= set(rows(page, "devices"))
    assert {"<b>bold</b>", "(no place)"} <= set(rows(page, "places"))
    assert page.locator("main img, main b").count() == 0
    assert page.title() == "Energy totals"
    # What stands beside a name that turns its neighbours stays as it is.
    name = page.get_by_role("link", name="gnp.exe")
    assert name.evaluate("each => getComputedStyle(each).unicodeBidi") == "isolate"


def test_a_version_without_series_says_so_and_shows_totals(
    open_page: Opener, server: RunningServer
) -> None:
    page = open_page(token="")
    words = "this view version has no series: `energy replay start` builds one that has"
    body = f'{{"error": "{words}", "documentation": "/docs"}}'
    for name in ("by_location", "over_time"):
        page.route(
            re.compile(f"energy_consumption_{name}"),
            lambda route: route.fulfill(status=404, body=body, content_type="application/json"),
        )
    # The page loads again by itself, with this token.
    page.goto(f"{server.url}/ui/#token={server.token}")
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    expect(page.locator("#places")).to_contain_text(words)
    expect(page.locator("#fleet-consumption")).to_contain_text(words)
    expect(page.locator("#fleet-consumption .chart")).to_be_hidden()
    expect(page.locator("#devices tbody tr")).to_have_count(15)


def test_a_token_that_may_read_totals_only_says_what_it_may_not(
    open_page: Opener, server: RunningServer
) -> None:
    store = TokenStore(server.home / "tokens.json")
    token = store.create("totals", ["PIPES:READ:energy_consumption_by_device"])
    page = open_page(token=token)
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    expect(page.locator("#quarantine .problem")).to_contain_text("none of the scopes")
    expect(page.locator("#places")).to_contain_text("none of the scopes")


def test_the_policy_holds_the_browser_to_text(open_page: Opener) -> None:
    """Without it, a mistake would be a hole: the page itself cannot make HTML of a string."""
    page = open_page()
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    said = page.evaluate(
        "() => { try { document.body.innerHTML = '<i>' } catch (error) { return error.name } }"
    )
    assert said == "TypeError"
    faults = page.watch.faults  # type: ignore[attr-defined]
    assert len(faults) == 1
    assert "TrustedHTML" in faults.pop()
