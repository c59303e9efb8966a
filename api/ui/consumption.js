// Consumption over time: what is asked for, and the buckets that come back. Dates are local to the
// zone that is asked for; each bucket carries its own instant, so no clock is reckoned with here.

import { rows } from "./api.js";
import { chart, describe, length } from "./chart.js";
import { grouped } from "./decimals.js";
import { element, fill, placeName, repeat, setText, told } from "./dom.js";

// Days shown at first, by interval; and days asked for beyond the last one, so that a further
// bucket says where the last one ends.
const DAYS = { "15m": 1, "30m": 3, hour: 7, day: 35, week: 364, month: 1095, year: 3652 };
const BEYOND = { week: 7, month: 31, year: 366 };
const MOST_ROWS = 1000;

const addDays = (date, days) => {
  const moved = new Date(Date.parse(date) + days * 86_400_000).toISOString().slice(0, 10);
  return moved < "1970-01-01" ? "1970-01-01" : moved;
};

// `isShown()`: whether to keep it up to date. With `ofDevice` the device is given, not chosen.
export function consumption(section, isShown, ofDevice = false) {
  section.append(document.getElementById("consumption").content.cloneNode(true));
  const form = section.querySelector("form");
  const { interval, first, last, timezone, place, device } = form.elements;
  const [details, body] = ["details", "tbody"].map((each) => section.querySelector(each));
  const drawn = chart(section.querySelector(".chart"), section.querySelector(".readout"));
  let fixed = null;
  let buckets = [];
  let areDatesChosen = false;
  let shown = "";
  for (const each of Object.keys(DAYS)) {
    interval.append(new Option(each.replace(/^(\d+)m$/, "$1 minutes"), each, false, each === "day"));
  }
  if (ofDevice) device.parentElement.hidden = true;
  timezone.value = Intl.DateTimeFormat().resolvedOptions().timeZone;

  // Groups as filters: a device or place with a comma in its name would name others too.
  function filters() {
    const wanted = {};
    if (fixed ?? device.value) wanted.device_id = fixed ?? device.value;
    if (place.value) wanted.location = place.value.slice(1);
    return wanted;
  }

  async function chooseDates() {
    const today = new Date().toISOString().slice(0, 10);
    const day = async (order, start, end) => (await rows("over_time", {
      ...filters(), timezone: timezone.value, order_by: order, start, end, limit: 1,
    }))[0]?.start.slice(0, 10);
    const newest = (await day("-start", null, addDays(today, 2))) ?? today;
    const start = addDays(newest, 1 - DAYS[interval.value]);
    const oldest = (await day("start", start, addDays(newest, 1))) ?? start;
    if (!areDatesChosen) [first.value, last.value] = [oldest, newest];
  }

  async function update() {
    if (!areDatesChosen) await chooseDates();
    if (!form.checkValidity()) return;
    const wanted = filters();
    const found = await rows("over_time", {
      ...wanted, interval: interval.value, timezone: timezone.value, fill: "null",
      group_by: Object.keys(wanted).join() || "none",
      start: first.value, end: addDays(last.value, 1 + (BEYOND[interval.value] ?? 1)),
    });
    const names = Object.entries(wanted);
    const own = found.filter((row) => names.every(([name, value]) => row[name] === value));
    const text = JSON.stringify([own, last.value]);
    if (text === shown) return;
    shown = text;
    const made = own.map((row, index) => ({
      ...row,
      from: Date.parse(row.start) / 1000,
      to: Date.parse(own[index + 1]?.start) / 1000,
    }));
    buckets = made.filter((bucket) => bucket.start.slice(0, 10) <= last.value && bucket.to);
    drawn.draw(buckets, interval.value);
    tabulate();
  }

  function tabulate() {
    if (!details.open) return;
    fill(body, buckets.slice(0, MOST_ROWS).map((bucket) => [
      describe(bucket), length(bucket),
      grouped(bucket.total_energy_consumed_exact ?? "–"), grouped(bucket.readings),
    ]));
    const more = buckets.length - MOST_ROWS;
    setText(section.querySelector("summary"), "The numbers as a table"
      + (more > 0 ? ` (the first ${MOST_ROWS} of ${buckets.length})` : ""));
  }

  // What there is not, or may not be seen, has nothing to choose and no bars.
  const parts = section.querySelectorAll("form, .chart, .readout, details");
  const hide = (isHidden) => parts.forEach((part) => (part.hidden = isHidden));
  const again = repeat(5, isShown, () => told(section, async () => {
    try {
      await update();
      hide(false);
    } catch (error) {
      hide(error.status === 404 || error.status === 403);
      throw error;
    }
  }));
  details.addEventListener("toggle", tabulate);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    if (target === first || target === last) areDatesChosen = true;
    again();
  });

  return {
    show(id) {
      fixed = id;
      areDatesChosen = false;
      place.value = "";
      again();
    },
    offer(locations) {
      const values = ["", ...locations.map((location) => `=${location}`)];
      if (values.join("\0") === [...place.options].map((each) => each.value).join("\0")) return;
      const chosen = place.value;
      if (!values.includes(chosen)) values.push(chosen);
      place.replaceChildren(...values.map((value) => Object.assign(
        element("option", value ? placeName(value.slice(1)) : "all places"), { value },
      )));
      place.value = chosen;
    },
  };
}
