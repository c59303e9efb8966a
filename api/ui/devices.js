// Devices: the largest totals as they change, or those whose id contains what is searched for.

import { rows } from "./api.js";
import { compare, grouped } from "./decimals.js";
import { deviceLink, fill, plural, repeat, setText, told } from "./dom.js";
import { areWhole, ids, readIds } from "./ids.js";

export const TOP = 15;
const MATCHES = 50;
const section = document.getElementById("devices");
const [input, hint, body] = ["input", ".hint", "tbody"].map((each) => section.querySelector(each));

let top = [];
// What the field asks for: ids, of how many it was looked for, and rows of those that are listed.
let found = [];
let looked = 0;
let totals = new Map();

function list(devices, words) {
  setText(hint, words);
  fill(body, devices.map((row) => [
    { text: row.device_id, href: deviceLink(row.device_id) },
    row.readings === undefined ? { text: "…" }
      : { text: grouped(row.total_energy_consumed_exact), note: plural(row.readings, "reading") },
  ]));
}

function showTop() {
  if (!input.value) list(top, top.length ? `The ${top.length} largest totals, live.` : "No device yet.");
}

// Rows of the stream, and who is not among the largest any more; with `isWhole` there are no others.
export function update(rows, isWhole, left = []) {
  const known = new Map(isWhole ? [] : top.map((row) => [row.device_id, row]));
  for (const row of rows) known.set(row.device_id, row);
  for (const id of left) known.delete(id);
  const place = new Map(top.map((row, index) => [row.device_id, index]));
  // Nothing moves away from under a pointer or from the focus.
  const isHeld = body.matches(":hover, :focus-within") && !isWhole;
  const order = (a, b) => (isHeld ? (place.get(a.device_id) ?? TOP) - (place.get(b.device_id) ?? TOP) : 0)
    || compare(b.total_energy_consumed_exact, a.total_energy_consumed_exact);
  top = [...known.values()].sort(order).slice(0, TOP);
  showTop();
}

function showFound() {
  if (!input.value) return;
  const words = found.length < MATCHES ? `${found.length} found${areWhole ? "" : " so far"}.`
    : `The first ${MATCHES} found; type more to see fewer.`;
  list(found.slice(0, MATCHES).map((id) => totals.get(id) ?? { device_id: id }), words);
}

// Goes on where it was: through more ids, for the same.
function look() {
  const wanted = input.value.toLowerCase();
  for (; looked < ids.length && found.length < MATCHES; looked += 1) {
    const id = ids[looked];
    if (id.toLowerCase().includes(wanted) && !found.includes(id)) found.push(id);
  }
  showFound();
}

const readTotals = repeat(2, () => input.value && !section.closest("[hidden]"), () => told(section, async () => {
  const [text, asked] = [input.value, found];
  // The whole id too: a device may be newer than the ids.
  const read = await rows("by_device", { exact: true, device_id: [text, ...asked.slice(0, MATCHES)] });
  if (asked !== found) return;
  totals = new Map(read.map((row) => [row.device_id, row]));
  if (totals.has(text) && !found.includes(text)) found.unshift(text);
  showFound();
}));

function search() {
  found = ids.includes(input.value) ? [input.value] : [];
  looked = 0;
  if (!input.value) return showTop();
  look();
  readTotals();
}

const readAll = () => told(section, () => readIds(() => (areWhole ? search() : look())));
input.addEventListener("focus", readAll);
input.addEventListener("input", () => {
  search();
  readAll();
});
