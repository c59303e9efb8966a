"""How quick the page is in a real Chromium: first data, changes, keys in search, its weight.

`python -m tests.benchmarks.page --devices 100000 --days 31 --rounds 10`

The server has the real routes and copies on disk (tests.benchmarks.page_fleet), in a process; no
broker and no worker run, so a change's clock begins with its POST. Each round of the first data is
a browser context of its own, with no cache. A key's clock begins when the browser is given it and
ends when a frame is painted that lists what the field asks for: names, and then their totals.
Judged by the slowest of each, keys but the first by their p99; exits 1 where a bound is missed.
`--keep DIR` keeps the copy of the series; `--slower 4` has the browser's processor do a fourth.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, BrowserContext, Page

from api.routes.ui import files
from tests import http_client
from tests.benchmarks import machine
from tests.benchmarks.figures import percentile, shown
from tests.benchmarks.page_fleet import BEGAN, hostile
from tests.chromium import chromium
from tests.ui.running import RunningServer

PROBE = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
FIRST_MS, CHANGE_MS, KEY_MS, WEIGHT_KB = 1_000, 2_000, 100, 150
LOOKS: list[dict[str, Any]] = [
    {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    for width, height in ((390, 844), (1_440, 900))
    for scheme in ("light", "dark")
]
#: Typed key by key: found early, late, of enemies, and nowhere.
WORDS = ("device_99", "9999", "<img src", "%2e/", '"', "nowhere")
#: Between two keys: a quick typist's.
PAUSE_MS = 120
#: From the click into the field to the first key: a hand's way from the mouse to the keyboard, by
#: the keystroke-level model of Card, Moran and Newell. The page reads the ids meanwhile.
HOMING_MS = 400


def browser_seconds() -> float:
    """Return the processor time of the browser's processes, those of its tabs too."""
    seconds = 0.0
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "chrom" in each.name():
                seconds += sum(each.cpu_times()[:2])
    return seconds


class Bench:
    """A server, a browser, and what was measured."""

    def __init__(self, server: RunningServer, browser: Browser, options: Any) -> None:
        self.server, self.browser, self.options = server, browser, options
        self.missed: list[str] = []
        self.faults: list[str] = []

    def say(
        self,
        what: str,
        samples: Sequence[float],
        unit: str,
        most: float | None = None,
        share: float = 1,
    ) -> None:
        """Print a figure; this share of the samples must not be above `most`."""
        ordered = sorted(samples)
        is_missed = most is not None and percentile(ordered, share) > most
        bound = "" if most is None else f"; at most {most:,}{', MISSED' if is_missed else ''}"
        p90, p99 = (shown(percentile(ordered, each)) for each in (0.9, 0.99))
        print(
            f"{what}: median {shown(statistics.median(ordered))} {unit}, p90 {p90}, p99 {p99}, max "
            f"{shown(ordered[-1])} ({len(ordered)}){bound}",
            flush=True,
        )
        if is_missed:
            self.missed.append(what)

    @contextmanager
    def page(self, look: dict[str, Any], fragment: str = "") -> Iterator[Page]:
        """Open the page with no cache, and watch it for what it must not do."""
        context = self.browser.new_context(**look)
        context.set_default_timeout(60_000)
        context.add_init_script(PROBE)
        self._watch(context)
        try:
            page = context.new_page()
            if self.options.slower > 1:
                rate = {"rate": self.options.slower}
                context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", rate)
            page.goto(f"{self.server.url}/ui/#token={self.server.token}", wait_until="commit")
            if fragment:
                page.evaluate("probe.first()")
                page.evaluate("(fragment) => { location.hash = fragment }", fragment)
            yield page
        finally:
            context.close()

    def _watch(self, context: BrowserContext) -> None:
        faults = self.faults

        def asked(url: str) -> None:
            if not url.startswith((self.server.url, "data:")):
                faults.append(f"asked {url}")

        def said(kind: str, text: str) -> None:
            if kind in ("error", "warning") and "net::ERR_ABORTED" not in text:
                faults.append(f"console: {text}")

        context.on("request", lambda request: asked(request.url))
        context.on("console", lambda message: said(message.type, message.text))
        context.on("weberror", lambda error: faults.append(f"error: {error.error}"))

    def first_data(self) -> None:
        """Measure from the navigation to what is painted; in processor time, all the browser's."""
        found: dict[str, list[float]] = {}
        spent = []
        for _, look in zip(range(self.options.rounds), itertools.cycle(LOOKS), strict=False):
            before = browser_seconds()
            with self.page(look) as page:
                for name, at in page.evaluate("probe.first()").items():
                    found.setdefault(name, []).append(at)
                spent.append(1_000 * (browser_seconds() - before))
        for name in ("total", "devices", "places"):
            self.say(f"first data: {name}", found[name], "ms", FIRST_MS)
        self.say("first data: chart", found["chart"], "ms")
        self.say("first data and chart, time of processors", spent, "ms")

    def changes(self) -> None:
        """Measure from a POST to the frame in which it is seen, on three parts of the page."""
        total = "probe.text('#fleet .grand')"
        for name, fragment, text in (
            ("fleet's total", "", total),
            ("largest devices", "", "probe.text('#devices tbody')"),
            ("device", "device=device_1", "probe.text('#device .grand')"),
        ):
            waited = []
            with self.page(LOOKS[-1], fragment) as page:
                page.evaluate(f"probe.when(() => /\\d/.test({text}))")
                for number in range(self.options.rounds):
                    # Not in step with what the page asks each second or two.
                    page.wait_for_timeout(700 + 130 * (number % 10))
                    page.evaluate(
                        f"() => {{ const before = {text}; window.seen = "
                        f"probe.when(() => {text} !== before).then((at) => "
                        "performance.timeOrigin + at) }"
                    )
                    began = time.time()
                    self.post("device_1", 10**12)
                    waited.append(page.evaluate("window.seen") - 1_000 * began)
            self.say(f"change seen: {name}", waited, "ms", CHANGE_MS)

    def post(self, device: str, energy: int, count: int = 1) -> None:
        reading = {"timestamp": BEGAN, "device_id": device, "energy_consumed": energy}
        self.server.post(*[reading | {"location": "place 1"}] * count)

    @contextmanager
    def flow(self) -> Iterator[None]:
        """Have the largest totals change, some bodies a second."""
        ended = threading.Event()

        def send() -> None:
            for number in itertools.count():
                if ended.wait(0.1):
                    return
                self.post(f"device_{number % 15 + 1}", 10**12, self.options.rate // 10)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def search(self, what: str) -> None:
        """Type words key by key; then scroll, and open a device that is found."""
        for look in (LOOKS[0], LOOKS[-1]):
            with self.page(look) as page:
                self._search(page, f"{what}, {look['viewport']['width']} px")

    def _search(self, page: Page, what: str) -> None:
        page.evaluate("probe.first()")
        page.evaluate("probe.longestTask()")
        named, totalled, firsts = [], [], []
        page.locator("#devices input").click()
        page.wait_for_timeout(HOMING_MS - PAUSE_MS)
        for number in range(self.options.rounds // 2 + 1):
            for word in WORDS:
                page.locator("#devices input").fill("")
                for place in range(len(word)):
                    page.wait_for_timeout(PAUSE_MS)
                    page.keyboard.press(word[place])
                    names, totals = page.evaluate("probe.key()")
                    if not number and not place and word == WORDS[0]:
                        firsts.append(names)
                    else:
                        named.append(names)
                        totalled.append(totals)
        self.say(f"first key, {HOMING_MS} ms after the click{what}", firsts, "ms", KEY_MS)
        self.say(f"key to names{what}", named, "ms", KEY_MS, 0.99)
        self.say(f"key to totals{what}", totalled, "ms")
        longest = page.evaluate("probe.longestTask()")
        self.say(f"longest task while typing{what}", [longest], "ms")
        page.locator("#devices input").fill("device_1")
        page.evaluate("probe.when(probe.named)")
        page.locator("#devices tbody").hover()
        page.evaluate("() => { window.gap = probe.frames(1500) }")
        for _ in range(20):
            page.mouse.wheel(0, 120)
            page.wait_for_timeout(50)
        self.say(f"longest frame while scrolling{what}", [page.evaluate("gap")], "ms")
        opened = []
        for name in ("device_77", hostile(0), "device_99", hostile(300)):
            page.locator("#devices input").fill(name)
            page.locator("#devices tbody a").get_by_text(name, exact=True).first.click()
            opened.append(page.evaluate("probe.click()"))
            page.go_back()
        self.say(f"device opened{what}", opened, "ms", FIRST_MS)

    def weight(self) -> None:
        """Print what the page's files weigh, as they are sent and compressed."""
        sent = sum(len(file.content) for file in files().values())
        packed = sum(len(gzip.compress(file.content)) for file in files().values())
        print(f"all files: {sent / 1e3:.0f} kB")
        self.say("all files, each compressed by gzip", [packed / 1e3], "kB", WEIGHT_KB)

    def run(self) -> None:
        """Measure all."""
        http_client.get(self.server.port, "/ui/")
        self.first_data()
        self.changes()
        self.search("")
        with self.flow():
            self.search(f" beside {self.options.rate:,} readings/s")
        self.weight()
        self.say("console errors, foreign requests", [len(self.faults)], "", 0)
        for fault in sorted(set(self.faults))[:20]:
            print(f"  {fault}")


def main() -> int:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--devices", type=int, default=100_000)
    arguments.add_argument("--places", type=int, default=100)
    arguments.add_argument("--days", type=int, default=31)
    arguments.add_argument("--every", type=int, default=24, help="one of so many hours is filled")
    arguments.add_argument("--rate", type=int, default=1_000, help="readings/s, where some come")
    arguments.add_argument("--rounds", type=int, default=10)
    arguments.add_argument("--slower", type=float, default=1, help="times")
    arguments.add_argument("--keep", type=Path, help="directory of the series' copy")
    options = arguments.parse_args()
    print(machine.as_text(machine.described()), flush=True)
    with tempfile.TemporaryDirectory() as directory, chromium() as browser:
        print(f"Chromium {browser.version}, {json.dumps(vars(options), default=str)}", flush=True)
        series = options.keep or Path(directory) / "series"
        sizes = f"{options.devices} {options.places} {options.days} {options.every} {series}"
        began = time.monotonic()
        serving = f"tests.benchmarks.page_fleet {sizes}"
        server = RunningServer(Path(directory) / "home", [], serving)
        size = sum(each.stat().st_blocks * 512 for each in series.glob("copy/data.mdb"))
        took = time.monotonic() - began
        print(
            f"served after {took:.0f} s; the series' copy {size / 1e6:,.0f} MB; load "
            f"{psutil.getloadavg()[0]:.1f}",
            flush=True,
        )
        bench = Bench(server, browser, options)
        try:
            bench.run()
        finally:
            server.stop()
    print(f"load {psutil.getloadavg()[0]:.1f}")
    print("missed: " + ", ".join(bench.missed) if bench.missed else "all bounds met")
    return bool(bench.missed)


if __name__ == "__main__":
    sys.exit(main())
