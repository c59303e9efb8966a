"""What keeps the page quick however many devices there are: what it asks for, what it draws."""

from playwright.sync_api import expect

from tests.ui.conftest import Opener
from tests.ui.fleet import TOTAL, reading
from tests.ui.running import RunningServer

AT = "2025-10-26 10:00:00"
#: As many as the page lists of those that are found.
MATCHES = 50
#: Counts texts and rows that change.
COUNT_CHANGES = """() => {
  window.changes = 0;
  const what = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver((found) => { window.changes += found.length; }).observe(document.body, what);
}"""


def test_a_key_in_search_asks_for_the_devices_that_are_listed_and_no_others(
    open_page: Opener, own_server: RunningServer
) -> None:
    own_server.post(*(reading(f"crowd_{number:03}", 1, AT) for number in range(300)))
    page = open_page(of=own_server)
    hint, found = page.locator("#devices .hint"), page.locator("#devices tbody")
    field = page.get_by_label("Search")
    field.press_sequentially("crowd_")
    expect(hint).to_contain_text(f"The first {MATCHES} found")
    expect(found.locator("tr")).to_have_count(MATCHES)
    expect(found).not_to_contain_text("…")
    field.fill("")
    field.press_sequentially("WD_29")
    expect(hint).to_have_text("10 found.")
    expect(found.locator("td").last).to_contain_text("1 reading")
    # Newer than what the page has read of all ids.
    own_server.post(reading("brand new", 1, AT))
    field.fill("brand new")
    expect(found.locator("td")).to_contain_text("1 reading")
    asked = [url for url in page.watch.asked if "by_device." in url]  # type: ignore[attr-defined]
    of_some = [url for url in asked if "device_id=" in url or "limit=" in url]
    assert len(asked) - len(of_some) == 1
    assert max(url.count("device_id=") for url in of_some) <= MATCHES + 1


def test_totals_of_those_that_are_found_stay_live(
    open_page: Opener, own_server: RunningServer
) -> None:
    page = open_page(of=own_server)
    page.get_by_label("Search").fill("spring")
    expect(page.locator("#devices tbody tr")).to_contain_text("2 readings")
    own_server.post(reading("spring", 1, AT))
    expect(page.locator("#devices tbody tr")).to_contain_text("3 readings")


def test_a_change_of_many_devices_draws_as_little_as_one(
    open_page: Opener, own_server: RunningServer
) -> None:
    page = open_page(of=own_server)
    expect(page.locator("#fleet .grand")).to_have_text(TOTAL)
    expect(page.locator("#devices tbody tr")).to_have_count(15)
    expect(page.locator("#fleet-consumption .chart")).to_have_attribute("data-buckets", "8")
    elements = page.locator("*").count()
    page.evaluate(COUNT_CHANGES)
    # None of them is among the largest.
    own_server.post(*(reading(f"crowd_{number:03}", 1, AT) for number in range(300)))
    expect(page.locator("#fleet .grand")).to_contain_text("2\u202f559.87")
    expect(page.locator('#fleet [data-show="readings"]')).to_have_text("3\u202f669")
    # Figures and the place's row, some 10; to draw the tables again is 85.
    assert page.evaluate("window.changes") < 40
    assert page.locator("*").count() - elements < 10
