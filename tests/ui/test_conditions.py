"""The page where things are not ideal: no mouse, a phone, the dark, cuts, a proxy, a lost token."""

import re
import signal
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from api.auth.token_store import TokenStore
from tests.ui.conftest import Opener, keep_picture
from tests.ui.fleet import LONG, MARKUP, TOTAL, reading
from tests.ui.running import RunningServer

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
#: Kept as pictures: what most people have before them.
PHONE_390 = PHONE | {"viewport": {"width": 390, "height": 844}}
WIDE: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
FOCUSED = """() => {
  const each = document.activeElement;
  const style = getComputedStyle(each);
  const name = each.textContent.trim() || each.name || each.type;
  return [name, style.outlineStyle, style.outlineWidth];
}"""


def wait_for_all(page: Page) -> None:
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    expect(page.locator("#devices tbody tr")).to_have_count(15)
    expect(page.locator("#places tbody tr")).to_have_count(7)
    expect(page.locator("#fleet-consumption .chart")).to_have_attribute("data-buckets", "8")


def test_everything_is_reached_and_done_with_the_keyboard(open_page: Opener) -> None:
    page = open_page()
    wait_for_all(page)
    passed: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name, style, width = page.evaluate(FOCUSED)
        passed.append(name)
        assert (style, width) == ("solid", "3px"), f"nobody sees that the focus is on {name}"
        if name == "device_0":
            break
    expected = ["Skip to the content", "Energy totals", "Forget token"]
    assert passed[:3] == expected
    for name in ("first", "timezone", "device", "The numbers as a table", "search", MARKUP):
        assert name in passed, name
    page.keyboard.press("Enter")
    expect(page.locator("#device h2").first).to_have_text("device_0")
    expect(page.locator("#device h2").first).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#fleet")).to_be_visible()
    expect(page.locator("#main")).to_be_focused()


@pytest.mark.parametrize("fragment", ["", f"#device={LONG}"], ids=["overview", "device"])
def test_a_phone_never_scrolls_sideways(open_page: Opener, fragment: str) -> None:
    page = open_page(fragment, **PHONE)
    if fragment:
        expect(page.locator("#device .grand")).to_contain_text("200.123")
    else:
        wait_for_all(page)
    keep_picture(page, "phone-device" if fragment else "phone")
    wide = page.evaluate(
        "() => [...document.querySelectorAll('body *')]"
        ".filter((each) => each.getBoundingClientRect().right > innerWidth + 1)"
        ".map((each) => each.outerHTML.slice(0, 80))"
    )
    assert [each for each in wide if "skip" not in each] == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_it_is_dark_where_the_system_is(open_page: Opener) -> None:
    page = open_page(color_scheme="dark")
    wait_for_all(page)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 22, 27)"
    keep_picture(page, "dark")
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(244, 246, 247)"


def test_nothing_moves_where_less_motion_is_asked_for(open_page: Opener) -> None:
    page = open_page(reduced_motion="reduce")
    wait_for_all(page)
    moving = page.evaluate(
        "() => document.getAnimations().length + [...document.querySelectorAll('*')].filter("
        "(each) => ['', '::before'].some((part) => "
        "parseFloat(getComputedStyle(each, part).transitionDuration) > 0)).length"
    )
    assert moving == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["token", "overview", "device", "phone"])
def test_axe_finds_nothing_serious(open_page: Opener, scheme: str, view: str) -> None:
    options = PHONE_390 if view == "phone" else WIDE
    fragment = "#device=device_3" if view == "device" else ""
    token = "" if view == "token" else None
    # The checker is written into the page, which its policy would not let it be.
    page = open_page(fragment, token=token, color_scheme=scheme, bypass_csp=True, **options)
    if view == "device":
        expect(page.locator("#device-consumption .readout")).to_contain_text("In all: 16.8")
    elif view == "token":
        expect(page.get_by_label("Token")).to_be_visible()
    else:
        wait_for_all(page)
        page.locator("#fleet-consumption summary").click()
        expect(page.locator("#fleet-consumption tbody tr")).to_have_count(8)
    keep_picture(page, f"{view}-{scheme}")
    found = Axe().run(page).response["violations"]
    assert [
        f"{each['id']}: {node['html'][:120]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ] == []


def test_it_works_below_a_path_prefix(open_page: Opener, server: RunningServer) -> None:
    """As behind a proxy that takes the prefix off: what is asked elsewhere is not found."""
    page = open_page(token="")

    def take_off(route: Route) -> None:
        url = route.request.url
        if url == f"{server.url}/ui/icon.svg":
            # Late, of the page that was open before.
            route.continue_()
            return
        assert "/energy/" in url, f"{url} has no prefix"
        route.continue_(url=url.replace("/energy/", "/"))

    page.context.route("**", take_off)
    page.goto(f"{server.url}/energy/ui/#token={server.token}")
    wait_for_all(page)
    page.get_by_role("link", name="device_0").click()
    expect(page.locator("#device .grand")).to_have_text("16.8")


def test_a_stream_that_is_cut_or_silent_is_said_and_comes_back(
    open_page: Opener, own_server: RunningServer
) -> None:
    page = open_page(of=own_server)
    wait_for_all(page)
    own_server.kill()
    expect(page.locator("#connection")).to_contain_text("Not live: cut off, trying again")
    expect(page.locator("#fleet .problem")).to_have_text("The server cannot be reached.")
    # What was known stays, and the page says that it is old.
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    own_server.start()
    expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
    expect(page.locator("#fleet .problem")).to_be_hidden()
    own_server.post(reading("winner", "1000000.5", "2025-10-26 10:00:00"))
    expect(page.locator("#devices tbody tr").first).to_contain_text("winner")
    own_server.process.send_signal(signal.SIGSTOP)
    expect(page.locator("#connection")).to_contain_text("Not live", timeout=12_000)
    own_server.process.send_signal(signal.SIGCONT)
    expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)


def test_a_revoked_token_ends_what_is_shown(open_page: Opener, server: RunningServer) -> None:
    store = TokenStore(server.home / "tokens.json")
    page = open_page(token=store.create("guest", ["PIPES:READ:*"]))
    wait_for_all(page)
    store.revoke("guest")
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("revoked")
    assert not re.search("device_0|259", page.locator("body").inner_text())
