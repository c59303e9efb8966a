// One device: its total, its places, its series.

import { open, rows } from "./api.js";
import { consumption } from "./consumption.js";
import { grouped } from "./decimals.js";
import { fill, placeName, plural, repeat, setText, show, told } from "./dom.js";

const view = document.getElementById("device");
const title = document.getElementById("device-title");
const moment = (text) => text?.replace("T", " ").replace("Z", " UTC") ?? "–";

let id = null;

// A path of dots is a path to elsewhere, to a browser: such a device is asked for by the pipes.
async function read(id) {
  if (id !== "." && id !== "..") return (await open(`v0/devices/${encodeURIComponent(id)}`)).json();
  const [total] = await rows("by_device", { device_id: id, exact: true });
  if (!total) throw new Error(`no device ${id}`);
  return { ...total, locations: await rows("by_location", { device_id: id }) };
}

export function watchDevice() {
  let series = null;
  const again = repeat(2, () => id !== null, () => told(view, async () => {
    const asked = id;
    const found = await read(asked);
    if (asked !== id) return;
    show(view, {
      total: grouped(found.total_energy_consumed_exact),
      readings: grouped(found.readings),
      first: moment(found.first_reading_at),
      last: moment(found.last_reading_at),
    });
    series.offer((found.locations ?? []).map((place) => place.location));
    for (const part of view.querySelectorAll(".places")) part.hidden = !found.locations;
    fill(view.querySelector("tbody"), (found.locations ?? []).map((place) => [
      placeName(place.location),
      { text: grouped(place.total_energy_consumed_exact), note: plural(place.readings, "reading") },
    ]));
  }));

  // Shows another device, or none: null.
  return (other) => {
    id = other;
    if (id === null) return;
    setText(title, id);
    show(view, { total: "–", readings: "–", first: "–", last: "–" });
    fill(view.querySelector("tbody"), []);
    series ??= consumption(document.getElementById("device-consumption"), () => series && id !== null, true);
    series.show(id);
    again();
    title.focus();
  };
}
