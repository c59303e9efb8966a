"""One device, and consumption over time."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import Opener, keep_picture
from tests.ui.fleet import COMMA, DOTS, LONG, MARKUP, TURNED

#: Widths in CSS pixels of the bars, along the lowest line that has any.
BARS = """box => {
  const canvas = box.querySelector("canvas");
  const { width, height } = canvas;
  const bar = [19, 138, 108];
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const isNear = (at) => bar.every((part, i) => Math.abs(data[at + i] - part) < 8);
  const isBar = (x, y) => isNear(4 * (y * width + x));
  for (let y = height - 1; y > 0; y -= 1) {
    const runs = [];
    for (let x = 0, run = 0; x <= width; x += 1) {
      if (x < width && isBar(x, y)) run += 1;
      else if (run) { runs.push(run / devicePixelRatio); run = 0; }
    }
    if (runs.length) return runs;
  }
}"""


def choose(page: Page, section: str, **values: str) -> None:
    for name, value in values.items():
        field = page.locator(f"#{section} [name={name}]")
        if name in ("interval", "place"):
            field.select_option(value)
        else:
            field.fill(value)
            field.blur()


def table(page: Page, section: str, count: int) -> list[list[str]]:
    """The numbers below the chart, once there are so many buckets."""
    expect(page.locator(f"#{section} .chart")).to_have_attribute("data-buckets", str(count))
    details = page.locator(f"#{section} details")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    rows = details.locator("tbody tr")
    expect(rows).to_have_count(count)
    return [row.locator("th, td").all_inner_texts() for row in rows.all()]


def expect_bars(page: Page, section: str, count: int) -> None:
    expect(page.locator(f"#{section} .chart")).to_have_attribute("data-buckets", str(count))


def test_a_device_is_opened_with_its_places_and_its_series(open_page: Opener) -> None:
    page = open_page()
    page.get_by_label("Search").fill("device_3")
    page.get_by_role("link", name="device_3", exact=True).click()
    expect(page.locator("#device h2").first).to_have_text("device_3")
    expect(page.locator("#device h2").first).to_be_focused()
    expect(page.locator("#device .grand")).to_have_text("16.8")
    expect(page.locator('#device [data-show="readings"]')).to_have_text("168")
    expect(page.locator('#device [data-show="first"]')).to_have_text("2025-10-22 00:10:00 UTC")
    expect(page.locator('#device [data-show="last"]')).to_have_text("2025-10-28 23:10:00 UTC")
    expect(page.locator("#device tbody tr").first).to_contain_text("(no place)")
    expect(page.locator("#device-consumption .readout")).to_contain_text("In all: 16.8 in 168")
    offered = page.locator("#device-consumption [name=place] option")
    expect(offered).to_have_text(["all places", "(no place)"])
    assert page.title() == "device_3 \u2013 Energy totals"
    page.reload()
    expect(page.locator("#device .grand")).to_have_text("16.8")
    keep_picture(page, "device")
    page.get_by_role("link", name="All devices").click()
    expect(page.locator("#fleet")).to_be_visible()
    page.go_back()
    expect(page.locator("#device .grand")).to_have_text("16.8")


@pytest.mark.parametrize(
    ("device", "total"),
    [
        (MARKUP, "400.5"),
        (TURNED, "300.25"),
        (LONG, "200.12345678901234567890123456789"),
        (COMMA, "5"),
        (DOTS, "3"),
    ],
    ids=["markup", "turned", "long", "comma", "dots"],
)
def test_a_device_of_any_name_can_be_opened(open_page: Opener, device: str, total: str) -> None:
    page = open_page()
    page.get_by_label("Search").fill(device)
    page.locator("#devices tbody a").filter(has_text=re.compile(f"^{re.escape(device)}$")).click()
    expect(page.locator("#device .grand")).to_have_text(total)
    expect(page.locator("#device h2").first).to_have_text(device)
    expect(page.locator("#device-consumption .readout")).to_contain_text(f"In all: {total} in 1 r")
    assert page.locator("main img").count() == 0


def test_an_unknown_device_says_so(open_page: Opener) -> None:
    page = open_page("#device=nobody")
    expect(page.locator("#device .problem").first).to_contain_text("no device 'nobody'")


def test_a_day_of_25_hours_is_drawn_as_such(open_page: Opener) -> None:
    page = open_page(viewport={"width": 1400, "height": 900})
    choose(page, "fleet-consumption", first="2025-10-25", last="2025-10-27")
    found = table(page, "fleet-consumption", 3)
    assert [row[:2] for row in found] == [
        ["2025-10-25 00:00 +02:00", "24 h"],
        ["2025-10-26 00:00 +02:00", "25 h"],
        ["2025-10-27 00:00 +01:00", "24 h"],
    ]
    before, long, after = page.locator("#fleet-consumption .chart").evaluate(BARS)
    assert abs(before - after) <= 1.5
    assert long - before == pytest.approx(before / 24, abs=2)


def test_a_day_of_23_hours_and_its_hours(open_page: Opener) -> None:
    page = open_page("#device=spring")
    choose(page, "device-consumption", first="2025-03-30", last="2025-03-31")
    found = table(page, "device-consumption", 2)
    assert [row[1] for row in found] == ["23 h", "24 h"]
    choose(page, "device-consumption", interval="hour", last="2025-03-30")
    starts = [row[0] for row in table(page, "device-consumption", 23)]
    assert starts[1:3] == ["2025-03-30 01:00 +01:00", "2025-03-30 03:00 +02:00"]


def test_interval_zone_and_filters_are_chosen(open_page: Opener) -> None:
    page = open_page()
    section = "fleet-consumption"
    expect_bars(page, section, 8)
    choose(page, section, interval="month")
    expect(page.locator(f"#{section} .readout")).to_contain_text("in 3\u202f369 readings")
    # Until 18:15 in UTC.
    choose(page, section, timezone="Asia/Kathmandu", interval="day", first="2025-10-22")
    choose(page, section, last="2025-10-22")
    assert table(page, section, 1) == [["2025-10-22 00:00 +05:45", "24 h", "38", "380"]]
    choose(page, section, place="=Garage")
    expect(page.locator(f"#{section} .readout")).to_contain_text("In all: 9.5 in 95 readings")
    choose(page, section, place="=")
    choose(page, section, device="device_3")
    expect(page.locator(f"#{section} .readout")).to_contain_text("In all: 1.9 in 19 readings")
    choose(page, section, device="device_2")
    expect(page.locator(f"#{section} .readout")).to_contain_text("In all: no readings")
    choose(page, section, timezone="Mars/Olympus")
    expect(page.locator(f"#{section} .problem")).to_contain_text("Mars/Olympus")


def test_the_bars_are_read_with_the_arrow_keys(open_page: Opener) -> None:
    page = open_page("#device=device_0")
    readout = page.locator("#device-consumption .readout")
    expect(readout).to_contain_text("In all: 16.8")
    page.locator("#device-consumption .chart").focus()
    page.keyboard.press("End")
    expect(readout).to_contain_text("2025-10-29 00:00 +01:00, 24 h: 0.1 in 1 reading")
    page.keyboard.press("ArrowLeft")
    expect(readout).to_contain_text("2025-10-28 00:00 +01:00, 24 h: 2.4 in 24 readings")


def test_a_large_answer_is_a_table_of_its_first_rows(open_page: Opener) -> None:
    page = open_page("#device=device_0")
    choose(page, "device-consumption", interval="15m", first="2025-10-01", last="2025-10-30")
    expect_bars(page, "device-consumption", 30 * 96 + 4)
    details: Any = page.locator("#device-consumption details")
    details.locator("summary").click()
    expect(details.locator("summary")).to_contain_text("the first 1000 of 2884")
    expect(details.locator("tbody tr")).to_have_count(1000)
