// Devices: the largest totals as they change, or those whose id contains what is searched for.

import { open, pipe } from "./api.js";
import { compare, grouped } from "./decimals.js";
import { deviceLink, fill, plural, setText, told } from "./dom.js";

export const TOP = 15;
const MATCHES = 50;
const TYPING_MS = 250;
const section = document.getElementById("devices");
const [input, hint, body] = ["input", ".hint", "tbody"].map((each) => section.querySelector(each));

let top = [];
let abort = new AbortController();

function list(found, words) {
  setText(hint, words);
  fill(body, found.map((row) => [
    { text: row.device_id, href: deviceLink(row.device_id) },
    { text: grouped(row.total_energy_consumed_exact), note: plural(row.readings, "reading") },
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

// The listing is read as it comes and let go of at once: a fleet may be of a million.
async function search(text, signal) {
  const found = [];
  if (text !== "." && text !== "..") {
    const one = await open(`v0/devices/${encodeURIComponent(text)}`, { signal }).catch(() => null);
    if (one) found.push(await one.json());
  }
  const answer = await pipe("by_device.ndjson", { exact: true }, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const wanted = text.toLowerCase();
  for (let rest = ""; found.length < MATCHES; ) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : lines.pop();
    for (const row of lines.filter(Boolean).map(JSON.parse)) {
      if (row.device_id.toLowerCase().includes(wanted) && row.device_id !== found[0]?.device_id) {
        found.push(row);
      }
    }
    if (done) return list(found, `${found.length} found.`);
  }
  reader.cancel();
  list(found.slice(0, MATCHES), `The first ${MATCHES} found; type more to see fewer.`);
}

input.addEventListener("input", () => {
  abort.abort();
  abort = new AbortController();
  const { signal } = abort;
  if (!input.value) return showTop();
  setTimeout(() => signal.aborted || told(section, () => search(input.value, signal)), TYPING_MS);
});
