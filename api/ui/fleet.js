// The fleet's totals: the exact sum over its places, which each reading is in once. A view version
// without series has no places; then it is the sum over all devices.

import { lines, pipe, rows } from "./api.js";
import { grouped, sum } from "./decimals.js";
import { repeat, show, told } from "./dom.js";

const RATE_SECONDS = 10;
const section = document.getElementById("fleet");
const duration = (seconds) => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${grouped(seconds.toFixed(1))} s`);

// `placed(rows, problem)`: the places, or null and why there are none.
export function watchFleet(isShown, placed) {
  let hasPlaces = true;
  let samples = [];

  async function parts() {
    if (hasPlaces) {
      try {
        const places = await rows("by_location");
        placed(places, "");
        return places;
      } catch (error) {
        // No series, or a token that may not read them.
        if (error.status !== 404 && error.status !== 403) throw error;
        hasPlaces = false;
        placed(null, error.message);
      }
    }
    // As it comes, so that nothing else on the page waits for it.
    let [total, readings] = ["0", 0];
    for await (const some of lines(await pipe("by_device.ndjson", { exact: true }))) {
      const found = some.filter(Boolean).map((line) => JSON.parse(line));
      total = sum([total, ...found.map((row) => row.total_energy_consumed_exact)]);
      readings += found.reduce((all, row) => all + row.readings, 0);
    }
    return [{ total_energy_consumed_exact: total, readings }];
  }

  function rate(readings) {
    const now = performance.now() / 1000;
    samples = [...samples.filter(([at]) => now - at <= RATE_SECONDS), [now, readings]];
    const [began, before] = samples[0];
    if (now === began || readings < before) return "–";
    const rate = (readings - before) / (now - began);
    return grouped(rate >= 100 ? Math.round(rate) : rate.toFixed(1));
  }

  const totals = () => told(section, async () => {
    const found = await parts();
    const readings = found.reduce((all, row) => all + row.readings, 0);
    show(section, {
      total: grouped(sum(found.map((row) => row.total_energy_consumed_exact))),
      readings: grouped(readings),
      rate: rate(readings),
    });
  });
  const devices = () => told(section, async () => {
    const page = await (await pipe("by_device.json", { limit: 1 })).json();
    show(section, { devices: grouped(page.rows_before_limit_at_least) });
  });
  repeat(1, isShown, totals);
  repeat(10, isShown, devices);

  // Another view version may have places where this one has none.
  return () => {
    hasPlaces = true;
    samples = [];
  };
}

export function showProgress({ lag_records: lag, freshness_seconds: seconds }) {
  show(section, {
    lag: typeof lag === "number" ? grouped(lag) : "unknown",
    freshness: typeof seconds === "number" ? duration(seconds) : "unknown",
  });
}
