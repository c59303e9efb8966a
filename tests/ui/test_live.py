"""What changes under the eyes of whoever looks at the page."""

import re
from decimal import Decimal

from playwright.sync_api import Page, expect

from tests.ui.conftest import Opener
from tests.ui.fleet import MARKUP, reading
from tests.ui.running import RunningServer

AT = "2025-10-26 10:00:00"


def total(page: Page) -> Decimal:
    return Decimal(page.locator("#fleet .grand").inner_text().replace("\u202f", ""))


def test_totals_change_while_one_looks(open_page: Opener, written_server: RunningServer) -> None:
    page = open_page(of=written_server)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#fleet .grand")).to_contain_text("259.87345678901234567890123456789")
    written_server.post(reading("winner", "1000000.5", AT, "Roof"))
    # Within 2 s where nothing else runs; a browser beside other tests may be still for longer.
    expect(page.locator("#fleet .grand")).to_have_text(
        re.compile("260.37345678901234567890123456789$"), timeout=20_000
    )
    expect(page.locator("#devices tbody tr").first).to_contain_text("winner")
    expect(page.locator("#devices tbody tr").first).to_contain_text("1\u202f000\u202f000.5")
    expect(page.locator("#places tbody tr").first).to_contain_text("Roof")
    written_server.post(*(reading("winner", 1, AT, "Roof") for _ in range(50)))
    expect(page.locator('#fleet [data-show="rate"]')).to_have_text(re.compile(r"[1-9]"))
    expect(page.locator("#devices tbody tr").first).to_contain_text("51 readings")


def test_the_focus_stays_where_it_is(open_page: Opener, written_server: RunningServer) -> None:
    page = open_page(of=written_server)
    expect(page.locator("#devices tbody tr")).to_have_count(15)
    page.get_by_role("link", name="device_0").focus()
    written_server.post(reading("device_5", 9000, AT))
    expect(page.locator("#devices tbody")).to_contain_text("9\u202f016.8")
    expect(page.get_by_role("link", name="device_0")).to_be_focused()
    page.get_by_label("Search").focus()
    written_server.post(reading("device_6", 9_000_000, AT))
    expect(page.locator("#devices tbody tr").first).to_contain_text("device_6")


def test_what_cannot_be_counted_is_shown_with_its_reason(
    open_page: Opener, written_server: RunningServer
) -> None:
    page = open_page(of=written_server)
    expect(page.locator("#quarantine")).to_contain_text("Nothing is in the quarantine.")
    written_server.post(reading("broken", 1, "2025-02-30 10:00:00", MARKUP))
    page.reload()
    row = page.locator("#quarantine li")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("timestamp: ")
    expect(row).to_contain_text(MARKUP)
    expect(row.locator("img")).to_have_count(0)
    row.get_by_text("As received").click()
    expect(row.locator("pre")).to_contain_text('"device_id": "broken"')
